"""Tasks: defaults, checks and the answer's form. Source: Azure Batch REST, Task - Add; recorded answers.

A task's document (what the user gave, with defaults) never changes; its state, execution and place are columns.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import orjson

from batchctl.server.batch.errors import ServiceError, invalid_value, not_implemented
from batchctl.server.batch.resources.checks import (
    check_display_name,
    check_environment,
    check_id,
    check_packages,
    check_range,
    check_user,
    checked_constraints,
)
from batchctl.server.batch.resources.file_checks import check_files, check_resource_files
from batchctl.server.batch.resources.pool import without_secrets
from batchctl.server.batch.store import Store
from batchctl.server.batch.wire import Doc

DEFAULT_USER: Doc = {"autoUser": {"scope": "pool", "elevationLevel": "nonadmin"}}
NEVER_RUN: Doc = {"retryCount": 0, "requeueCount": 0}
_LONGEST_DEPENDENCIES = 64_000  # characters of all ids together, as documented
_MOST_RANGES = 4_000  # the documents only say that the list may be too long to be stored

COLUMNS = (
    "seq, key, number, state, slots, unmet, result, etag, created, modified, changed, previous, previous_changed, "
    "place, execution, doc, expires, usage, satisfied"
)
"""What a `TaskRow` is read with."""


class TaskRow(NamedTuple):
    """A stored task. `place` is [pool id, node id, folder], `execution` the executionInfo, `usage` what its tries
    took ([wall clock, user, kernel] in microseconds); all JSON or None. `expires`: when its files may go. `satisfied`: may
    those that depend on it go on?
    """

    seq: int
    key: str
    number: int | None
    state: str
    slots: int
    unmet: int
    result: str | None
    etag: str
    created: str
    modified: str
    changed: str
    previous: str | None
    previous_changed: str | None
    place: bytes | None
    execution: bytes | None
    doc: bytes
    expires: str | None
    usage: bytes | None
    satisfied: int

    @property
    def document(self) -> Doc:
        """`doc` to be read only: tasks that are alike share it."""
        return _document(self.doc)


@lru_cache(maxsize=64)
def _document(doc: bytes) -> Doc:
    found: Doc = orjson.loads(doc)
    return found


def task_document(body: Doc, job: Doc) -> Doc:
    """The stored form of a checked body. Raises ServiceError when it cannot be a task of `job`."""
    check_id(body["id"])
    check_display_name(body)
    check_range(body, "requiredSlots", 1, 256)
    _check_dependencies(body, job)
    _check_exit_conditions(body.get("exitConditions", {}), job)
    _check_name(body["id"], job)
    check_files(body)
    check_user(body)
    check_environment(body)
    check_packages(body)
    if "multiInstanceSettings" in body:
        _check_instances(body["multiInstanceSettings"])
    retries = job["constraints"]["maxTaskRetryCount"]
    constraints = checked_constraints(body.get("constraints"), retries=retries, retention=True)
    return {"userIdentity": DEFAULT_USER, "requiredSlots": 1, **body, "constraints": constraints}


def _check_dependencies(body: Doc, job: Doc) -> None:
    depends = body.get("dependsOn")
    if not depends:
        return
    if not job["usesTaskDependencies"]:
        raise ServiceError("TaskDependenciesNotSpecifiedOnJob")
    if sum(map(len, depends.get("taskIds", ()))) > _LONGEST_DEPENDENCIES:
        raise ServiceError("TaskDependencyListTooLong")
    if len(depends.get("taskIdRanges", ())) > _MOST_RANGES:
        raise ServiceError("TaskDependencyRangesTooLong")
    for span in depends.get("taskIdRanges", ()):
        if not 0 <= span["start"] <= span["end"] < 2**31:
            raise invalid_value(
                "taskIdRanges", f"{span['start']}-{span['end']}", "start must not exceed end."
            )


def _check_exit_conditions(conditions: Doc, job: Doc) -> None:
    for span in conditions.get("exitCodeRanges", ()):
        if span["start"] > span["end"]:
            text = f"{span['start']}-{span['end']}"
            raise invalid_value("exitCodeRanges", text, "start must not exceed end.")
    options = [
        mapping["exitOptions"]
        for name in ("exitCodes", "exitCodeRanges")
        for mapping in conditions.get(name, ())
    ]
    options += [
        conditions[name]
        for name in ("preProcessingError", "fileUploadError", "default")
        if name in conditions
    ]
    for option in options:
        if option.get("jobAction", "none") != "none" and job["onTaskFailure"] == "noaction":
            reason = "jobAction requires the job's onTaskFailure to be performexitoptionsjobaction."
            raise invalid_value("jobAction", option["jobAction"], reason)
        if "dependencyAction" in option and not job["usesTaskDependencies"]:
            reason = "dependencyAction requires the job's usesTaskDependencies to be true."
            raise invalid_value("dependencyAction", option["dependencyAction"], reason)


def _check_name(name: str, job: Doc) -> None:
    for task, code in (
        ("jobPreparationTask", "TaskIdSameAsJobPreparationTask"),
        ("jobReleaseTask", "TaskIdSameAsJobReleaseTask"),
    ):
        if task in job and job[task]["id"].lower() == name.lower():
            raise ServiceError(code)


def _check_instances(settings: Doc) -> None:
    """A task of one instance can run here; one of several would need several machines."""
    count = settings.get("numberOfInstances", 1)
    if count < 1:
        raise invalid_value("numberOfInstances", count, "The value must be greater than 0.")
    if count > 1:
        raise not_implemented("A multi-instance task of more than one instance")
    check_resource_files(settings.get("commonResourceFiles", ()))


def task_number(name: str) -> int | None:
    """The number that a task's id stands for in a range of ids: leading zeros do not count, None if it is none."""
    return int(name) if name.isascii() and name.isdigit() and len(name.lstrip("0")) <= 10 else None


def find_task(store: Store, job: int, name: str) -> TaskRow | None:
    """The task of that id, in any case."""
    row = store.one(f"SELECT {COLUMNS} FROM tasks WHERE job = ? AND key = ?", (job, name.lower()))
    return TaskRow(*row) if row else None


def task_at(store: Store, seq: int) -> TaskRow | None:
    """The task with that place."""
    row = store.one(f"SELECT {COLUMNS} FROM tasks WHERE seq = ?", (seq,))
    return TaskRow(*row) if row else None


def tasks_after(store: Store, job: int, after: int, limit: int, state: str | None) -> Iterator[TaskRow]:
    """The job's tasks behind place `after`, in order of creation; the cost does not depend on `after`."""
    where, arguments = "job = ? AND seq > ?", [job, after]
    if state is not None:
        where, arguments = "job = ? AND state = ? AND seq > ?", [job, state, after]  # type: ignore[list-item]
    sql = f"SELECT {COLUMNS} FROM tasks WHERE {where} ORDER BY seq LIMIT ?"
    return (TaskRow(*row) for row in store.all(sql, (*arguments, limit)))


def task_view(row: TaskRow, job_id: str, endpoint: str) -> Doc:
    """The task as an answer."""
    doc: Doc = orjson.loads(row.doc)
    if b'"password"' in row.doc:
        doc = without_secrets(doc)
    doc["url"] = f"{endpoint}/jobs/{job_id}/tasks/{doc['id']}"
    doc |= {"eTag": row.etag, "creationTime": row.created, "lastModified": row.modified}
    doc |= {"state": row.state, "stateTransitionTime": row.changed}
    if row.previous:
        doc |= {"previousState": row.previous, "previousStateTransitionTime": row.previous_changed}
    doc["executionInfo"] = orjson.loads(row.execution) if row.execution else dict(NEVER_RUN)
    if row.place:
        doc["nodeInfo"] = _node_information(orjson.loads(row.place), endpoint)
    return doc


def _node_information(place: list[str], endpoint: str) -> Doc:
    pool, node, folder = place
    url = f"{endpoint}/pools/{pool}/nodes/{node}"
    return {
        "affinityId": f"TVM:{node}",
        "nodeUrl": url,
        "poolId": pool,
        "nodeId": node,
        "taskRootDirectory": folder,
        "taskRootDirectoryUrl": f"{url}/files/{folder}",
    }


def placed_views(store: Store, node: int, endpoint: str) -> list[Doc]:
    """The ten latest tasks of a node, as BatchTaskInfo."""
    sql = (
        "SELECT j.doc, t.doc, t.state, t.execution FROM tasks t "
        "JOIN jobs j ON j.seq = t.job WHERE t.node = ? ORDER BY t.seq DESC LIMIT 10"
    )
    views: list[Doc] = []
    for job_doc, task_doc, state, execution in store.all(sql, (node,)):
        job, task = orjson.loads(job_doc)["id"], orjson.loads(task_doc)["id"]
        url = f"{endpoint}/jobs/{job}/tasks/{task}"
        view = {"taskUrl": url, "jobId": job, "taskId": task, "taskState": state}
        if execution:
            view["executionInfo"] = orjson.loads(execution)
        views.append(view)
    return views

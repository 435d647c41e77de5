"""Jobs: defaults, checks and the answer's form, for jobs and for a job schedule's specification.

Source: Azure Batch REST, Job - Add; recorded answers of the service.
"""

from datetime import datetime

from batchctl.server.batch.errors import ServiceError, invalid_value, missing_property
from batchctl.server.batch.lifecycle.job import JobState
from batchctl.server.batch.lifecycle.machine import record_state
from batchctl.server.batch.resources.checks import (
    check_display_name,
    check_environment,
    check_id,
    check_metadata,
    check_packages,
    check_range,
    check_user,
    checked_constraints,
)
from batchctl.server.batch.resources.file_checks import check_files
from batchctl.server.batch.resources.node_tasks import check_node_tasks, node_tasks
from batchctl.server.batch.resources.pool import check_pool, without_secrets
from batchctl.server.batch.resources.task import DEFAULT_USER
from batchctl.server.batch.store import Row, Store
from batchctl.server.batch.wire import Doc, instant_text, next_etag

_PRIORITIES = range(-1000, 1001)

_DEFAULTS: Doc = {
    "usesTaskDependencies": False,
    "priority": 0,
    "allowTaskPreemption": False,
    "maxParallelTasks": -1,
    "onAllTasksComplete": "noaction",
    "onTaskFailure": "noaction",
}

UPDATABLE: Doc = {
    "priority": 0,
    "allowTaskPreemption": False,
    "maxParallelTasks": -1,
    "onAllTasksComplete": "noaction",
    "metadata": None,
}
"""What a replaced job gets of these where the request does not say (None: nothing), besides its constraints."""

_MANAGER_DEFAULTS: Doc = {
    "requiredSlots": 1,
    "killJobOnCompletion": True,
    "runExclusive": True,
    "allowLowPriorityNode": True,
    "userIdentity": DEFAULT_USER,
}


def check_job(body: Doc, *, scheduled: bool) -> None:
    """Raise ServiceError unless `body` can be a job here; `scheduled`: it is a schedule's job specification."""
    check_display_name(body)
    check_limits(body)
    check_metadata(body)
    manager = body.get("jobManagerTask")
    if manager is not None:
        check_id(manager["id"])
        check_range(manager, "requiredSlots", 1, 256)
        check_files(manager)
        check_user(manager)
        check_environment(manager)
        check_packages(manager)
        checked_constraints(manager.get("constraints"), retention=True)
    check_environment(body, property_name="commonEnvironmentSettings")
    check_node_tasks(body)
    check_pool_info(body["poolInfo"], scheduled=scheduled)


def check_limits(body: Doc) -> None:
    """Priority, parallel tasks and constraints, of a new or a patched job."""
    if body.get("priority", 0) not in _PRIORITIES:
        details = (("PropertyName", "priority"), ("PropertyValue", str(body["priority"])))
        raise ServiceError("OutOfRangePriority", *details)
    if (parallel := body.get("maxParallelTasks", -1)) != -1 and parallel < 1:
        raise invalid_value("maxParallelTasks", parallel, "The value must be -1 or greater than 0.")
    checked_constraints(body.get("constraints"))


def check_pool_info(info: Doc, *, scheduled: bool) -> None:
    """Exactly one of a pool's id and an auto pool; a pool that lives with a schedule only on schedules."""
    if ("poolId" in info) == ("autoPoolSpecification" in info):
        raise invalid_value("poolInfo", info, "Exactly one of poolId and autoPoolSpecification must be set.")
    auto = info.get("autoPoolSpecification")
    if auto is None:
        check_id(info["poolId"], property_name="poolId")
        return
    if auto["poolLifetimeOption"] == "jobschedule" and not scheduled:
        reason = "A pool lifetime of jobschedule is only valid on a job schedule."
        raise invalid_value("poolLifetimeOption", "jobschedule", reason)
    prefix = auto.get("autoPoolIdPrefix")
    if prefix is not None:
        check_id(prefix, property_name="autoPoolIdPrefix")
        if len(prefix) > 20:
            raise invalid_value("autoPoolIdPrefix", prefix, "The value may have at most 20 characters.")
    if "pool" not in auto:
        raise missing_property("pool")
    check_pool(auto["pool"])


def job_document(name: str, body: Doc, now: datetime, *, folder: str, schedule: int | None = None) -> Doc:
    """A new active job. `folder` is where its tasks' folders are, below a node's root."""
    text = instant_text(now)
    doc: Doc = {**_DEFAULTS, **body, "id": name, "constraints": checked_constraints(body.get("constraints"))}
    if "jobManagerTask" in doc:
        manager = _MANAGER_DEFAULTS | doc["jobManagerTask"]
        retries = doc["constraints"]["maxTaskRetryCount"]
        manager["constraints"] = checked_constraints(
            manager.get("constraints"), retries=retries, retention=True
        )
        doc["jobManagerTask"] = manager
    doc |= node_tasks(doc)
    doc |= {"eTag": next_etag(now), "lastModified": text, "creationTime": text, "_folder": folder}
    doc["executionInfo"] = {"startTime": text}
    if "poolId" in doc["poolInfo"]:
        doc["executionInfo"]["poolId"] = doc["poolInfo"]["poolId"]
    if schedule is not None:
        doc["_schedule"] = schedule
    record_state(doc, JobState.ACTIVE, now)
    return doc


def job_view(row: Row, endpoint: str) -> Doc:
    """The job as an answer."""
    doc: Doc = without_secrets({name: value for name, value in row.doc.items() if name[0] != "_"})
    doc["url"] = f"{endpoint}/jobs/{doc['id']}"
    return doc


def counts_view(store: Store, job: int) -> Doc:
    """`taskCounts` and `taskSlotCounts` of a job."""
    names = ("active", "running", "succeeded", "failed")
    columns = ", ".join([*names, *(f"{name}_slots" for name in names)])
    numbers = store.one(f"SELECT {columns} FROM job_counts WHERE job = ?", (job,))
    tasks, slots = dict(zip(names, numbers[:4], strict=True)), dict(zip(names, numbers[4:], strict=True))
    for counts in (tasks, slots):
        counts["completed"] = counts["succeeded"] + counts["failed"]
    return {"taskCounts": tasks, "taskSlotCounts": slots}

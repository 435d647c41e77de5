"""The operations on tasks. Source: Azure Batch REST, Task."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from batchctl.server.batch.call import Call, Reply, element, versioned
from batchctl.server.batch.errors import ServiceError, invalid_body, missing_property
from batchctl.server.batch.fields import canonical
from batchctl.server.batch.handlers.jobs import find_job, refuse_unless_open
from batchctl.server.batch.lifecycle.task import TaskState
from batchctl.server.batch.listing import Page, expands_stats, list_reply, selected
from batchctl.server.batch.resources.checks import checked_constraints
from batchctl.server.batch.resources.statistics import task_statistics
from batchctl.server.batch.resources.task import TaskRow, find_task, task_document, task_view, tasks_after
from batchctl.server.batch.scheduler import runs
from batchctl.server.batch.scheduler.additions import add_tasks, existing_ids
from batchctl.server.batch.scheduler.effects import Killing
from batchctl.server.batch.store import Row
from batchctl.server.batch.wire import Doc, instant_text, next_etag

MOST_TASKS_AT_ONCE = 100


def create(call: Call) -> Reply:
    """Add one task (201)."""
    body = call.checked_body("BatchTaskCreateOptions")
    job = find_job(call)
    refuse_unless_open(job)
    doc = task_document(body, job.doc)
    if existing_ids(call.store, job.seq, [doc["id"].lower()]):
        raise ServiceError("TaskExists")
    added = add_tasks(call.store, job, [doc], call.now)[0]
    url = _url(call, job, doc["id"])
    return Reply(status=201, headers=versioned(*added) | {"DataServiceId": url, "Location": url})


def create_collection(call: Call) -> Reply:
    """Add up to 100 tasks; each has its own verdict in the answer (200)."""
    items = call.body.get("value") if isinstance(call.body, dict) else None
    if items is None:
        raise missing_property("value")
    if not isinstance(items, list):
        raise invalid_body("The property 'value' must be a collection.")
    if len(items) > MOST_TASKS_AT_ONCE:
        raise ServiceError("RequestBodyTooLarge", ("MaxTasks", str(MOST_TASKS_AT_ONCE)))
    job = find_job(call)
    refuse_unless_open(job)
    names = [_name(item) for item in items]
    taken = existing_ids(call.store, job.seq, [name.lower() for name in names])
    results: list[Doc] = []
    accepted: list[tuple[int, Doc]] = []
    for place, (name, item) in enumerate(zip(names, items, strict=True)):
        results.append({"taskId": name})
        try:
            doc = task_document(canonical("BatchTaskCreateOptions", item), job.doc)
            if name.lower() in taken:
                raise ServiceError("TaskExists")
        except ServiceError as error:
            results[place] = {"status": "ClientError", "taskId": name, "error": call.detail(error)}
        else:
            taken.add(name.lower())
            accepted.append((place, doc))
    added = add_tasks(call.store, job, [doc for _, doc in accepted], call.now)
    for (place, doc), (etag, modified) in zip(accepted, added, strict=True):
        results[place] = {
            "status": "Success",
            "taskId": doc["id"],
            "eTag": etag,
            "lastModified": modified,
            "location": _url(call, job, doc["id"]),
        }
    metadata = f"{call.endpoint}/$metadata#taskaddresult"
    return Reply(status=200, body={"odata.metadata": metadata, "value": results})


def _name(item: Any) -> str:
    name = item.get("id") if isinstance(item, dict) else None
    if name is None:
        raise missing_property("id")
    if not isinstance(name, str):
        raise invalid_body("The property 'id' must be a string.")
    return name


def get(call: Call) -> Reply:
    """One task (200)."""
    job, task = find_job_and_task(call)
    call.check_conditions(task.etag, task.modified)
    view = _view(call, job, task)
    headers = versioned(task.etag, task.modified) | {"DataServiceId": view["url"]}
    return Reply(status=200, body=element(call, "tasks", selected(call, "BatchTask", view)), headers=headers)


def list_tasks(call: Call) -> Reply:
    """The tasks of a job, a page at a time (200)."""
    job = find_job(call)

    def fetch(page: Page) -> Iterator[tuple[int, Doc]]:
        for task in tasks_after(call.store, job.seq, page.after, page.limit, page.state):
            yield task.seq, _view(call, job, task)

    return list_reply(call, "tasks", "BatchTask", fetch)


def _view(call: Call, job: Row, task: TaskRow) -> Doc:
    view = task_view(task, job.doc["id"], call.endpoint)
    if expands_stats(call) and (stats := task_statistics(task, view["url"], call.now)):
        view["stats"] = stats
    return view


def replace(call: Call) -> Reply:
    """Give a task new constraints (200), the defaults if there are none in the request; they hold at once."""
    body = call.checked_body("BatchTask")
    job, task = find_job_and_task(call)
    call.check_conditions(task.etag, task.modified)
    refuse_unless_open(job)
    if task.state == TaskState.COMPLETED:
        raise ServiceError("TaskCompleted")
    retries = job.doc["constraints"]["maxTaskRetryCount"]
    constraints = checked_constraints(body.get("constraints"), retries=retries, retention=True)
    runs.constrain(call.store, task, constraints)
    return Reply(status=200, headers=_touched(call, job, task))


def reactivate(call: Call) -> Reply:
    """Let a task run again that failed, or that succeeded and has lost its files since (204)."""
    job, task = find_job_and_task(call)
    call.check_conditions(task.etag, task.modified)
    refuse_unless_open(job)
    if task.state != TaskState.COMPLETED:
        raise ServiceError("TaskNotCompleted")
    if task.result == "success" and runs.is_retained(call.store, task, call.now):
        raise ServiceError("TaskSucceeded")
    runs.reactivate(call.store, task, call.now)
    return Reply(status=204, headers=_touched(call, job, task))


def list_subtasks(call: Call) -> Reply:
    """The subtasks of a multi-instance task (200): none, for the only instance here is the primary task."""
    find_job_and_task(call)
    return list_reply(call, "subtasks", "BatchSubtask", lambda _page: ())


def terminate(call: Call) -> Reply:
    """End a task (204): at once if it waits, as soon as its processes are dead if it runs."""
    job, task = find_job_and_task(call)
    call.check_conditions(task.etag, task.modified)
    refuse_unless_open(job)
    if task.state == TaskState.COMPLETED:
        raise ServiceError("TaskCompleted")
    if task.state == TaskState.ACTIVE:
        runs.end_waiting_task(call.store, job, task, call.now)
    else:
        _kill(call, task, Killing.TERMINATE)
    return Reply(status=204, headers=_touched(call, job, task))


def delete(call: Call) -> Reply:
    """Remove a task and its files (200); if it runs, its processes are killed."""
    _, task = find_job_and_task(call)
    call.check_conditions(task.etag, task.modified)
    _kill(call, task, Killing.DISCARD)
    if task.state == TaskState.COMPLETED and task.place is not None:
        runs.discard_files(call.store, task)
    call.store.do("DELETE FROM tasks WHERE seq = ?", (task.seq,))
    return Reply(status=200)


def find_job_and_task(call: Call) -> tuple[Row, TaskRow]:
    """The job and the task that the path names. Raises JobNotFound, TaskNotFound."""
    job = find_job(call)
    task = find_task(call.store, job.seq, call.params["taskId"])
    if task is None:
        raise ServiceError("TaskNotFound")
    return job, task


def _touched(call: Call, job: Row, task: TaskRow) -> dict[str, str]:
    """A user changed the task: it has a new version from now on; the headers that say so."""
    etag, modified = next_etag(call.now, task.etag), instant_text(call.now)
    call.store.do("UPDATE tasks SET etag = ?, modified = ? WHERE seq = ?", (etag, modified, task.seq))
    return versioned(etag, modified) | {"DataServiceId": _url(call, job, call.params["taskId"])}


def _kill(call: Call, task: TaskRow, reason: Killing) -> None:
    call.store.do("UPDATE runs SET killing = ? WHERE task = ?", (reason, task.seq))


def _url(call: Call, job: Row, task: str) -> str:
    return f"{call.endpoint}/jobs/{quote(job.doc['id'], safe=':')}/tasks/{task}"

"""The beginning of a run: what is recorded, and what the engine is told. Shared by all kinds of tasks."""

from collections.abc import Iterable
from datetime import datetime

import orjson

from batchctl.server.batch.lifecycle.task import TASK, TaskEvent
from batchctl.server.batch.resources.task import NEVER_RUN, TaskRow, task_at
from batchctl.server.batch.scheduler.containers import container_work, mismatch
from batchctl.server.batch.scheduler.effects import Ending, StartRun
from batchctl.server.batch.store import Row, Store
from batchctl.server.batch.wire import Doc, after, instant_text

_RUN = (
    "INSERT INTO runs (kind, node, job, task, slots, exclusive, folder, deadline, waiting) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_TASK = (
    "UPDATE tasks SET state = ?, previous = ?, previous_changed = changed, changed = ?, node = ?, place = ?, "
    "execution = ? WHERE seq = ?"
)
_CARRIED = ("retryCount", "requeueCount", "lastRetryTime", "lastRequeueTime")


def refusal(pool: Doc, task: Doc, *, is_optional: bool) -> Ending | None:
    """How a task ends that asks for what it cannot have here; None if it can run. `is_optional`: see `mismatch`."""
    if task.get("applicationPackageReferences"):
        detail = "This local service has no application packages."
        return Ending(failure="ApplicationPackageError", detail=detail)
    return mismatch(pool, task, is_optional=is_optional)


def merged_settings(*lists: list[Doc] | None) -> tuple[tuple[str, str], ...]:
    """Environment settings as pairs; a later list overrides an earlier one by name."""
    merged = {item["name"]: item.get("value", "") for items in lists for item in items or ()}
    return tuple(merged.items())


def start_task_run(store: Store, pool: Row, node: Row) -> StartRun:
    """Record that the pool's start task runs on `node`."""
    folder = f"{node.doc['id']}/startup"
    run = store.insert(_RUN, ("start", node.seq, None, None, 0, 0, folder, None, 0))
    return _start(run, node.doc["startTask"], node, pool.doc, folder)


def node_task_run(store: Store, kind: str, node: Row, job: Row, task: Doc, deadline: str | None) -> StartRun:
    """Record that the job's preparation or release task (`kind`: prep, release) runs on `node`."""
    folder = f"{node.doc['id']}/{job.doc['_folder']}/{task['id']}"
    run = store.insert(_RUN, (kind, node.seq, job.seq, None, 0, 0, folder, deadline, 0))
    prepared = preparation_folder(node, job) if kind == "release" else None
    services = kind == "prep"
    its_pool = store.pools.at(node.doc["_pool"])
    assert its_pool is not None
    return _start(
        run, task, node, its_pool.doc, folder, job=job, preparation=prepared, leaves_services=services
    )


def preparation_folder(node: Row, job: Row) -> str | None:
    """Where the job's preparation task has its files on that node; None if it has none."""
    task = job.doc.get("jobPreparationTask")
    return f"{node.doc['id']}/{job.doc['_folder']}/{task['id']}" if task else None


def task_run(
    store: Store, pool: Row, node: Row, job: Row, task: TaskRow, *, exclusive: bool, now: datetime
) -> StartRun:
    """Record that the waiting `task` of `job` runs on `node`, and take its slots (all of them if `exclusive`)."""
    doc = task.document
    folder = _record(store, pool, node, job, task, doc, TaskEvent.START, now)
    deadline = after(instant_text(now), doc["constraints"]["maxWallClockTime"])
    run = _take(store, node, job, task, folder, exclusive=exclusive, deadline=deadline, waiting=False)
    return _start_of_task(run, doc, node, pool.doc, folder, job)


def waiting_run(
    store: Store, pool: Row, node: Row, job: Row, task: TaskRow, *, exclusive: bool, now: datetime
) -> None:
    """Like `task_run`, but the task waits (`preparing`) until the job is prepared on that node."""
    doc = task.document
    folder = _record(store, pool, node, job, task, doc, TaskEvent.PREPARE, now)
    _take(store, node, job, task, folder, exclusive=exclusive, deadline=None, waiting=True)


def waited_run(store: Store, run: int, pool: Row, node: Row, job: Row, seq: int, now: datetime) -> StartRun:
    """The wait of a `waiting_run` is over: its task starts."""
    task = task_at(store, seq)
    assert task is not None
    doc = task.document
    folder = _record(store, pool, node, job, task, doc, TaskEvent.START, now)
    deadline = after(instant_text(now), doc["constraints"]["maxWallClockTime"])
    store.do("UPDATE runs SET waiting = 0, deadline = ? WHERE seq = ?", (deadline, run))
    return _start_of_task(run, doc, node, pool.doc, folder, job)


def _record(
    store: Store, pool: Row, node: Row, job: Row, task: TaskRow, doc: Doc, event: TaskEvent, now: datetime
) -> str:
    """Write the task's new state and place; the folder below the directory of all nodes."""
    text = instant_text(now)
    state = TASK.step(task.state, event)
    folder = f"{job.doc['_folder']}/{doc['id']}"
    place = orjson.dumps([pool.doc["id"], node.doc["id"], folder])
    before = orjson.loads(task.execution) if task.execution else NEVER_RUN
    execution = {name: before[name] for name in _CARRIED if name in before}
    if event is TaskEvent.START:
        execution["startTime"] = text
    store.do(_TASK, (state, task.state, text, node.seq, place, orjson.dumps(execution), task.seq))
    return f"{node.doc['id']}/{folder}"


def _take(
    store: Store,
    node: Row,
    job: Row,
    task: TaskRow,
    folder: str,
    *,
    exclusive: bool,
    deadline: str | None,
    waiting: bool,
) -> int:
    fixed = ("task", node.seq, job.seq, task.seq, task.slots)
    run = store.insert(_RUN, (*fixed, int(exclusive), folder, deadline, int(waiting)))
    store.do(
        "UPDATE nodes SET free = CASE WHEN ? THEN 0 ELSE free - ? END WHERE seq = ?",
        (exclusive, task.slots, node.seq),
    )
    return run


def _start_of_task(run: int, doc: Doc, node: Row, pool: Doc, folder: str, job: Row) -> StartRun:
    instances = doc.get("multiInstanceSettings", {})
    return _start(
        run,
        doc,
        node,
        pool,
        folder,
        is_task=True,
        job=job,
        preparation=preparation_folder(node, job),
        shared_files=instances.get("commonResourceFiles", ()),
        coordination=instances.get("coordinationCommandLine"),
    )


def _start(
    run: int,
    task: Doc,
    node: Row,
    pool: Doc,
    folder: str,
    *,
    is_task: bool = False,
    job: Row | None = None,
    preparation: str | None = None,
    shared_files: Iterable[Doc] = (),
    coordination: str | None = None,
    leaves_services: bool = False,
) -> StartRun:
    common = job.doc.get("commonEnvironmentSettings") if job else None
    return StartRun(
        run=run,
        command_line=task["commandLine"],
        pool=pool["id"],
        node=node.doc["id"],
        dedicated=node.doc["isDedicated"],
        folder=folder,
        job=job.doc["id"] if job else None,
        task=task["id"] if job else None,
        settings=merged_settings(common, task.get("environmentSettings")),
        refused=refusal(pool, task, is_optional=not is_task),
        image=task.get("containerSettings", {}).get("imageName"),
        resource_files=tuple(task.get("resourceFiles", ())),
        shared_files=tuple(shared_files),
        output_files=tuple(task.get("outputFiles", ())),
        preparation=preparation,
        coordination=coordination,
        leaves_services=leaves_services,
        container=container_work(pool, task),
    )

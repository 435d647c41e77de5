"""The end of a run, and what follows for its task, its job and the tasks that wait for it.

Source: Azure Batch REST, BatchTaskConstraints (retries only after a non-zero exit code; a requeue is not
counted), ExitConditions, BatchJobManagerTask.killJobOnCompletion.
"""

from datetime import datetime
from typing import NamedTuple

import orjson

from batchctl.server.batch.lifecycle.job import JobState
from batchctl.server.batch.lifecycle.task import TASK, TaskEvent, TaskState
from batchctl.server.batch.resources.task import NEVER_RUN, TaskRow, task_at
from batchctl.server.batch.scheduler import jobs, nodes, preparation, usage
from batchctl.server.batch.scheduler.dependencies import settle_wishes
from batchctl.server.batch.scheduler.effects import Ending, Killing, KillRun, StartRun
from batchctl.server.batch.scheduler.outcomes import exit_options, failure_information
from batchctl.server.batch.scheduler.retention import expiry
from batchctl.server.batch.scheduler.starts import start_task_run
from batchctl.server.batch.store import Row, Store
from batchctl.server.batch.wire import Doc, after, instant_text

EXPIRED = "SELECT 1 FROM runs WHERE killing IS NULL AND deadline <= ?1"
KILLED_WAITS = "SELECT 1 FROM runs WHERE waiting AND killing IS NOT NULL"
UNTOLD = "SELECT 1 FROM runs WHERE killing IS NOT NULL AND told = 0"
_FREE = (
    "UPDATE nodes SET total_run = total_run + 1, total_ok = total_ok + ?2, free = CASE "
    "WHEN EXISTS (SELECT 1 FROM runs WHERE node = ?1 AND exclusive) THEN 0 "
    "ELSE slots - (SELECT coalesce(sum(slots), 0) FROM runs WHERE node = ?1) END WHERE seq = ?1"
)
_MOVE = (
    "UPDATE tasks SET state = ?, result = ?, satisfied = max(satisfied, ?), previous = ?, previous_changed = changed, "
    "changed = ?, execution = ?, expires = ?, usage = ? WHERE seq = ?"
)
_REACTIVATE = (
    "UPDATE tasks SET state = ?, result = NULL, previous = ?, previous_changed = changed, changed = ?, "
    "execution = NULL, node = NULL, place = NULL, expires = NULL WHERE seq = ?"
)


class Run(NamedTuple):
    """A row of `runs`."""

    seq: int
    kind: str
    node: int
    job: int | None
    task: int | None
    folder: str
    killing: str | None


def open_runs(store: Store) -> list[Run]:
    """Everything that is recorded as running."""
    return [Run(*row) for row in store.all("SELECT seq, kind, node, job, task, folder, killing FROM runs")]


def expire(store: Store, now: datetime) -> None:
    """Mark the runs whose time is up."""
    sql = "UPDATE runs SET killing = ? WHERE killing IS NULL AND deadline <= ?"
    store.do(sql, (Killing.TIMEOUT, instant_text(now)))


def end_killed_waits(store: Store, now: datetime) -> None:
    """End the runs that are to be killed while they wait for a job preparation task: they have no process."""
    found = store.all("SELECT seq FROM runs WHERE waiting AND killing IS NOT NULL")
    for (seq,) in store.aside.each("run", found):
        end_run(store, seq, Ending(), now)


def kills(store: Store) -> list[KillRun]:
    """The runs to be killed that the engine has not been told of yet."""
    found = store.all("SELECT seq FROM runs WHERE killing IS NOT NULL AND told = 0")
    store.many("UPDATE runs SET told = 1 WHERE seq = ?", found)
    return [KillRun(run=seq) for (seq,) in found]


def container_started(store: Store, seq: int, id: str) -> None:
    """The container of a run runs; its task shows it."""
    row = store.one("SELECT kind, node, job, task FROM runs WHERE seq = ?", (seq,))
    if row is None:
        return
    kind, node_seq, job, task_seq = row
    information = {"containerId": id, "state": "running", "error": ""}
    if kind == "start":
        node = store.nodes.at(node_seq)
        assert node is not None
        node.doc["startTaskInfo"]["containerInfo"] = information
        store.nodes.save(node)
    elif kind != "task":
        preparation.container_started(store, job, node_seq, kind, information)
    elif (task := task_at(store, task_seq)) is not None:
        execution = orjson.loads(task.execution or b"{}") | {"containerInfo": information}
        store.do("UPDATE tasks SET execution = ? WHERE seq = ?", (orjson.dumps(execution), task.seq))


def end_run(store: Store, seq: int, ending: Ending, now: datetime, *, lost: bool = False) -> list[StartRun]:
    """Record the end of a run. `lost`: the service restarted, so it counts as a node recovery.

    Returns what has to be started at once (a start task again, or tasks that waited for a job preparation task);
    everything else is up to the next tick.
    """
    row = store.one("SELECT seq, kind, node, job, task, folder, killing FROM runs WHERE seq = ?", (seq,))
    if row is None:
        return []
    run = Run(*row)
    killing = Killing(run.killing) if run.killing else (Killing.REQUEUE if lost else None)
    store.do("DELETE FROM runs WHERE seq = ?", (seq,))
    if run.kind != "task":
        return _end_node_task(store, run, ending, killing, now, lost=lost)
    assert run.task is not None
    job = store.jobs.at(run.job) if run.job is not None else None
    task = task_at(store, run.task)
    succeeded = killing is None and ending.exit_code == 0 and ending.failure is None
    store.do(_FREE, (run.node, int(succeeded)))
    if task is None or job is None:
        if not _is_used_again(store, run):
            store.do("INSERT INTO chores (folder, everywhere) VALUES (?, 0)", (run.folder,))
    else:
        _end_task_run(store, job, task, ending, killing, now)
    return []


def _end_node_task(
    store: Store, run: Run, ending: Ending, killing: Killing | None, now: datetime, *, lost: bool
) -> list[StartRun]:
    """A start, preparation or release task: like `end_run`."""
    node = store.nodes.at(run.node)
    assert node is not None
    if run.kind == "start":
        return _end_start_task(store, node, ending, killing, now)
    job = store.jobs.at(run.job) if run.job is not None else None
    assert job is not None
    if run.kind == "prep":
        return preparation.preparation_ended(store, job, node, ending, killing, now)
    return preparation.release_ended(store, job, node, ending, killing, now, lost=lost)


def _is_used_again(store: Store, run: Run) -> bool:
    """Has a new task of the removed one's name run on this node meanwhile, in the same folder?"""
    name = run.folder.rpartition("/")[2].lower()
    sql = "SELECT 1 FROM tasks WHERE job = ? AND key = ? AND node = ?"
    return store.one(sql, (run.job, name, run.node)) is not None


def _end_start_task(
    store: Store, node: Row, ending: Ending, killing: Killing | None, now: datetime
) -> list[StartRun]:
    again = killing is Killing.REQUEUE
    if killing is None:
        again = nodes.start_task_ended(store, node, ending, now)
    pool = store.pools.at(node.doc["_pool"])
    return [start_task_run(store, pool, node)] if again and pool is not None else []


def _end_task_run(
    store: Store, job: Row, task: TaskRow, ending: Ending, killing: Killing | None, now: datetime
) -> None:
    doc = task.document
    execution = orjson.loads(task.execution or b"{}")
    text = instant_text(now)
    if killing is Killing.REQUEUE:
        counts = _counts(execution) | {
            "requeueCount": execution["requeueCount"] + 1,
            "lastRequeueTime": text,
        }
        used = usage.add_try(store, job.seq, task, execution, ending, now)
        _move(store, task, TaskEvent.REQUEUE, counts, text, used)
        return
    limit = doc["constraints"]["maxTaskRetryCount"]
    # Only a non-zero exit code is worth another try: what could not start or upload its files ends.
    failed_by_itself = killing is None and ending.exit_code not in (None, 0) and ending.failure is None
    if failed_by_itself and (limit == -1 or execution["retryCount"] < limit):
        counts = _counts(execution) | {"retryCount": execution["retryCount"] + 1, "lastRetryTime": text}
        used = usage.add_try(store, job.seq, task, execution, ending, now, is_retried=True)
        _move(store, task, TaskEvent.RETRY, counts, text, used)
        return
    event = TaskEvent.FINISH if killing is None else TaskEvent.TERMINATE
    _complete(store, job, task, doc, execution, event, ending, killing, now)


def _counts(execution: Doc) -> Doc:
    """What of an ended try its successor goes on with."""
    return {name: execution[name] for name in execution if name.startswith(("retry", "requeue", "last"))}


def reactivate(store: Store, task: TaskRow, now: datetime) -> None:
    """A completed task is to run again: what it did is forgotten, its retries too."""
    state = TASK.step(task.state, TaskEvent.REACTIVATE)
    discard_files(store, task)
    store.do(_REACTIVATE, (state, task.state, instant_text(now), task.seq))


def is_retained(store: Store, task: TaskRow, now: datetime) -> bool:
    """Are the files of this completed task still to be had?"""
    if task.place is None:
        return False
    _, node, _ = orjson.loads(task.place)
    endless = after(task.changed, task.document["constraints"]["retentionTime"]) is None
    in_time = endless or (task.expires is not None and task.expires > instant_text(now))
    return store.nodes.get(node) is not None and in_time


def constrain(store: Store, task: TaskRow, constraints: Doc) -> None:
    """A task that is not completed gets other constraints; one that runs has its time counted from its start."""
    doc = task.document | {"constraints": constraints}
    store.do("UPDATE tasks SET doc = ? WHERE seq = ?", (orjson.dumps(doc), task.seq))
    started = orjson.loads(task.execution or b"{}").get("startTime")
    if task.state == TaskState.RUNNING:
        deadline = after(started, constraints["maxWallClockTime"])
        store.do("UPDATE runs SET deadline = ? WHERE task = ?", (deadline, task.seq))


def end_waiting_task(store: Store, job: Row, task: TaskRow, now: datetime) -> None:
    """A user terminates a task that does not run."""
    execution = orjson.loads(task.execution) if task.execution else dict(NEVER_RUN)
    doc = task.document
    _complete(store, job, task, doc, execution, TaskEvent.TERMINATE, Ending(), Killing.TERMINATE, now)


def _complete(
    store: Store,
    job: Row,
    task: TaskRow,
    doc: Doc,
    execution: Doc,
    event: TaskEvent,
    ending: Ending,
    killing: Killing | None,
    now: datetime,
) -> None:
    text = instant_text(now)
    used = usage.add_try(store, job.seq, task, execution, ending, now, is_last=True)
    failure = failure_information(ending, killing)
    execution |= {"endTime": text, "result": "failure" if failure else "success"}
    if ending.exit_code is not None:
        execution["exitCode"] = ending.exit_code
    if ending.container is not None:
        execution["containerInfo"] = ending.container
    if failure:
        execution["failureInfo"] = failure
    options = exit_options(doc.get("exitConditions"), ending, failed=failure is not None)
    # A reactivated task may have satisfied before: that is not taken back, and not counted twice.
    satisfied = not task.satisfied and options["dependencyAction"] == "satisfy"
    kept_until = expiry(text, doc["constraints"]) if task.place is not None else None
    _move(
        store,
        task,
        event,
        execution,
        text,
        used,
        result=execution["result"],
        satisfied=satisfied,
        expires=kept_until,
    )
    if satisfied and job.doc["usesTaskDependencies"]:
        settle_wishes(store, job.seq, task.seq, doc["id"])
    _act_on_job(store, job, task, options["jobAction"], now)


def _move(
    store: Store,
    task: TaskRow,
    event: TaskEvent,
    execution: Doc,
    text: str,
    used: bytes | None,
    *,
    result: str | None = None,
    satisfied: bool = False,
    expires: str | None = None,
) -> None:
    state = TASK.step(task.state, event)
    values = (
        state,
        result,
        int(satisfied),
        task.state,
        text,
        orjson.dumps(execution),
        expires,
        used,
        task.seq,
    )
    store.do(_MOVE, values)


def _act_on_job(store: Store, job: Row, task: TaskRow, action: str, now: datetime) -> None:
    if job.doc["onTaskFailure"] == "performexitoptionsjobaction":
        if action == "terminate":
            jobs.terminate(store, job, "TaskFailed", now)
        elif action == "disable" and job.doc["state"] == JobState.ACTIVE:
            jobs.disable(store, job, "requeue", now)
    manager = job.doc.get("jobManagerTask")
    if manager is not None and manager["killJobOnCompletion"] and manager["id"].lower() == task.key:
        jobs.terminate(store, job, "JMComplete", now)


def discard_files(store: Store, task: TaskRow) -> None:
    """The folder of a task that ran is not needed any more."""
    if task.place is not None:
        _, node, folder = orjson.loads(task.place)
        store.do("INSERT INTO chores (folder, everywhere) VALUES (?, 0)", (f"{node}/{folder}",))

"""Job preparation and release: once per node before a job's first task there, and once when the job ends.

Source: Azure Batch REST, BatchJobPreparationTask and BatchJobReleaseTask. A node whose preparation failed takes no task
of that job until it is reimaged. Release tasks take no slot, and a job is not over before they are.
One row of `preparations` per job and node; its `standing` is what placement asks for.
"""

from datetime import datetime
from enum import StrEnum

import orjson

from batchctl.server.batch.lifecycle.node import NodeState
from batchctl.server.batch.lifecycle.preparation import (
    PREPARATION,
    RELEASE,
    NodeTaskEvent,
    NodeTaskState,
)
from batchctl.server.batch.lifecycle.task import TASK, TaskEvent, TaskState
from batchctl.server.batch.scheduler.effects import Effect, Ending, Killing, StartRun
from batchctl.server.batch.scheduler.outcomes import failure_information
from batchctl.server.batch.scheduler.starts import node_task_run, waited_run
from batchctl.server.batch.store import Row, Store
from batchctl.server.batch.wire import Doc, after, instant_text

_FREE = (
    "UPDATE nodes SET free = CASE WHEN EXISTS (SELECT 1 FROM runs WHERE node = ?1 AND exclusive) THEN 0 "
    "ELSE slots - (SELECT coalesce(sum(slots), 0) FROM runs WHERE node = ?1) END WHERE seq = ?1"
)
_AVAILABLE = (NodeState.IDLE, NodeState.RUNNING, NodeState.OFFLINE)
_RESTARTING = (NodeState.REBOOTING, NodeState.STARTING, NodeState.WAITING_FOR_START_TASK)


class Standing(StrEnum):
    """How far a node is with a job's preparation; the last two: it was, before it was rebooted or reimaged."""

    RUNNING = "running"
    READY = "ready"
    FAILED = "failed"
    REBOOTED = "rebooted"
    REIMAGED = "reimaged"


def standings(store: Store, job: Row) -> dict[int, Standing]:
    """The standing of every node (its seq) that the job's preparation task has run on."""
    if "jobPreparationTask" not in job.doc:
        return {}
    rows = store.all("SELECT node, standing FROM preparations WHERE job = ?", (job.seq,))
    return {node: Standing(standing) for node, standing in rows}


def barred(job: Row, known: dict[int, Standing]) -> frozenset[int]:
    """The nodes that take no task of the job, because its preparation failed there."""
    if not known or not job.doc["jobPreparationTask"]["waitForSuccess"]:
        return frozenset()
    return frozenset(node for node, standing in known.items() if standing is Standing.FAILED)


def prepare(
    store: Store,
    pool: Row,
    node: Row,
    job: Row,
    known: dict[int, Standing],
    now: datetime,
    effects: list[Effect],
) -> bool:
    """Start the job's preparation on the node if it must run there; True: a task has to wait for it."""
    task = job.doc.get("jobPreparationTask")
    if task is None:
        return False
    standing = known.get(node.seq)
    if standing not in (Standing.RUNNING, Standing.READY, Standing.FAILED):
        effects.append(_begin(store, pool.doc["id"], node, job, task, now))
        standing = known[node.seq] = Standing.RUNNING
    return standing is Standing.RUNNING and bool(task["waitForSuccess"])


def _begin(store: Store, pool: str, node: Row, job: Row, task: Doc, now: datetime) -> StartRun:
    text = instant_text(now)
    folder = f"{job.doc['_folder']}/{task['id']}"
    information = {"startTime": text, "state": str(NodeTaskState.RUNNING), "taskRootDirectory": folder}
    doc = {"poolId": pool, "nodeId": node.doc["id"]}
    doc |= {"jobPreparationTaskExecutionInfo": information | {"retryCount": 0}}
    sql = (
        "INSERT INTO preparations (job, node, standing, doc) VALUES (?, ?, ?, ?) ON CONFLICT (job, node) "
        "DO UPDATE SET standing = excluded.standing, doc = excluded.doc, released = 0"
    )
    store.do(sql, (job.seq, node.seq, Standing.RUNNING, orjson.dumps(doc)))
    return _preparation_run(store, node, job, task, now)


def _preparation_run(store: Store, node: Row, job: Row, task: Doc, now: datetime) -> StartRun:
    deadline = after(instant_text(now), task["constraints"]["maxWallClockTime"])
    return node_task_run(store, "prep", node, job, task, deadline)


def preparation_ended(
    store: Store, job: Row, node: Row, ending: Ending, killing: Killing | None, now: datetime
) -> list[StartRun]:
    """A preparation task ended: once more, or the tasks that waited for it start, or look for another node."""
    task, text = job.doc["jobPreparationTask"], instant_text(now)
    row = store.one(
        "SELECT seq, standing, doc FROM preparations WHERE job = ? AND node = ?", (job.seq, node.seq)
    )
    if row is None:
        return []
    seq, standing, doc = row[0], Standing(row[1]), orjson.loads(row[2])
    if killing is Killing.REQUEUE or standing is not Standing.RUNNING:
        if standing is Standing.RUNNING:
            store.do("DELETE FROM preparations WHERE seq = ?", (seq,))
        _give_back(store, job, node, now)
        return []
    information = doc["jobPreparationTaskExecutionInfo"]
    failure = failure_information(ending, killing)
    limit = task["constraints"]["maxTaskRetryCount"]
    is_retried = killing is None and ending.exit_code not in (None, 0)
    if is_retried and (limit == -1 or information["retryCount"] < limit):
        state = PREPARATION.step(information["state"], NodeTaskEvent.RETRY)
        information |= {"retryCount": information["retryCount"] + 1, "lastRetryTime": text, "state": state}
        _save(store, seq, Standing.RUNNING, doc)
        return [_preparation_run(store, node, job, task, now)]
    state = PREPARATION.step(information["state"], NodeTaskEvent.FINISH)
    _record_end(information, state, ending, failure, text)
    _save(store, seq, Standing.FAILED if failure else Standing.READY, doc)
    if failure:
        _give_back(store, job, node, now)
        return []
    return _start_waiting(store, job, node, now)


def _record_end(
    information: Doc, state: NodeTaskState, ending: Ending, failure: Doc | None, text: str
) -> None:
    information |= {"state": state, "endTime": text, "result": "failure" if failure else "success"}
    if ending.exit_code is not None:
        information["exitCode"] = ending.exit_code
    if ending.container is not None:
        information["containerInfo"] = ending.container
    if failure:
        information["failureInfo"] = failure


def _save(store: Store, seq: int, standing: Standing, doc: Doc) -> None:
    sql = "UPDATE preparations SET standing = ?, doc = ? WHERE seq = ?"
    store.do(sql, (standing, orjson.dumps(doc), seq))


def _waiting(store: Store, job: Row, node: Row) -> list[tuple[int, int]]:
    sql = "SELECT seq, task FROM runs WHERE job = ? AND node = ? AND waiting AND killing IS NULL ORDER BY seq"
    return store.all(sql, (job.seq, node.seq))


def _start_waiting(store: Store, job: Row, node: Row, now: datetime) -> list[StartRun]:
    pool = store.pools.at(node.doc["_pool"])
    assert pool is not None
    return [waited_run(store, run, pool, node, job, task, now) for run, task in _waiting(store, job, node)]


def _give_back(store: Store, job: Row, node: Row, now: datetime) -> None:
    """The tasks that waited on this node wait for any node again."""
    state = TASK.step(TaskState.PREPARING, TaskEvent.PREPARATION_FAILED)
    sql = (
        "UPDATE tasks SET state = ?, previous = state, previous_changed = changed, changed = ? WHERE seq = ?"
    )
    for run, task in _waiting(store, job, node):
        store.do("DELETE FROM runs WHERE seq = ?", (run,))
        store.do(sql, (state, instant_text(now), task))
    store.do(_FREE, (node.seq,))


def container_started(store: Store, job: int, node: int, kind: str, information: Doc) -> None:
    """The container of a preparation or release task (`kind`: prep, release) runs."""
    sql = "SELECT seq, standing, doc FROM preparations WHERE job = ? AND node = ?"
    row = store.one(sql, (job, node))
    if row is not None:
        doc = orjson.loads(row[2])
        name = "jobPreparationTaskExecutionInfo" if kind == "prep" else "jobReleaseTaskExecutionInfo"
        doc[name]["containerInfo"] = information
        _save(store, row[0], Standing(row[1]), doc)


def release(store: Store, job: Row, now: datetime, effects: list[Effect]) -> bool:
    """Start the release task on every node that was prepared and is still there; True: some run now, or will."""
    task = job.doc.get("jobReleaseTask")
    if task is None or job.doc.get("_force"):
        return False
    sql = (
        "SELECT seq, node, standing, doc FROM preparations WHERE job = ? AND NOT released "
        "AND standing IN ('ready', 'failed', 'rebooted') ORDER BY seq"
    )
    started = False
    for seq, node_seq, standing, data in store.all(sql, (job.seq,)):
        node, doc = store.nodes.at(node_seq), orjson.loads(data)
        if node is not None and node.doc["state"] in _RESTARTING:
            started = True
            continue
        store.do("UPDATE preparations SET released = 1 WHERE seq = ?", (seq,))
        if node is None or node.doc["state"] not in _AVAILABLE:
            continue
        doc["jobReleaseTaskExecutionInfo"] = {
            "startTime": instant_text(now),
            "state": str(NodeTaskState.RUNNING),
            "taskRootDirectory": f"{job.doc['_folder']}/{task['id']}",
        }
        _save(store, seq, Standing(standing), doc)
        effects.append(_release_run(store, node, job, now))
        started = True
    return started


def _release_run(store: Store, node: Row, job: Row, now: datetime) -> StartRun:
    task = job.doc["jobReleaseTask"]
    deadline = after(instant_text(now), task["maxWallClockTime"])
    return node_task_run(store, "release", node, job, task, deadline)


def release_ended(
    store: Store, job: Row, node: Row, ending: Ending, killing: Killing | None, now: datetime, *, lost: bool
) -> list[StartRun]:
    """A release task ended, well or not; one cut off by the service's own end or by a reboot runs again."""
    row = store.one(
        "SELECT seq, standing, doc FROM preparations WHERE job = ? AND node = ?", (job.seq, node.seq)
    )
    if row is None:
        return []
    doc = orjson.loads(row[2])
    information = doc["jobReleaseTaskExecutionInfo"]
    state = NodeTaskState(information["state"])
    if lost and node.doc["state"] in _AVAILABLE:
        information["state"] = RELEASE.step(state, NodeTaskEvent.RERUN)
        _save(store, row[0], Standing(row[1]), doc)
        return [_release_run(store, node, job, now)]
    failure = failure_information(ending, killing)
    _record_end(information, RELEASE.step(state, NodeTaskEvent.FINISH), ending, failure, instant_text(now))
    _save(store, row[0], Standing(row[1]), doc)
    return []


def node_restarted(store: Store, node: int, *, reimaged: bool) -> None:
    """A node was rebooted or reimaged: which preparations must run there again before the next task.

    After a reboot those that ask for it and those that had not ended; after a reimage all.
    """
    for seq, job_seq, standing in store.all(
        "SELECT seq, job, standing FROM preparations WHERE node = ?", (node,)
    ):
        job = store.jobs.at(job_seq)
        assert job is not None
        task = job.doc["jobPreparationTask"]
        again = reimaged or standing == Standing.RUNNING
        again = again or (standing == Standing.READY and task["rerunOnNodeRebootAfterSuccess"])
        if again:
            after_that = Standing.REIMAGED if reimaged else Standing.REBOOTED
            store.do("UPDATE preparations SET standing = ? WHERE seq = ?", (after_that, seq))


def status_views(store: Store, job: Row, behind: int, limit: int, endpoint: str) -> list[tuple[int, Doc]]:
    """(place, BatchJobPreparationAndReleaseTaskStatus) of the nodes behind the place `behind`, in order."""
    sql = "SELECT seq, doc FROM preparations WHERE job = ? AND seq > ? ORDER BY seq LIMIT ?"
    views: list[tuple[int, Doc]] = []
    for seq, data in store.all(sql, (job.seq, behind, limit)):
        doc = orjson.loads(data)
        doc["nodeUrl"] = f"{endpoint}/pools/{doc['poolId']}/nodes/{doc['nodeId']}"
        for name in ("jobPreparationTaskExecutionInfo", "jobReleaseTaskExecutionInfo"):
            if name in doc:
                folder = doc[name]["taskRootDirectory"]
                doc[name]["taskRootDirectoryUrl"] = f"{doc['nodeUrl']}/files/{folder}"
        views.append((seq, doc))
    return views

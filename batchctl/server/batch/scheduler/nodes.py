"""Nodes one by one: booted, taken out of work, restarted, preempted, given back, gone.

A request puts a node at once into the state that clients wait on (`rebooting`, `deallocating`, …); when nothing runs on
it any more the tick moves it on. Source: Azure Batch REST, BatchNodeState, BatchNodeRebootKind and its siblings.
Decided here: `retaineddata` (deprecated) is `taskcompletion`; a reboot keeps the node's files, a reimage does not.
"""

from datetime import datetime, timedelta

from batchctl.server.batch.lifecycle.node import NODE, NodeEvent, NodeState
from batchctl.server.batch.scheduler.containers import configuration_of
from batchctl.server.batch.scheduler.effects import Effect, Ending, Killing, MakeNode, PrepareNode
from batchctl.server.batch.scheduler.outcomes import failure_information
from batchctl.server.batch.scheduler.preparation import node_restarted
from batchctl.server.batch.scheduler.starts import start_task_run
from batchctl.server.batch.store import Row, Store
from batchctl.server.batch.wire import Doc, instant_text

PREEMPTED_FOR = timedelta(minutes=1)
"""After this long a preempted node is given back: somewhere there is capacity again."""

UNUSABLE_FOR = timedelta(minutes=1)
"""After this long a node whose image could not be had is tried again, if a task waits for its pool."""

_UNTIL_ENDED = timedelta(seconds=1)
_POOL_WAITS = (
    "SELECT 1 FROM pools p JOIN jobs j ON j.pool = p.key JOIN job_counts c ON c.job = j.seq "
    "WHERE p.seq = ? AND j.state = 'active' AND c.ready > 0 LIMIT 1"
)
_NO_RUN = "NOT EXISTS (SELECT 1 FROM runs WHERE runs.node = nodes.seq)"
_NO_TASK = "NOT EXISTS (SELECT 1 FROM runs WHERE runs.node = nodes.seq AND runs.kind = 'task')"
DUE = f"SELECT 1 FROM nodes WHERE wake IS NOT NULL AND wake <= ?1 UNION ALL SELECT 1 FROM nodes WHERE changing AND {_NO_RUN}"
TO_REST = f"SELECT 1 FROM nodes WHERE state = 'running' AND {_NO_TASK}"
_ENABLED = "enabled"


def settle(store: Store, now: datetime, effects: list[Effect]) -> None:
    """Move on every node that is on its way from one state to the next and on which nothing runs any more."""
    awake = store.nodes.all("wake IS NOT NULL AND wake <= ?", (instant_text(now),))
    for node in store.aside.each("node", awake):
        node.doc["_wake"] = None
        if node.doc["state"] == NodeState.UNUSABLE:
            _try_again(store, node, now, effects)
            continue
        if NODE.can(node.doc["state"], NodeEvent.GIVE_BACK):
            NODE.advance(node.doc, NodeEvent.GIVE_BACK, now)
        store.nodes.save(node)
    for node in store.aside.each("node", store.nodes.all(f"changing AND {_NO_RUN}")):
        if "_preparing" not in node.doc:
            _move_on(store, node, now, effects)


def _move_on(store: Store, node: Row, now: datetime, effects: list[Effect]) -> None:
    state = NodeState(node.doc["state"])
    if state is NodeState.DEALLOCATING:
        NODE.advance(node.doc, NodeEvent.DEALLOCATED, now)
        store.nodes.save(node)
        return
    if state in (NodeState.REIMAGING, NodeState.CREATING):
        # A new disk: what was on the node is gone.
        store.do("INSERT INTO chores (folder, everywhere) VALUES (?, 0)", (node.doc["id"],))
        effects.append(MakeNode(node=node.doc["id"]))
        node.doc.pop("_users", None)
    node_restarted(store, node.seq, reimaged=state in (NodeState.REIMAGING, NodeState.CREATING))
    boot(store, node, now, effects)


def _try_again(store: Store, node: Row, now: datetime, effects: list[Effect]) -> None:
    """Start an unusable node, if nothing of it is left; one whose image could not be had only while work waits for it."""
    if store.one("SELECT 1 FROM runs WHERE node = ?", (node.seq,)) is not None:
        node.doc["_wake"] = instant_text(now + _UNTIL_ENDED)
    elif not node.doc["_without_engine"] and store.one(_POOL_WAITS, (node.doc["_pool"],)) is None:
        node.doc["_wake"] = instant_text(now + UNUSABLE_FOR)
    else:
        node_restarted(store, node.seq, reimaged=False)
        boot(store, node, now, effects)
        return
    store.nodes.save(node)


def boot(store: Store, node: Row, now: datetime, effects: list[Effect]) -> None:
    """Start a node's machine; with containers it waits until their images are there."""
    if node.doc["state"] != NodeState.STARTING:
        NODE.advance(node.doc, NodeEvent.BOOT, now)
    pool = store.pools.at(node.doc["_pool"])
    assert pool is not None
    for name in ("errors", "startTask", "startTaskInfo"):
        node.doc.pop(name, None)
    node.doc["lastBootTime"] = instant_text(now)
    if configuration_of(pool.doc) is None:
        begin(store, node, now, effects)
        return
    node.doc["_preparing"] = True
    store.nodes.save(node)
    effects.append(preparation(pool.doc, node))


def preparation(pool: Doc, node: Row) -> PrepareNode:
    """What a node of that pool needs before it can run containers."""
    configuration = configuration_of(pool) or {}
    return PrepareNode(
        node=node.doc["id"],
        images=tuple(configuration.get("containerImageNames", ())),
        registries=tuple(configuration.get("containerRegistries", ())),
    )


def begin(store: Store, node: Row, now: datetime, effects: list[Effect]) -> None:
    """Go on with a node that is starting: with the start task that its pool has now, or at once to work."""
    pool = store.pools.at(node.doc["_pool"])
    assert pool is not None
    start = pool.doc.get("startTask")
    if start is not None:
        node.doc["startTask"] = start
        node.doc["startTaskInfo"] = {"state": "running", "startTime": instant_text(now), "retryCount": 0}
        effects.append(start_task_run(store, pool, node))
    if start is not None and start["waitForSuccess"]:
        NODE.advance(node.doc, NodeEvent.AWAIT_START_TASK, now)
        store.nodes.save(node)
    else:
        _open(store, node, NodeEvent.READY, now)


def _open(store: Store, node: Row, event: NodeEvent, now: datetime) -> None:
    """The node can take tasks, unless a user has disabled that."""
    NODE.advance(node.doc, event, now)
    if node.doc["schedulingState"] != _ENABLED:
        NODE.advance(node.doc, NodeEvent.DISABLE, now)
    store.nodes.save(node)
    store.do("UPDATE nodes SET free = slots WHERE seq = ?", (node.seq,))


def start_task_ended(store: Store, node: Row, ending: Ending, now: datetime) -> bool:
    """The start task of `node` ended by itself; True: it is to run again."""
    task, information, text = node.doc["startTask"], node.doc["startTaskInfo"], instant_text(now)
    failure = failure_information(ending, None)
    limit = task["maxTaskRetryCount"]
    if failure and ending.exit_code is not None and (limit == -1 or information["retryCount"] < limit):
        again = {"startTime": text, "retryCount": information["retryCount"] + 1, "lastRetryTime": text}
        information |= again
        store.nodes.save(node)
        return True
    information |= {"state": "completed", "endTime": text, "result": "failure" if failure else "success"}
    if ending.exit_code is not None:
        information["exitCode"] = ending.exit_code
    if ending.container is not None:
        information["containerInfo"] = ending.container
    if failure:
        information["failureInfo"] = failure
    if node.doc["state"] != NodeState.WAITING_FOR_START_TASK:
        store.nodes.save(node)
    elif failure:
        NODE.advance(node.doc, NodeEvent.START_TASK_FAILED, now)
        node.doc["errors"] = [{"code": "StartTaskFailed", "message": "The start task failed on this node."}]
        store.nodes.save(node)
    else:
        _open(store, node, NodeEvent.START_TASK_SUCCEEDED, now)
    return False


def rest_nodes(store: Store, now: datetime) -> None:
    """Nodes on which no task runs any more are idle again, or offline if nothing may run there."""
    for node in store.aside.each("node", store.nodes.all(f"state = 'running' AND {_NO_TASK}")):
        is_enabled = node.doc["schedulingState"] == _ENABLED
        NODE.advance(node.doc, NodeEvent.REST if is_enabled else NodeEvent.REST_DISABLED, now)
        store.nodes.save(node)


def restart(store: Store, node: Row, event: NodeEvent, option: str, now: datetime) -> None:
    """Begin to reboot, reimage or deallocate a node (`event`); `option` says what becomes of its tasks."""
    NODE.advance(node.doc, event, now)
    store.nodes.save(node)
    end_work(store, node, killing_of(option))


def start(store: Store, node: Row, now: datetime) -> None:
    """Begin to start a deallocated node."""
    NODE.advance(node.doc, NodeEvent.START, now)
    store.nodes.save(node)


def leave(store: Store, node: Row, reason: Killing | None, now: datetime) -> None:
    """Begin to take a node out of its pool; its tasks are killed for `reason`, or left to end."""
    NODE.advance(node.doc, NodeEvent.LEAVE, now)
    node.doc.pop("_preparing", None)
    node.doc["_wake"] = None
    store.nodes.save(node)
    end_work(store, node, reason)


def disable_scheduling(store: Store, node: Row, option: str, now: datetime) -> None:
    """No more tasks on this node; `option` says what becomes of those that run."""
    node.doc["schedulingState"] = "disabled"
    if node.doc["state"] == NodeState.IDLE:
        NODE.advance(node.doc, NodeEvent.DISABLE, now)
    store.nodes.save(node)
    if (reason := killing_of(option)) is not None:
        _kill_tasks(store, node, reason)


def enable_scheduling(store: Store, node: Row, now: datetime) -> None:
    """Tasks may run on this node again."""
    node.doc["schedulingState"] = _ENABLED
    if node.doc["state"] == NodeState.OFFLINE:
        NODE.advance(node.doc, NodeEvent.ENABLE, now)
    store.nodes.save(node)


def preempt_node(
    store: Store, node: Row, now: datetime, *, back_after: timedelta | None = PREEMPTED_FOR
) -> bool:
    """Take a low-priority node's machine away: its tasks are requeued, its files are lost.

    After `back_after` (None: never) the node is given back, empty, and starts again. False if there was nothing to
    take: the node is not running, or leaving. Raises ValueError for a dedicated node. Inside the caller's transaction.
    """
    if node.doc["isDedicated"]:
        raise ValueError(f"{node.doc['id']} is dedicated: only low-priority nodes are preempted")
    if not NODE.can(node.doc["state"], NodeEvent.PREEMPT):
        return False
    NODE.advance(node.doc, NodeEvent.PREEMPT, now)
    node.doc["_wake"] = instant_text(now + back_after) if back_after is not None else None
    store.nodes.save(node)
    end_work(store, node, Killing.REQUEUE)
    return True


def killing_of(option: str) -> Killing | None:
    """What an option like `requeue` means for the tasks that run; None: they go on."""
    return Killing(option) if option in (Killing.REQUEUE, Killing.TERMINATE) else None


def end_work(store: Store, node: Row, reason: Killing | None) -> None:
    """End what runs on a node: the start task, and for `reason` its tasks."""
    store.do("UPDATE runs SET killing = 'terminate' WHERE node = ? AND kind = 'start'", (node.seq,))
    if reason is not None:
        _kill_tasks(store, node, reason)


def _kill_tasks(store: Store, node: Row, reason: Killing) -> None:
    sql = "UPDATE runs SET killing = ? WHERE node = ? AND kind <> 'start' AND killing IS NULL"
    store.do(sql, (reason, node.seq))

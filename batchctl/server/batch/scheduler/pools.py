"""Pools: made, resized, emptied, removed; auto pools live and die with their owner.

Nodes of this service need no time to be allocated, so a pool settles within one tick unless a node that is
to leave still has work, or a quota holds nodes back (Azure Batch REST, BatchNodeDeallocationOption, ResizeError).
"""

import uuid
from datetime import datetime

from batchctl.server.batch.errors import SCHEDULING_ERRORS, ServiceError
from batchctl.server.batch.lifecycle.node import NodeState
from batchctl.server.batch.lifecycle.pool import (
    ALLOCATION,
    POOL,
    Allocation,
    AllocationEvent,
    PoolEvent,
    PoolState,
)
from batchctl.server.batch.quota import has_room_for_pool, room_for_nodes
from batchctl.server.batch.resources.autoscale import check_autoscale
from batchctl.server.batch.resources.node import node_document
from batchctl.server.batch.resources.pool import pool_document, resize_deadline
from batchctl.server.batch.resources.vm_size import cores
from batchctl.server.batch.scheduler.effects import Effect, Killing, MakeNode
from batchctl.server.batch.scheduler.node_lives import record_life
from batchctl.server.batch.scheduler.nodes import boot, killing_of, leave
from batchctl.server.batch.store import Row, Store
from batchctl.server.batch.wire import Doc, instant_text

DUE = "SELECT 1 FROM pools WHERE changing"
_NO_RUN = "NOT EXISTS (SELECT 1 FROM runs WHERE runs.node = nodes.seq)"


class AutoPoolError(Exception):
    """An auto pool cannot be made: `information` is the jobSchedulingError of its job."""

    def __init__(self, code: str, *values: tuple[str, str]) -> None:
        super().__init__(code)
        self.information: Doc = {"category": "UserError", "code": code, "message": SCHEDULING_ERRORS[code]}
        if values:
            self.information["details"] = [{"name": name, "value": value} for name, value in values]


def auto_pool(store: Store, specification: Doc, owner: str, now: datetime) -> str:
    """The id of the owner's auto pool, which is made if it is not there.

    The id is an upper-case GUID behind the wished prefix and `_`, made from the owner so that a tick stays pure.
    Raises AutoPoolError when there can be no such pool.
    """
    existing = store.pools.find("owner = ? AND state = 'active'", (owner,))
    if existing is not None:
        return str(existing.doc["id"])
    if not has_room_for_pool(store):
        raise AutoPoolError("AutoPoolCreationFailedWithQuotaReached")
    try:
        check_autoscale(specification["pool"])
    except ServiceError as problem:
        raise AutoPoolError("InvalidAutoScaleFormulaInAutoPool", *problem.values) from None
    attempt = store.one("SELECT coalesce(max(seq), 0) FROM pools")[0]
    guid = str(uuid.uuid5(uuid.UUID(store.identity), f"{owner}:{attempt}")).upper()
    prefix = specification.get("autoPoolIdPrefix")
    name = f"{prefix}_{guid}" if prefix else guid
    doc = pool_document(name, specification["pool"], now, owner=owner)
    doc["_keepAlive"] = specification.get("keepAlive", False)
    store.pools.add(doc)
    return name


def owner_gone(store: Store, owner: str, now: datetime) -> None:
    """The job or schedule is over: its auto pool goes, unless it is to be kept."""
    for pool in store.pools.all("owner = ? AND state = 'active'", (owner,)):
        if not pool.doc["_keepAlive"]:
            delete(store, pool, now)


def delete(store: Store, pool: Row, now: datetime) -> None:
    """Begin to remove a pool; what runs on it goes back to wait."""
    POOL.advance(pool.doc, PoolEvent.DELETE, now)
    resize(store, pool, {"targetDedicatedNodes": 0, "targetLowPriorityNodes": 0}, now)


def resize(store: Store, pool: Row, targets: Doc, now: datetime) -> None:
    """Begin to bring the pool to new targets; what is not given becomes 0, as in the service."""
    for name in ("targetDedicatedNodes", "targetLowPriorityNodes"):
        pool.doc[name] = targets.get(name, 0)
    _begin_resize(store, pool, targets, now)


def remove_nodes(store: Store, pool: Row, nodes: list[Row], options: Doc, now: datetime) -> None:
    """Begin to take these nodes out of the pool, and lower its targets by as many."""
    for node in nodes:
        name = "targetDedicatedNodes" if node.doc["isDedicated"] else "targetLowPriorityNodes"
        pool.doc[name] = max(0, pool.doc[name] - 1)
    _begin_resize(store, pool, options, now)
    for node in nodes:
        leave(store, node, killing_of(pool.doc["_deallocation"]), now)


def _begin_resize(store: Store, pool: Row, options: Doc, now: datetime) -> None:
    ALLOCATION.advance(pool.doc, AllocationEvent.RESIZE, now)
    pool.doc["_deallocation"] = options.get("nodeDeallocationOption", "requeue")
    if "resizeTimeout" in options:
        pool.doc["resizeTimeout"] = options["resizeTimeout"]
    pool.doc["_until"] = resize_deadline(pool.doc, now)
    pool.doc.pop("resizeErrors", None)
    store.pools.save(pool)


def settle(store: Store, now: datetime, effects: list[Effect]) -> None:
    """Add and remove nodes of the pools that change, and end changes that are complete, or take too long."""
    for pool in store.aside.each("pool", store.pools.all("changing")):
        _remove_empty_leavers(store, pool, now)
        nodes = store.nodes.all("pool = ?", (pool.seq,))
        staying = [node for node in nodes if node.doc["state"] != NodeState.LEAVING_POOL]
        if pool.doc["state"] == PoolState.DELETING:
            for node in staying:
                leave(store, node, Killing.REQUEUE, now)
            if not nodes:
                store.pools.remove(pool.seq)
            continue
        is_complete = True
        if pool.doc["allocationState"] == Allocation.RESIZING:
            is_complete = _approach(store, pool, staying, now, effects)
        leaving = "SELECT 1 FROM nodes WHERE pool = ? AND state = 'leavingpool' LIMIT 1"
        # Save only a real change: the tick repeats until nothing changes any more.
        if is_complete and store.one(leaving, (pool.seq,)) is None:
            ALLOCATION.advance(pool.doc, AllocationEvent.SETTLE, now)
            store.pools.save(pool)
        elif _is_overdue(pool, now):
            _stop(store, pool, "AllocationTimedout", "The resize did not end within its resizeTimeout.", now)


def _is_overdue(pool: Row, now: datetime) -> bool:
    until = pool.doc.get("_until")
    is_resizing = pool.doc["allocationState"] == Allocation.RESIZING
    return is_resizing and until is not None and until <= instant_text(now)


def _approach(store: Store, pool: Row, staying: list[Row], now: datetime, effects: list[Effect]) -> bool:
    """Add and take away nodes as far as that goes; False: more are wanted and may come later."""
    is_complete = True
    for dedicated, target in ((True, "targetDedicatedNodes"), (False, "targetLowPriorityNodes")):
        have = [node for node in staying if node.doc["isDedicated"] is dedicated]
        wanted: int = pool.doc[target]
        if wanted > len(have) and not _grow(store, pool, wanted - len(have), now, effects, dedicated):
            is_complete = False
        # Those on which nothing runs leave first, then the youngest.
        have.sort(key=lambda node: (node.doc["state"] == NodeState.RUNNING, -node.seq))
        for node in have[: max(0, len(have) - wanted)]:
            leave(store, node, killing_of(pool.doc["_deallocation"]), now)
    return is_complete


def _grow(
    store: Store, pool: Row, missing: int, now: datetime, effects: list[Effect], dedicated: bool
) -> bool:
    room = room_for_nodes(store, dedicated=dedicated, cores=cores(pool.doc["vmSize"]))
    for _ in range(min(missing, room.by_cores, room.by_capacity)):
        node = store.nodes.add(node_document(store, pool, dedicated=dedicated, now=now))
        effects.append(MakeNode(node=node.doc["id"]))
        boot(store, node, now, effects)
        store.pools.save(pool)
    if missing > room.by_cores:
        kind = "dedicated" if dedicated else "low-priority"
        message = f"The account's quota of {kind} cores has been reached."
        _note_error(store, pool, "AccountCoreQuotaReached", message)
    return min(missing, room.by_cores) <= room.by_capacity


def _note_error(store: Store, pool: Row, code: str, message: str) -> None:
    error = {"code": code, "message": message}
    errors = pool.doc.get("resizeErrors", [])
    if error not in errors:
        pool.doc["resizeErrors"] = [*errors, error]
        store.pools.save(pool)


def _remove_empty_leavers(store: Store, pool: Row, now: datetime) -> None:
    for node in store.nodes.all(f"pool = ? AND state = 'leavingpool' AND {_NO_RUN}", (pool.seq,)):
        store.do("INSERT INTO chores (folder, everywhere) VALUES (?, 0)", (node.doc["id"],))
        record_life(store, pool, node, now)
        store.nodes.remove(node.seq)


def stop_resize(store: Store, pool: Row, now: datetime) -> None:
    """Stop a resize: nodes stay as they are, the targets too, and the pool says that it was stopped."""
    _stop(store, pool, "ResizeStopped", "The resize was stopped by the user.", now)


def _stop(store: Store, pool: Row, code: str, message: str, now: datetime) -> None:
    ALLOCATION.advance(pool.doc, AllocationEvent.STOP, now)
    _note_error(store, pool, code, message)
    store.pools.save(pool)

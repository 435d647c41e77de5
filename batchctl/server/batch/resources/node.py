"""Nodes: what a new one looks like and the answer's form. Source: Azure Batch REST, BatchNode."""

import hashlib
from datetime import datetime

from batchctl.server.batch.lifecycle.machine import record_state
from batchctl.server.batch.lifecycle.node import NodeState
from batchctl.server.batch.resources.pool import without_secrets
from batchctl.server.batch.resources.task import placed_views
from batchctl.server.batch.resources.vm_size import cores
from batchctl.server.batch.store import Row, Store
from batchctl.server.batch.wire import Doc, instant_text

AGENT_VERSION = "1.12.3"

COUNT_NAMES = {
    NodeState.LEAVING_POOL: "leavingPool",
    NodeState.START_TASK_FAILED: "startTaskFailed",
    NodeState.WAITING_FOR_START_TASK: "waitingForStartTask",
    NodeState.UPGRADING_OS: "upgradingOS",
}
"""How node counts spell the states that have more than one word."""


def node_id(store: Store, pool: int, number: int, *, dedicated: bool) -> str:
    """`tvmps_<64 hex>_d` (dedicated) or `_p` (low priority): unique, and the same at every replay of a tick."""
    digest = hashlib.sha256(f"{store.identity}:{pool}:{number}".encode()).hexdigest()
    return f"tvmps_{digest}_{'d' if dedicated else 'p'}"


def node_document(store: Store, pool: Row, *, dedicated: bool, now: datetime) -> Doc:
    """A node being created in `pool`, whose counter of nodes ever made moves on."""
    number = pool.doc["_nodes"]
    pool.doc["_nodes"] = number + 1
    name = node_id(store, pool.seq, number, dedicated=dedicated)
    text = instant_text(now)
    doc: Doc = {
        "id": name,
        "schedulingState": "enabled",
        "lastBootTime": text,
        "allocationTime": text,
        "ipAddress": f"10.0.{number // 250 % 250}.{number % 250 + 4}",
        "ipv6Address": f"fd00::{number // 250 % 250:x}:{number % 250 + 4:x}",
        "affinityId": f"TVM:{name}",
        "vmSize": pool.doc["vmSize"],
        "isDedicated": dedicated,
        "nodeAgentInfo": {"version": AGENT_VERSION, "lastUpdateTime": text},
        "_pool": pool.seq,
        "_cores": cores(pool.doc["vmSize"]),
        "_slots": pool.doc["taskSlotsPerNode"],
    }
    if image := pool.doc.get("virtualMachineConfiguration", {}).get("imageReference"):
        doc["virtualMachineInfo"] = {"imageReference": image}
    record_state(doc, NodeState.CREATING, now)
    return doc


def node_view(store: Store, pool: Row, row: Row, endpoint: str) -> Doc:
    """The node as an answer, with what runs on it now and its ten latest tasks."""
    hidden = ("previousState", "previousStateTransitionTime")
    doc = {name: value for name, value in row.doc.items() if name[0] != "_" and name not in hidden}
    doc["url"] = f"{endpoint}/pools/{pool.doc['id']}/nodes/{doc['id']}"
    sql = "SELECT count(*), coalesce(sum(slots), 0) FROM runs WHERE node = ? AND kind = 'task'"
    doc["runningTasksCount"], doc["runningTaskSlotsCount"] = store.one(sql, (row.seq,))
    sql = "SELECT total_run, total_ok FROM nodes WHERE seq = ?"
    doc["totalTasksRun"], doc["totalTasksSucceeded"] = store.one(sql, (row.seq,))
    if recent := placed_views(store, row.seq, endpoint):
        doc["recentTasks"] = recent
    if "startTask" in doc:
        doc["startTask"] = without_secrets(doc["startTask"])
    return doc


def counts_view(store: Store, pool: Row) -> Doc:
    """A BatchPoolNodeCounts: how many nodes of the pool are in which state, dedicated and low-priority apart."""
    view: Doc = {"poolId": pool.doc["id"]}
    for name, dedicated in (("dedicated", 1), ("lowPriority", 0)):
        sql = "SELECT state, count(*) FROM nodes WHERE pool = ? AND dedicated = ? GROUP BY 1"
        counted = dict(store.all(sql, (pool.seq, dedicated)))
        counts = {COUNT_NAMES.get(state, str(state)): counted.get(state, 0) for state in NodeState}
        view[name] = counts | {"total": sum(counted.values())}
    return view

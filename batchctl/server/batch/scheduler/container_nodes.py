"""Nodes of pools with containers: not ready before their images are there, unusable without a container engine.

A node whose image cannot be had is tried again every minute, and one without an engine when the engine is back, both only
while a task waits for its pool. Source: Azure Batch REST, BatchNodeState; Azure docs, "Azure Batch pool and node errors"
(Batch tries to recover unusable nodes).
"""

from collections.abc import Iterable
from datetime import datetime

from batchctl.server.batch.lifecycle.node import NODE, NodeEvent, NodeState
from batchctl.server.batch.scheduler import nodes
from batchctl.server.batch.scheduler.containers import configuration_of
from batchctl.server.batch.scheduler.effects import Effect, Killing, NodeProblem, PrepareNode
from batchctl.server.batch.store import Row, Store
from batchctl.server.batch.wire import instant_text

_WAITING_WORK = (
    "SELECT 1 FROM job_counts c JOIN jobs j ON j.seq = c.job JOIN pools p ON p.key = j.pool "
    "WHERE c.ready > 0 AND j.state = 'active' AND p.state = 'active' "
    "AND EXISTS (SELECT 1 FROM nodes n WHERE n.pool = p.seq AND n.state = 'unusable') LIMIT 1"
)


def preparations(store: Store) -> list[PrepareNode]:
    """What nodes were waiting for when the service died."""
    return [
        nodes.preparation(pool.doc, node)
        for node in store.nodes.all("state = 'starting'")
        if "_preparing" in node.doc and (pool := store.pools.at(node.doc["_pool"])) is not None
    ]


def prepared(
    store: Store, names: Iterable[str], problem: NodeProblem | None, now: datetime, effects: list[Effect]
) -> None:
    """These nodes have their images, or cannot have them."""
    for name in names:
        node = store.nodes.get(name)
        if node is None or node.doc["state"] != NodeState.STARTING or "_preparing" not in node.doc:
            continue
        del node.doc["_preparing"]
        if problem is None:
            nodes.begin(store, node, now, effects)
        else:
            _break(store, node, problem, now)


def lose_engine(store: Store, reason: str, now: datetime) -> None:
    """No engine answers any more: no node of a pool with containers can be used, and what runs there runs again."""
    problem = NodeProblem(code="NodePreparationError", message=reason, is_engine=True)
    for pool in store.pools.all():
        if configuration_of(pool.doc) is not None:
            for node in store.nodes.all("pool = ?", (pool.seq,)):
                # What is starting has asked the engine itself, and will be told.
                is_starting = node.doc["state"] == NodeState.STARTING
                if not is_starting and NODE.can(node.doc["state"], NodeEvent.BREAK):
                    _break(store, node, problem, now)


def engine_is_back(store: Store, now: datetime) -> None:
    """An engine answers: the nodes that had none start again."""
    for node in store.nodes.all("state = 'unusable'"):
        if node.doc.get("_without_engine"):
            node.doc["_wake"] = instant_text(now)
            store.nodes.save(node)


def waits_for_engine(store: Store) -> bool:
    """Does a task wait for a pool that has unusable nodes?"""
    return store.one(_WAITING_WORK) is not None


def has_lost_engine(store: Store) -> bool:
    """Is there a node that is unusable because no engine answered?"""
    return any(node.doc.get("_without_engine") for node in store.nodes.all("state = 'unusable'"))


def _break(store: Store, node: Row, problem: NodeProblem, now: datetime) -> None:
    NODE.advance(node.doc, NodeEvent.BREAK, now)
    node.doc["errors"] = [{"code": problem.code, "message": problem.message}]
    node.doc["_without_engine"] = problem.is_engine
    node.doc["_wake"] = None if problem.is_engine else instant_text(now + nodes.UNUSABLE_FOR)
    store.nodes.save(node)
    nodes.end_work(store, node, Killing.REQUEUE)

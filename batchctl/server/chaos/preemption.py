"""Low-priority nodes taken away: some of a pool at once, or those on which a task was just started."""

import hashlib
from collections.abc import Iterable
from datetime import datetime

from batchctl.server.batch.scheduler.effects import Effect, StartRun
from batchctl.server.batch.scheduler.nodes import preempt_node
from batchctl.server.batch.store import Row, Store
from batchctl.server.chaos import book
from batchctl.server.chaos.rule import Fault


def preempt_some(store: Store, pool: Row, count: int, seed: int, now: datetime) -> list[str]:
    """Take `count` low-priority nodes of the pool away, or all if there are fewer; their ids.

    The seed and the nodes' places in the pool say which, so it is the same in every service.
    """
    nodes = store.nodes.all("pool = ? AND NOT dedicated", (pool.seq,))
    order = sorted(range(len(nodes)), key=lambda place: hashlib.blake2b(f"{seed}:{place}".encode()).digest())
    taken: list[str] = []
    for place in order:
        if len(taken) < count and preempt_node(store, nodes[place], now):
            taken.append(nodes[place].doc["id"])
    return taken


def preempt(store: Store, node: str, now: datetime) -> None:
    """Take that low-priority node away, if it is still there."""
    if (row := store.nodes.get(node)) is not None:
        preempt_node(store, row, now)


def doomed_nodes(store: Store, effects: Iterable[Effect]) -> list[tuple[str, float]]:
    """The nodes that are to be taken away because of what starts on them now, and after how many seconds."""
    if store.one("SELECT 1 FROM chaos LIMIT 1") is None:
        return []
    found: list[tuple[str, float]] = []
    for effect in effects:
        if isinstance(effect, StartRun) and effect.task is not None and not effect.dedicated:
            rules = book.struck(store, {Fault.PREEMPT}, (effect.pool,))
            found += [(effect.node, rule.seconds) for rule in rules]
    return found

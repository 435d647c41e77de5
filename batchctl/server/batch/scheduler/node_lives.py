"""How long nodes were there, kept after they are gone: what usage metrics and pool statistics are computed from.

Core time runs from a node's allocation to its removal, whatever it did meanwhile.
"""

from datetime import datetime, timedelta

from batchctl.server.batch.resources.usage_metrics import Life
from batchctl.server.batch.store import Row, Store
from batchctl.server.batch.wire import instant_text, moment_of

_KEPT_FOR = timedelta(days=60)


def record_life(store: Store, pool: Row, node: Row, now: datetime) -> None:
    """A node goes: remember for 60 days how long it was there."""
    store.do("DELETE FROM node_lives WHERE ended < ?", (instant_text(now - _KEPT_FOR),))
    sql = "INSERT INTO node_lives (pool, name, size, cores, dedicated, began, ended) VALUES (?, ?, ?, ?, ?, ?, ?)"
    doc = node.doc
    fixed = (pool.seq, pool.doc["id"], doc["vmSize"], doc["_cores"], int(doc["isDedicated"]))
    store.do(sql, (*fixed, doc["allocationTime"], instant_text(now)))


def lives_between(store: Store, begin: datetime, end: datetime) -> list[Life]:
    """The nodes that were there at some time between the two instants, whole lives, in no order."""
    found = [
        Life(name, size, cores, moment_of(began), moment_of(ended))
        for name, size, cores, began, ended in store.all(
            "SELECT name, size, cores, began, ended FROM node_lives WHERE ended > ? AND began < ?",
            (instant_text(begin), instant_text(end)),
        )
    ]
    names = {pool.seq: pool.doc["id"] for pool in store.pools.all()}
    for node in store.nodes.all():
        began = moment_of(node.doc["allocationTime"])
        if began < end:
            name = names[node.doc["_pool"]]
            found.append(Life(name, node.doc["vmSize"], node.doc["_cores"], began, None))
    return found


def dedicated_core_time(store: Store, pool: Row, now: datetime) -> timedelta:
    """The core time of the pool's dedicated nodes, those of the last 60 days and those that are there."""
    sql = (
        "SELECT coalesce(sum((julianday(ended) - julianday(began)) * 86400 * cores), 0) FROM node_lives "
        "WHERE pool = ? AND dedicated"
    )
    total = timedelta(seconds=round(store.one(sql, (pool.seq,))[0], 3))
    for node in store.nodes.all("pool = ? AND dedicated", (pool.seq,)):
        total += max(now - moment_of(node.doc["allocationTime"]), timedelta()) * node.doc["_cores"]
    return total

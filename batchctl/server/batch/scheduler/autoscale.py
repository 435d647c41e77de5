"""Pools that size themselves: samples of their metrics every 30 seconds, and their formula at its interval.

Samples lie on a grid of 30 seconds and are kept for a day. A formula is evaluated when it is set, then at every
interval; and, so that nobody waits minutes on a laptop, also when a task waits and the pool has no node at all, at most
once in 30 seconds. Resource metrics are not measured: `$CPUPercent` is the share of task slots in use, the rest is 0.
"""

import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import orjson

from batchctl.server.batch.autoscale import METRICS, SAMPLE_PERIOD, Metric, Outcome, Surroundings, evaluate
from batchctl.server.batch.lifecycle.node import NodeState
from batchctl.server.batch.resources.pool import MOST_NODES
from batchctl.server.batch.scheduler import pools
from batchctl.server.batch.store import Row, Store
from batchctl.server.batch.wire import Doc, after, instant_text, moment_of

_KEPT_FOR = timedelta(days=1)
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)

_DUE = (
    "scale_wake IS NOT NULL AND (scale_wake <= ?1 OR (eager_after <= ?1 "
    "AND NOT EXISTS (SELECT 1 FROM nodes n WHERE n.pool = pools.seq) "
    "AND EXISTS (SELECT 1 FROM jobs j JOIN job_counts c ON c.job = j.seq "
    "WHERE j.pool = pools.key AND j.state = 'active' AND c.ready > 0)))"
)
DUE = f"SELECT 1 FROM pools WHERE {_DUE}"
_TASKS = (
    "SELECT coalesce(sum(c.ready), 0), coalesce(sum(c.succeeded), 0), coalesce(sum(c.failed), 0) "
    "FROM jobs j JOIN job_counts c ON c.job = j.seq WHERE j.pool = ? AND j.state = 'active'"
)
_RUNNING = (
    "SELECT count(*), coalesce(sum(r.slots), 0) FROM nodes n JOIN runs r ON r.node = n.seq "
    "WHERE n.pool = ? AND r.kind = 'task'"
)
_NODES = "SELECT dedicated, state, count(*), sum(slots) FROM nodes WHERE pool = ? GROUP BY 1, 2"


def settle(store: Store, now: datetime) -> None:
    """Sample and evaluate what is due."""
    for pool in store.aside.each("pool", store.pools.all(_DUE, (instant_text(now),))):
        _attend(store, pool, now)


def evaluated(store: Store, pool: Row, formula: str, now: datetime) -> Outcome:
    """What `formula` would say for the pool now; nothing is changed."""
    current = _reading(store, pool)
    samples = [(moment_of(at), orjson.loads(doc)) for at, doc in _history(store, pool)]
    at = _grid(now)
    if samples and samples[-1][0] == at:
        samples.pop()
    samples.append((at, current))
    metrics = {
        name: Metric(
            samples=[(moment, float(values.get(name, 0.0))) for moment, values in samples],
            current=float(current[name]),
            now=now,
        )
        for name in METRICS
        if name in formula or name.startswith("$Current")
    }
    surroundings = Surroundings(
        now=now,
        dedicated=pool.doc["targetDedicatedNodes"],
        low_priority=pool.doc["targetLowPriorityNodes"],
        metrics=metrics,
        # A tick must decide the same when it is repeated, so chance comes from the pool and the instant.
        random=random.Random(f"{pool.seq} {instant_text(now)}").random,
        most_nodes=MOST_NODES,
    )
    return evaluate(formula, surroundings)


def run_view(outcome: Outcome, now: datetime) -> Doc:
    """An AutoScaleRun."""
    view: Doc = {"timestamp": instant_text(now), "results": outcome.results}
    if outcome.error is not None:
        view["error"] = {
            "code": "AutoScalingFormulaEvaluationError",
            "message": "The specified auto-scaling formula has evaluation error",
            "values": [{"name": "Message", "value": outcome.error}],
        }
    return view


def _attend(store: Store, pool: Row, now: datetime) -> None:
    doc, text = pool.doc, instant_text(now)
    is_due = doc["_evaluate"] <= text
    is_early = not is_due and doc["_eagerAfter"] <= text and _is_starved(store, pool)
    _sample(store, pool, now)
    if is_due:
        doc["_evaluate"] = after(text, doc["autoScaleEvaluationInterval"])
        store.do("DELETE FROM samples WHERE pool = ? AND at < ?", (pool.seq, instant_text(now - _KEPT_FOR)))
    if is_early:
        doc["_eagerAfter"] = instant_text(now + SAMPLE_PERIOD)
    if is_due or is_early:
        _apply(store, pool, now)
    doc["_scaleWake"] = min(instant_text(_grid(now) + SAMPLE_PERIOD), doc["_evaluate"])
    store.pools.save(pool)


def _apply(store: Store, pool: Row, now: datetime) -> None:
    doc = pool.doc
    outcome = evaluated(store, pool, doc["autoScaleFormula"], now)
    doc["autoScaleRun"] = run_view(outcome, now)
    targets = {"targetDedicatedNodes": outcome.dedicated, "targetLowPriorityNodes": outcome.low_priority}
    if outcome.error is None and (_is_other(doc, targets) or "resizeErrors" in doc):
        pools.resize(store, pool, {**targets, "nodeDeallocationOption": outcome.option}, now)


def _is_other(doc: Doc, targets: Mapping[str, int]) -> bool:
    return any(doc[name] != value for name, value in targets.items())


def _is_starved(store: Store, pool: Row) -> bool:
    has_node = store.one("SELECT 1 FROM nodes WHERE pool = ? LIMIT 1", (pool.seq,)) is not None
    return not has_node and store.one(_TASKS, (pool.doc["id"].lower(),))[0] > 0


def _sample(store: Store, pool: Row, now: datetime) -> None:
    """Take the sample of this half minute, or take it anew; what is 0 is left out."""
    values = {name: value for name, value in _reading(store, pool).items() if value}
    sample = (pool.seq, instant_text(_grid(now)), orjson.dumps(values))
    store.do("INSERT OR REPLACE INTO samples (pool, at, doc) VALUES (?, ?, ?)", sample)


def _history(store: Store, pool: Row) -> list[tuple[str, bytes]]:
    return store.all("SELECT at, doc FROM samples WHERE pool = ? ORDER BY at", (pool.seq,))


def _grid(now: datetime) -> datetime:
    """The latest instant of the grid of samples."""
    return _EPOCH + (now - _EPOCH) // SAMPLE_PERIOD * SAMPLE_PERIOD


def _reading(store: Store, pool: Row) -> dict[str, float]:
    """The pool's metrics as they are."""
    ready, succeeded, failed = store.one(_TASKS, (pool.doc["id"].lower(),))
    running, busy_slots = store.one(_RUNNING, (pool.seq,))
    nodes = {True: 0, False: 0}
    slots = preempted = 0
    for dedicated, state, count, some_slots in store.all(_NODES, (pool.seq,)):
        nodes[bool(dedicated)] += count
        slots += some_slots
        preempted += count if state == NodeState.PREEMPTED else 0
    return dict.fromkeys(METRICS, 0.0) | {
        "$ActiveTasks": ready,
        "$RunningTasks": running,
        "$PendingTasks": ready + running,
        "$SucceededTasks": succeeded,
        "$FailedTasks": failed,
        "$CurrentDedicatedNodes": nodes[True],
        "$CurrentLowPriorityNodes": nodes[False],
        "$PreemptedNodeCount": preempted,
        "$SampleNodeCount": sum(nodes.values()),
        "$CPUPercent": 100.0 * busy_slots / slots if slots else 0.0,
    }

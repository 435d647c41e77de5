"""Which waiting task starts on which node.

Per pool: jobs by priority; a job's manager before its other tasks; jobs of one priority in turn, or the oldest
first (`jobDefaultOrder: creationtime`). Nodes: the emptiest (`Spread`) or the fullest that has room (`Pack`).
A task that fits nowhere stays active and holds nobody up.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import chain, groupby, zip_longest
from operator import itemgetter
from typing import NamedTuple

from batchctl.server.batch.lifecycle.node import NODE, NodeEvent, NodeState
from batchctl.server.batch.resources.task import COLUMNS, TaskRow
from batchctl.server.batch.scheduler.additions import MANAGER_RANK
from batchctl.server.batch.scheduler.effects import Effect
from batchctl.server.batch.scheduler.preparation import Standing, barred, prepare, standings
from batchctl.server.batch.scheduler.starts import task_run, waiting_run
from batchctl.server.batch.store import Row, Store

_HAVE_WORK_AND_ROOM = (
    "job_counts c JOIN jobs j ON j.seq = c.job JOIN pools p ON p.key = j.pool "
    "WHERE c.ready > 0 AND j.state = 'active' AND p.state = 'active' "
    "AND EXISTS (SELECT 1 FROM nodes n WHERE n.pool = p.seq AND n.open AND n.free > 0)"
)
DUE = f"SELECT 1 FROM {_HAVE_WORK_AND_ROOM}"
_JOBS = (
    f"SELECT p.seq, j.priority, j.seq, j.parallel, c.running FROM {_HAVE_WORK_AND_ROOM} "
    "ORDER BY p.seq, j.priority DESC, j.seq"
)
_READY = (
    f"SELECT {COLUMNS}, rank FROM tasks INDEXED BY tasks_ready "
    "WHERE job = ? AND state = 'active' AND unmet = 0 AND slots <= ? ORDER BY rank, seq LIMIT ?"
)


class _Candidate(NamedTuple):
    task: TaskRow
    rank: int
    job: int


class _Room:
    """The free slots of a pool's nodes while tasks are being placed."""

    def __init__(self, store: Store, pool: Row) -> None:
        sql = "SELECT seq, free, dedicated FROM nodes WHERE pool = ? AND open AND free > 0 ORDER BY seq"
        self._free: dict[int, int] = {}
        self._dedicated: dict[int, bool] = {}
        for seq, free, dedicated in store.all(sql, (pool.seq,)):
            self._free[seq] = free
            self._dedicated[seq] = bool(dedicated)
        self._pack = pool.doc["taskSchedulingPolicy"]["nodeFillType"].lower() == "pack"
        self._capacity: int = pool.doc["taskSlotsPerNode"]

    def total(self) -> int:
        return sum(self._free.values())

    def largest(self) -> int:
        return max(self._free.values(), default=0)

    def choose(
        self,
        slots: int,
        *,
        whole: bool,
        dedicated_only: bool,
        wished: int | None,
        barred: frozenset[int] = frozenset(),
    ) -> int | None:
        """A node with room, none of the barred; `whole`: nothing else may run there. The wished one if it has room."""
        need = self._capacity if whole else slots
        fits = [
            node
            for node, free in self._free.items()
            if free >= need and (self._dedicated[node] or not dedicated_only) and node not in barred
        ]
        if wished in fits or not fits:
            return wished if fits else None
        return (min if self._pack else max)(fits, key=self._free.__getitem__)

    def take(self, node: int, slots: int, *, whole: bool) -> None:
        self._free[node] -= self._free[node] if whole else slots

    def hold_emptiest(self) -> None:
        """Keep the emptiest node from filling up again: somebody waits for all of it."""
        if self._free:
            self._free[max(self._free, key=self._free.__getitem__)] = 0


def place(store: Store, now: datetime, effects: list[Effect]) -> None:
    """Start what can start, in every pool that has both work and room."""
    for seq, jobs in store.aside.each("pool", groupby(store.all(_JOBS), key=itemgetter(0))):
        _place_in_pool(store, _known(store.pools.at(seq)), jobs, now, effects)


def _place_in_pool(
    store: Store, pool: Row, jobs: Iterable[tuple[int, ...]], now: datetime, effects: list[Effect]
) -> None:
    """`jobs` are rows of `_JOBS`."""
    room = _Room(store, pool)
    in_turn = pool.doc["taskSchedulingPolicy"]["jobDefaultOrder"] != "creationtime"
    for _, group in groupby(jobs, key=itemgetter(1)):
        queues = [_queue(store, job, parallel, running, room) for _, _, job, parallel, running in group]
        candidates: Iterable[_Candidate] = _alternating(queues) if in_turn else chain.from_iterable(queues)
        _place_candidates(store, pool, candidates, room, now, effects)
        if not room.total():
            return


def _queue(store: Store, job: int, parallel: int, running: int, room: _Room) -> list[_Candidate]:
    limit = room.total() if parallel == -1 else min(room.total(), max(0, parallel - running))
    # Those set aside take no other's turn.
    found = store.all(_READY, (job, room.largest(), limit + len(store.aside.warnings)))
    waiting = [_Candidate(TaskRow(*row), rank, job) for *row, rank in found]
    return [one for one in waiting if ("task", one.task.seq) not in store.aside][:limit]


def _alternating(queues: list[list[_Candidate]]) -> Iterator[_Candidate]:
    return (candidate for round_ in zip_longest(*queues) for candidate in round_ if candidate is not None)


def _place_candidates(
    store: Store,
    pool: Row,
    candidates: Iterable[_Candidate],
    room: _Room,
    now: datetime,
    effects: list[Effect],
) -> None:
    prepared: dict[int, dict[int, Standing]] = {}
    waiting_for_manager: set[int] = set()
    for candidate in store.aside.each("task", candidates, lambda candidate: candidate.task.seq):
        if candidate.job in waiting_for_manager:
            continue
        job = _known(store.jobs.at(candidate.job))
        if job.seq not in prepared:
            prepared[job.seq] = standings(store, job)
        manager = job.doc["jobManagerTask"] if candidate.rank == MANAGER_RANK else {}
        whole = bool(manager.get("runExclusive"))
        node_seq = room.choose(
            candidate.task.slots,
            whole=whole,
            dedicated_only=manager.get("allowLowPriorityNode") is False,
            wished=None if manager else _wished_node(store, candidate.task),
            barred=barred(job, prepared[job.seq]),
        )
        if node_seq is None:
            if manager:
                waiting_for_manager.add(candidate.job)
            if whole:
                room.hold_emptiest()
            continue
        room.take(node_seq, candidate.task.slots, whole=whole)
        node = _known(store.nodes.at(node_seq))
        if node.doc["state"] == NodeState.IDLE:
            NODE.advance(node.doc, NodeEvent.WORK, now)
            store.nodes.save(node)
        if prepare(store, pool, node, job, prepared[job.seq], now, effects):
            waiting_run(store, pool, node, job, candidate.task, exclusive=whole, now=now)
        else:
            effects.append(task_run(store, pool, node, job, candidate.task, exclusive=whole, now=now))


def _known(row: Row | None) -> Row:
    assert row is not None
    return row


def _wished_node(store: Store, task: TaskRow) -> int | None:
    """The node that the task's affinityInfo names (`TVM:<node id>`), if it is there."""
    if b'"affinityInfo"' not in task.doc:
        return None
    affinity: str = task.document["affinityInfo"]["affinityId"]
    found = store.nodes.get(affinity.removeprefix("TVM:"))
    return found.seq if found else None

"""The one loop: it owns the clock, runs the scheduler, and has done what the scheduler decided.

It wakes when a handler changed something, a process ended, or the scheduler's next instant has come; it never
polls. Order per round: record what ended, decide (one transaction), then act. Processes are started only after
the decision is committed; their ids are committed right after, so a crash in between is found by their mark.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime

import apsw

from batchctl.server.batch import scheduler
from batchctl.server.batch.performer import Performer
from batchctl.server.batch.runner.process import DEFAULT_GRACE_SECONDS
from batchctl.server.batch.runner.site import Site
from batchctl.server.batch.scheduler import container_nodes, runs
from batchctl.server.batch.scheduler.effects import Effect, Ending, MakeNode, NodeProblem
from batchctl.server.batch.store import Store
from batchctl.server.chaos.preemption import doomed_nodes, preempt
from batchctl.server.chaos.starting import with_denied_images
from batchctl.server.disk import Ballast, has_room, is_full

# A timer does not count the time the machine sleeps, so wake at least this often while something is planned.
_LONGEST_SLEEP_SECONDS = 30.0
_FULL_DISK_SECONDS = 1.0
_ASIDE_SECONDS = 1.0


class Engine:
    """Create it in the running event loop; `run()` until cancelled; then `close()`."""

    def __init__(
        self,
        store: Store,
        site: Site,
        clock: Callable[[], datetime],
        ballast: Ballast,
        *,
        grace_seconds: float = DEFAULT_GRACE_SECONDS,
    ) -> None:
        self._store = store
        self._site = site
        self._clock = clock
        self._ballast = ballast
        self._performer = Performer(store, site, self, grace_seconds=grace_seconds)
        self._ended: list[tuple[int, Ending]] = []
        self._prepared: list[tuple[Sequence[str], NodeProblem | None]] = []
        self._doomed: list[str] = []
        self._is_engine_back = False
        self._lacks_engine = False
        self._changed = asyncio.Event()
        self._is_full = False
        self.is_quiet = False

    def wake(self) -> None:
        """Something changed: look at it soon."""
        self._changed.set()

    def changed(self) -> None:
        """A request changed something: look at it soon, and again at what is set aside."""
        self._store.aside.clear()
        self.wake()

    def recover(self) -> None:
        """Take over from a service that died: end its processes and requeue their tasks."""
        self._performer.recover()
        starts = self._contained(self._requeue)
        # The service may have died between deciding that there is a node and making its folders.
        nodes = [MakeNode(node=node.doc["id"]) for node in self._store.nodes.all()]
        self._lacks_engine = container_nodes.has_lost_engine(self._store)
        effects: list[Effect] = [*nodes, *container_nodes.preparations(self._store), *starts]
        self._performer.perform(effects, has_room=True)

    def _requeue(self) -> list[Effect]:
        starts: list[Effect] = []
        with self._store.transaction():
            now = self._clock()
            for run in self._store.aside.each("run", runs.open_runs(self._store)):
                starts += runs.end_run(self._store, run.seq, Ending(), now, lost=True)
        return starts

    def _contained(self, decide: Callable[[], list[Effect]]) -> list[Effect]:
        """What `decide` says. Where it fails at a row, that row is set aside and it decides again, without it."""
        while True:
            self._store.aside.begin()
            try:
                return self._ballast.write(decide)
            except Exception as problem:
                if is_full(problem) or not self._store.aside.blame(problem):
                    raise

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            self._changed.clear()
            self._round()
            if self._lacks_engine and container_nodes.waits_for_engine(self._store):
                self._performer.watch_for_engine()
            wake = scheduler.next_wake(self._store, self._clock())
            delay = None
            if wake is not None:
                delay = min(max((wake - self._clock()).total_seconds(), 0.0), _LONGEST_SLEEP_SECONDS)
            if delay is not None and self._store.aside.warnings:
                delay = max(delay, _ASIDE_SECONDS)  # what is set aside may be due
            if self._is_full or self._performer.is_behind:
                delay = _FULL_DISK_SECONDS
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), delay)

    def close(self) -> None:
        """End all processes by force. The store still says they run: the next start requeues their tasks."""
        self._performer.close()

    def run_ended(self, run: int, ending: Ending) -> None:
        """See `Outcomes`."""
        self._ended.append((run, ending))
        self.wake()

    def nodes_prepared(self, nodes: Sequence[str], problem: NodeProblem | None) -> None:
        """See `Outcomes`."""
        self._prepared.append((nodes, problem))
        self.wake()

    def looked_for_engine(self, is_there: bool) -> None:
        """See `Outcomes`."""
        self._is_engine_back = self._is_engine_back or is_there
        self.wake()

    def _round(self) -> None:
        """One round. On a full disk nothing is forgotten: what ended is recorded, and what waits started, later."""
        ended, doomed, prepared = self._ended.copy(), self._doomed.copy(), self._prepared.copy()
        self._is_full = not has_room(self._site.nodes)
        if not self._is_full:
            self._ballast.fill()

        def decide() -> list[Effect]:
            try:
                with self._store.transaction():
                    return [*self._decide_containers(ended, prepared), *self._decide(ended, doomed)]
            except apsw.Error as problem:
                self._is_full = self._is_full or is_full(problem)
                raise

        try:
            effects = self._contained(decide)
        except apsw.Error as problem:
            if not is_full(problem):
                raise
            return
        kept = [(run, ending) for run, ending in ended if ("run", run) in self._store.aside]
        self._ended[: len(ended)] = kept
        del self._doomed[: len(doomed)], self._prepared[: len(prepared)]
        self._is_engine_back = False
        self._performer.perform(effects, has_room=not self._is_full)

    def _decide_containers(
        self, ended: list[tuple[int, Ending]], prepared: list[tuple[Sequence[str], NodeProblem | None]]
    ) -> list[Effect]:
        """What follows for nodes from what is known of the container engine."""
        now = self._clock()
        effects: list[Effect] = []
        if self._is_engine_back:
            container_nodes.engine_is_back(self._store, now)
            self._lacks_engine = False
        lost = [ending.lost for _, ending in ended if ending.lost]
        lost += [problem.message for _, problem in prepared if problem is not None and problem.is_engine]
        if lost:
            container_nodes.lose_engine(self._store, lost[0], now)
            self._lacks_engine = True
        for nodes, problem in prepared:
            container_nodes.prepared(self._store, nodes, problem, now, effects)
        return effects

    def _decide(self, ended: list[tuple[int, Ending]], doomed: list[str]) -> list[Effect]:
        now = self._clock()
        effects: list[Effect] = []
        for node in doomed:
            preempt(self._store, node, now)
        for run, ending in self._store.aside.each("run", ended):
            effects += runs.end_run(self._store, run, ending, now, lost=bool(ending.lost))
        effects += scheduler.tick(self._store, now, can_start=not self._is_full)
        effects = with_denied_images(self._store, effects)
        for node, seconds in doomed_nodes(self._store, effects):
            asyncio.get_running_loop().call_later(seconds, self._doom, node)
        self.is_quiet = scheduler.is_quiet(self._store)
        return effects

    def _doom(self, node: str) -> None:
        self._doomed.append(node)
        self.wake()

"""What should happen now: `tick(store, now)` decides and records, and says what is to be done outside.

It reads no clock and starts nothing: the effects it returns are values (start this process, kill that one,
make a node's folders), and the engine carries them out after the decision is committed. Running it twice
changes nothing the second time. One statement asks which passes have something to do; none walks through all tasks.
"""

from collections.abc import Callable
from datetime import datetime
from itertools import compress

from batchctl.server.batch.scheduler import (
    autoscale,
    jobs,
    nodes,
    placement,
    pools,
    retention,
    runs,
    schedules,
)
from batchctl.server.batch.scheduler.effects import Effect, RemoveFolder
from batchctl.server.batch.store import Store
from batchctl.server.batch.wire import instant_text, moment_of

__all__ = ["is_quiet", "next_wake", "tick"]

Pass = Callable[[Store, datetime, list[Effect]], None]


def _inside(settle: Callable[[Store, datetime], None]) -> Pass:
    """A pass that changes nothing outside the store."""
    return lambda store, now, _: settle(store, now)


_PASSES: tuple[tuple[tuple[str, ...], Pass], ...] = (
    ((runs.EXPIRED,), _inside(runs.expire)),
    ((runs.KILLED_WAITS,), _inside(runs.end_killed_waits)),
    ((jobs.TIMED_OUT,), _inside(jobs.end_timed_out)),
    ((jobs.IDLE,), jobs.end_idle),
    ((jobs.QUIET,), jobs.finish_quiet),
    ((schedules.DUE,), _inside(schedules.settle)),
    ((autoscale.DUE,), _inside(autoscale.settle)),
    ((pools.DUE,), pools.settle),
    ((nodes.DUE,), nodes.settle),
    # A schedule that is due makes a job that is to be placed.
    ((schedules.DUE, placement.DUE), placement.place),
)
"""What a tick consists of, in order, each part with when it has something to do: questions to an index."""
_IN_ORDER = tuple(do for _, do in _PASSES)
_REST = ((retention.DUE,), (jobs.TO_REMOVE,), (nodes.TO_REST,), ("SELECT 1 FROM chores",), (runs.UNTOLD,))
_QUESTIONS = (*(questions for questions, _ in _PASSES), *_REST)
_WHICH_ARE_DUE = "SELECT " + ", ".join(" OR ".join(f"EXISTS ({one})" for one in some) for some in _QUESTIONS)
_WAKES = (
    "SELECT min(wake) AS at FROM schedules WHERE wake IS NOT NULL",
    "SELECT min(deadline) FROM jobs WHERE deadline IS NOT NULL",
    "SELECT min(deadline) FROM runs WHERE deadline IS NOT NULL AND killing IS NULL",
    "SELECT min(resize_wake) FROM pools WHERE resize_wake IS NOT NULL",
    "SELECT min(scale_wake) FROM pools WHERE scale_wake IS NOT NULL",
    "SELECT min(wake) FROM nodes WHERE wake IS NOT NULL",
    "SELECT min(expires) FROM tasks WHERE expires IS NOT NULL",
    f"SELECT ?1 WHERE EXISTS ({jobs.TO_REMOVE})",
)
_NEXT_WAKE = f"SELECT min(at) FROM ({' UNION ALL '.join(_WAKES)})"


def tick(store: Store, now: datetime, *, can_start: bool = True) -> list[Effect]:
    """Bring the store to where it should be at `now`; inside one transaction of the caller's.

    Without `can_start` no waiting task is started (there is no room for its output).
    Returns what has to be done outside, in that order.
    """
    effects: list[Effect] = []
    gone: list[RemoveFolder] = []
    before = store.changes
    *due, expired, to_remove, to_rest, chores, untold = store.one(_WHICH_ARE_DUE, (instant_text(now),))
    store.aside.begin()
    # Bounded parts of what may be a lot.
    if to_remove:
        jobs.remove_some_tasks(store)
    if expired:
        gone = retention.expire(store, now)
    while True:
        for do in compress(_IN_ORDER, due):
            store.aside.begin()
            if can_start or do is not placement.place:
                do(store, now, effects)
        # A pass may be due and yet find nothing that it can do, as a task that needs more slots than any node has left.
        if store.changes == before:
            break
        before = store.changes
        *due, _, _, to_rest, chores, untold = store.one(_WHICH_ARE_DUE, (instant_text(now),))
    store.aside.begin()
    if to_rest:  # not before: a node on which something starts when something else ends does not rest between
        nodes.rest_nodes(store, now)
    # Folders go before anything starts: a new task may have the name, and so the folder, of a removed one.
    kills = runs.kills(store) if untold else []
    return [*gone, *(_chores(store) if chores else []), *effects, *kills]


def next_wake(store: Store, now: datetime) -> datetime | None:
    """The next instant at which `tick` has something to do, if nothing else happens; None: never."""
    found = store.one(_NEXT_WAKE, (instant_text(now),))[0]
    return moment_of(found) if found is not None else None


def is_quiet(store: Store) -> bool:
    """No job is active, pausing or ending, and no pool is changing: nobody would miss the service."""
    busy_job = "SELECT 1 FROM jobs WHERE state <> 'completed' AND state <> 'disabled' LIMIT 1"
    return store.one(busy_job) is None and store.one("SELECT 1 FROM pools WHERE changing LIMIT 1") is None


def _chores(store: Store) -> list[RemoveFolder]:
    chores = store.all("SELECT folder, everywhere FROM chores ORDER BY seq")
    store.do("DELETE FROM chores")
    return [RemoveFolder(folder=folder, everywhere=bool(everywhere)) for folder, everywhere in chores]

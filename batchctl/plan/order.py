"""In which order the changes of a plan are made, so that nothing is missed while they are: what is new comes first."""

from collections.abc import Iterable

from batchctl.plan.change import Action, Change, Kind

_KINDS = [Kind.POOL, Kind.JOB_SCHEDULE, Kind.JOB, Kind.TASK]


def in_order(changes: Iterable[Change]) -> tuple[Change, ...]:
    """Pools before the schedules and jobs that name them, jobs before their tasks; deletions last and the other way round.

    Changes of one kind keep the order they came in (a task's dependencies come before it).
    """
    kept = list(changes)
    made = sorted((c for c in kept if c.action is not Action.DELETE), key=lambda c: _KINDS.index(c.kind))
    gone = sorted((c for c in kept if c.action is Action.DELETE), key=lambda c: -_KINDS.index(c.kind))
    return (*made, *gone)

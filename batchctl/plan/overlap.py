"""What a scheduled run does about other runs of its pipeline. Pure: the conductor brings the facts and does what is decided.

Azure Batch runs one job of a job schedule at a time, and knows nothing of a pipeline that has several schedules, or of runs
started by hand. A firing that had to wait for its schedule's previous job comes late, so what counts is who was running at the
occurrence, not who is running now.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from batchctl.spec.schedule import Overlap


class Verb(StrEnum):
    """What to do now."""

    GO = "go"
    SKIP = "skip"
    WAIT = "wait"
    REPLACE = "replace"


@dataclass(frozen=True, kw_only=True)
class OtherRun:
    """A run of the same pipeline that is going, or that ended after the occurrence."""

    id: str
    created: datetime
    ended: datetime | None
    """None while it is going."""
    scheduled_at: datetime | None
    """Its occurrence; None for one that was started by hand."""
    is_starter: bool = False
    """Whether it holds nothing but a conductor, which starts the run as another job: it is in nobody's way."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What to do, because of which runs, in words."""

    verb: Verb
    runs: tuple[str, ...] = ()
    why: str = ""


def decide(
    overlap: Overlap,
    me: OtherRun,
    others: Sequence[OtherRun],
    *,
    now: datetime,
    deadline: datetime,
) -> Decision:
    """What the run `me` does about `others`, at `now`; a run that waits gives up at `deadline`.

    Of two runs for one occurrence the first one goes, whatever the mode: two operators applied at once.
    """
    assert me.scheduled_at is not None
    earlier = sorted(
        (o for o in others if (o.created, o.id) < (me.created, me.id)), key=lambda o: (o.created, o.id)
    )
    twin = next((o for o in earlier if o.scheduled_at == me.scheduled_at), None)
    if twin is not None:
        return Decision(verb=Verb.SKIP, runs=(twin.id,), why=f"{twin.id} is for the same occurrence")
    earlier = [o for o in earlier if not o.is_starter]
    going = tuple(o.id for o in earlier if o.ended is None)
    match overlap:
        case Overlap.ALLOW:
            return Decision(verb=Verb.GO)
        case Overlap.REPLACE:
            return Decision(verb=Verb.REPLACE, runs=going) if going else Decision(verb=Verb.GO)
        case Overlap.QUEUE:
            if not going:
                return Decision(verb=Verb.GO)
            if now < deadline:
                return Decision(verb=Verb.WAIT, runs=going)
            return Decision(
                verb=Verb.SKIP, runs=going, why=f"{going[0]} was still going at the end of start_window"
            )
        case Overlap.FORBID:
            there = [o.id for o in earlier if o.ended is None or o.ended > me.scheduled_at]
            if there:
                return Decision(verb=Verb.SKIP, runs=tuple(there), why=f"{there[0]} was still going")
            return Decision(verb=Verb.GO)

"""From a cron line to Azure Batch recurrences that fire exactly when the line does, and a check that they do.

For ever where that is possible; else for the longest horizon whose recurrences fit a budget; else
refused, with the count. A horizon reaches the next occurrence at least: schedules that are none could
not be renewed. This module must not know the present time (`after` is given) or who keeps the
recurrences.
"""

from bisect import bisect_left
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import chain, pairwise
from zoneinfo import ZoneInfo

from batchctl.errors import Refused
from batchctl.schedule.cron import Cron
from batchctl.schedule.dst import Dst
from batchctl.schedule.endless import endless_cover
from batchctl.schedule.occurrence import occurrence_minutes
from batchctl.schedule.offsets import DAY, stretches
from batchctl.schedule.progressions import Cover, Progression, smallest_cover
from batchctl.schedule.recurrence import Decomposition, Recurrence, firing_minutes
from batchctl.schedule.window import Window, instant, minute_ceil
from batchctl.schedule.zones import TZDATA_VERSION

_HORIZONS = (400, 92, 35, 14, 7)
"""Days, the longest first. 400 is a year and the time to renew it; 7 is the least worth having."""
_PATIENCE = 5 * 366
"""Days within which the next occurrence must be: 29 February comes every four years, but for 2100 and its like."""
_COUNTED = 100
"""Up to so many schedules a refusal says the number."""


@lru_cache(maxsize=256)  # pipelines of one line ask for the same, and so does whoever plans again
def decompose(cron: Cron, timezone: ZoneInfo, dst: Dst, *, after: datetime, budget: int = 8) -> Decomposition:
    """At most `budget` recurrences, none before `after`, that together fire exactly when the line does.

    Raises Refused if even the next 7 days (or 7 from the next occurrence on, if that is later) need more than `budget`, and if
    the line does not fire within 5 years; ValueError if the budget is not positive.
    """
    if budget < 1:
        raise ValueError(f"a budget of {budget} schedules is none")
    first = minute_ceil(after)
    endless = endless_cover(cron, timezone, dst, first)
    if endless is not None and len(endless) <= budget:
        found = [Recurrence(start=instant(at), interval=timedelta(minutes=step)) for at, step in endless]
        return Decomposition(recurrences=tuple(found), horizon_end=None, tzdata=TZDATA_VERSION)
    soonest = next(occurrence_minutes(cron, timezone, dst, first, first + _PATIENCE * DAY), None)
    if soonest is None:
        raise Refused(
            f"{cron.text!r} in {timezone.key} does not fire within 5 years, and schedules reach no further",
            hint="give it a time that comes more often, or run the pipeline by hand",
        )
    ends = _ends(first, soonest)
    minutes = list(occurrence_minutes(cron, timezone, dst, first, ends[0]))
    seams = [stretch.first for stretch in stretches(timezone, first, ends[0])]
    for end in ends:
        cover = _cover(minutes, seams, end, budget)
        if cover is not None:
            found = [_recurrence(progression) for progression in sorted(cover)]
            return Decomposition(recurrences=tuple(found), horizon_end=instant(end), tzdata=TZDATA_VERSION)
    short = _cover(minutes, seams, ends[-1], _COUNTED)
    shortest = f"the next {_HORIZONS[-1]} days"
    if soonest >= first + _HORIZONS[-1] * DAY:
        shortest = f"{_HORIZONS[-1]} days from {instant(soonest):%Y-%m-%d} on"
    raise _refusal(cron, timezone, budget, len(endless or ()), len(short or ()), shortest)


def _ends(first: int, soonest: int) -> list[int]:
    """Where horizons may end, the furthest first: those that would not reach the `soonest` occurrence are counted from there."""
    longest = first + _HORIZONS[0] * DAY
    if soonest >= longest:
        return [soonest + days * DAY for days in _HORIZONS]
    ends = (first + days * DAY for days in _HORIZONS)
    counted = zip(ends, _HORIZONS, strict=True)
    return sorted(
        {end if end > soonest else min(soonest + days * DAY, longest) for end, days in counted}, reverse=True
    )


def covers(
    recurrences: Iterable[Recurrence], cron: Cron, timezone: ZoneInfo, dst: Dst, window: Window
) -> bool:
    """Whether the recurrences fire in `window` exactly when the line does, and never twice at once."""
    minutes = window.minutes
    wanted = occurrence_minutes(cron, timezone, dst, minutes.start, minutes.stop)
    fired = [firing_minutes(recurrence, window) for recurrence in recurrences]
    return None not in fired and sorted(chain.from_iterable(filter(None, fired))) == list(wanted)


def _cover(minutes: list[int], seams: list[int], end: int, limit: int) -> Cover:
    cuts = [bisect_left(minutes, seam) for seam in (*(seam for seam in seams if seam < end), end)]
    return smallest_cover([minutes[low:high] for low, high in pairwise(cuts)], limit)


def _recurrence(progression: Progression) -> Recurrence:
    first, step, length = progression
    if length == 1:
        return Recurrence(start=instant(first))
    # As late as can be: Batch drops a late last firing once the end has passed.
    margin = timedelta(minutes=1) if step > 1 else timedelta(seconds=30)
    return Recurrence(
        start=instant(first),
        interval=timedelta(minutes=step),
        end=instant(first + step * length) - margin,
    )


def _refusal(cron: Cron, timezone: ZoneInfo, budget: int, endless: int, short: int, shortest: str) -> Refused:
    """`endless`, `short`: the schedules needed for ever, and for the `shortest` horizon; 0 if not known."""
    needs = [f"{endless} for ever"] if endless else []
    needs.append(f"{short or f'more than {_COUNTED}'} for {shortest}")
    enough = min(count for count in (endless, short, _COUNTED) if count)
    raising = f"raise the budget to {enough}, " if endless or short else ""
    return Refused(
        f"{cron.text!r} in {timezone.key} needs too many Azure Batch schedules: {', '.join(needs)}; "
        f"the budget is {budget}",
        hint=f"{raising}use a steadier line (*/10 rather than */7), or split it between pipelines",
    )

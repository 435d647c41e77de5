"""Cron lines that repeat every week on the UTC axis for ever, and the endless progressions that equal them.

That is so if the line names weekdays rather than dates, and none of the offsets the zone will ever have
moves its week: either the clocks stay put, or (as for `*/15 * * * *`) the pattern looks the same from every
offset and follows elapsed time. This module must not know Azure Batch.
"""

from zoneinfo import ZoneInfo

from batchctl.schedule.cron import Cron
from batchctl.schedule.dst import Dst, Duplicate, Missing
from batchctl.schedule.offsets import DAY, offsets_from

_WEEK = 7 * DAY
_FIRST_WEEKDAY = 4
"""1970-01-01, from which minutes are counted, was a Thursday."""


def endless_cover(cron: Cron, timezone: ZoneInfo, dst: Dst, first: int) -> list[tuple[int, int]] | None:
    """(first minute, not before `first`; step in minutes) of disjoint progressions that equal the line.

    None if the line does not repeat every week for ever. Greedy: the densest that fit are taken first.
    """
    week = _week(cron, timezone, dst, first)
    if week is None:
        return None
    left, cover = set(week), []
    for step in (step for step in range(1, _WEEK + 1) if _WEEK % step == 0):
        for phase in sorted(minute for minute in left if minute < step):
            if left.issuperset(range(phase, _WEEK, step)):
                left.difference_update(range(phase, _WEEK, step))
                cover.append((first + (phase - first) % step, step))
    return sorted(cover)


def _week(cron: Cron, timezone: ZoneInfo, dst: Dst, first: int) -> frozenset[int] | None:
    if cron.weekly is None:
        return None
    # From two days before: what a change just past left to shift or not to repeat belongs to it.
    offsets = offsets_from(timezone, first - 2 * DAY)
    if len(offsets) > 1 and dst != Dst(missing=Missing.SKIP, duplicate=Duplicate.BOTH):
        return None
    walls = [(weekday - _FIRST_WEEKDAY) % 7 * DAY + time for weekday in cron.weekly for time in cron.times]
    weeks = {frozenset((wall - offset) % _WEEK for wall in walls) for offset in offsets}
    return weeks.pop() if len(weeks) == 1 else None

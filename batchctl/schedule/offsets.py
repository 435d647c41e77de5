"""How far a zone's clocks are from UTC, minute by minute.

Offsets and minutes are whole: the clocks show hours and minutes, and seconds in an offset (no zone since
1972) are dropped as a clock face drops them. This module must not know cron lines.
"""

from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

from batchctl.schedule.window import instant
from batchctl.schedule.zones import changes

DAY = 24 * 60
REACH = 16 * 60
"""No clock is further from UTC than this, either way, in minutes."""
STRIDE = 2 * DAY
"""No zone since 1900 changes its offset twice within this many minutes (the closest are a week apart),
so looking this often misses no change."""


class Stretch(NamedTuple):
    """Minutes `first` (in it) to `end` (not in it), in which wall clocks show UTC plus `offset` minutes."""

    first: int
    end: int
    offset: int


def offset_at(timezone: ZoneInfo, minute: int) -> int:
    """The offset in minutes, east of Greenwich positive."""
    offset = instant(minute).astimezone(timezone).utcoffset()
    if offset is None:
        raise TypeError(f"{timezone} has no offset")
    return int(offset.total_seconds() // 60)


def stretches(timezone: ZoneInfo, first: int, end: int) -> list[Stretch]:
    """The minutes from `first` to before `end`, cut where the offset changes; in order."""
    marks = [*range(first, end, STRIDE), end]
    found: list[Stretch] = []
    start, offset = first, offset_at(timezone, first)
    for low, high in pairwise(marks):
        if offset_at(timezone, high) != offset:
            change = _change(timezone, low, high)
            found.append(Stretch(start, change, offset))
            start, offset = change, offset_at(timezone, change)
    return [*found, Stretch(start, end, offset)] if start < end else found


def _change(timezone: ZoneInfo, low: int, high: int) -> int:
    """The first minute with the offset of `high`; `low` has another, and there is one change between."""
    after = offset_at(timezone, high)
    while high - low > 1:
        middle = (low + high) // 2
        if offset_at(timezone, middle) == after:
            high = middle
        else:
            low = middle
    return high


def offsets_from(timezone: ZoneInfo, minute: int) -> frozenset[int]:
    """Every offset the zone has from `minute` on, as far as its data knows; one if its clocks stay put."""
    listed, is_ruled = changes(timezone.key)
    found = {offset_at(timezone, minute), *(offset for at, offset in listed if at >= minute)}
    if is_ruled:
        start = max(minute, listed[-1][0] if listed else minute)
        found.update(stretch.offset for stretch in stretches(timezone, start, start + 366 * DAY))
    return frozenset(found)

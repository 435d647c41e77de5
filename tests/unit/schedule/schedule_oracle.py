"""What a cron line should do, worked out the slow way: every minute of UTC is put on the wall clock and looked at.

Written against the rules and not the product: it shares no code with `batchctl.schedule`, reads the fields with a matcher of
its own, and knows clock changes only as jumps of the wall clock from one minute to the next.
"""

from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import tzdata

MINUTE = timedelta(minutes=1)
MARGIN = timedelta(days=2)
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
MONTHS = ("", "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


@cache
def oracle_zone(name: str) -> ZoneInfo:
    with Path(tzdata.__file__).parent.joinpath("zoneinfo", name).open("rb") as data:
        return ZoneInfo.from_file(data, key=name)


@cache
def wall_clock(name: str, start: datetime, end: datetime) -> list[tuple[datetime, datetime]]:
    """(UTC minute, what the wall clock shows then, without seconds) for each minute of the span."""
    found, at = [], start
    while at < end:
        found.append((at, at.astimezone(oracle_zone(name)).replace(tzinfo=None, fold=0, second=0)))
        at += MINUTE
    return found


def brute_force(
    line: str, name: str, missing: str, duplicate: str, start: datetime, end: datetime
) -> list[datetime]:
    assert start.tzinfo is UTC
    clock = wall_clock(name, start - MARGIN, end + MARGIN)
    shown = {wall for _, wall in clock}
    fired, seen = set(), set()
    for (_, earlier), (at, wall) in pairwise(clock):
        left_out = earlier + MINUTE
        while left_out < wall:
            if missing == "shift" and left_out not in shown and line_matches(line, left_out):
                fired.add(at)
            left_out += MINUTE
        if line_matches(line, wall) and (duplicate == "both" or wall not in seen):
            fired.add(at)
        seen.add(wall)
    return sorted(at for at in fired if start <= at < end)


def line_matches(line: str, wall: datetime) -> bool:
    minute, hour, day, month, weekday = line.lower().split()
    if not (
        field_matches(minute, wall.minute, 0)
        and field_matches(hour, wall.hour, 0)
        and field_matches(month, wall.month, 1, MONTHS)
    ):
        return False
    on_day = field_matches(day, wall.day, 1)
    sunday_zero = wall.isoweekday() % 7
    on_weekday = field_matches(weekday, sunday_zero, 0, WEEKDAYS)
    if sunday_zero == 0:
        on_weekday = on_weekday or field_matches(weekday, 7, 0, WEEKDAYS)
    if day[0] == "*" or weekday[0] == "*":
        return on_day and on_weekday
    return on_day or on_weekday


@cache
def field_matches(field: str, value: int, lowest: int, names: tuple[str, ...] = ()) -> bool:
    for item in field.split(","):
        span, _, step = item.partition("/")
        low, _, high = span.partition("-")
        first = lowest if low == "*" else names.index(low) if low in names else int(low)
        last = 10**6 if low == "*" else first
        if high:
            last = names.index(high) if high in names else int(high)
        if first <= value <= last and (value - first) % int(step or 1) == 0:
            return True
    return False

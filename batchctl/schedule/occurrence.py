"""The instants at which a cron line fires in a time zone.

A day of the wall clock is the unit: `on_day` places its minutes on the UTC axis, the rest walks days in
either direction. This module must not know Azure Batch or the present time.
"""

from bisect import bisect_left
from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache
from itertools import chain, islice
from zoneinfo import ZoneInfo

from batchctl.schedule.cron import Cron
from batchctl.schedule.days import days_back, days_from
from batchctl.schedule.dst import Dst, Duplicate, Missing
from batchctl.schedule.fields import CronError, Field
from batchctl.schedule.offsets import DAY, REACH, Stretch, stretches
from batchctl.schedule.window import Window, instant, minute_floor

_PATIENCE = 100 * 366 * DAY
"""No line waits longer for its next day: 29 February on a given weekday comes within 40 years."""


def occurrences(cron: Cron, timezone: ZoneInfo, dst: Dst, window: Window) -> list[datetime]:
    """The instants in `window` at which the line fires, sorted, none twice."""
    minutes = window.minutes
    return [
        instant(minute) for minute in occurrence_minutes(cron, timezone, dst, minutes.start, minutes.stop)
    ]


def previous(cron: Cron, timezone: ZoneInfo, dst: Dst, at: datetime) -> datetime:
    """The latest occurrence not after `at`. Raises CronError if there is none in the hundred years before."""
    latest = minute_floor(at)
    best: int | None = None
    for day in days_back(cron, (latest + REACH) // DAY):
        day_end = (day + 1) * DAY + REACH
        if day_end < latest - _PATIENCE or (best is not None and day_end <= best):
            break
        found = [minute for minute in on_day(cron, timezone, dst, day) if minute <= latest]
        if found and (best is None or found[-1] > best):
            best = found[-1]
    if best is None:
        raise _never(cron, timezone)
    return instant(best)


def following(cron: Cron, timezone: ZoneInfo, dst: Dst, after: datetime, n: int = 1) -> list[datetime]:
    """The `n` occurrences after `after`, sorted. Raises CronError if a hundred years pass without one."""
    found: list[int] = []
    while len(found) < n:
        first = (found[-1] if found else minute_floor(after)) + 1
        more = list(islice(occurrence_minutes(cron, timezone, dst, first, first + _PATIENCE), n - len(found)))
        if not more:
            raise _never(cron, timezone)
        found += more
    return [instant(minute) for minute in found]


def occurrence_minutes(cron: Cron, timezone: ZoneInfo, dst: Dst, first: int, end: int) -> Iterator[int]:
    """The minutes from `first` to before `end` at which the line fires, ascending; lazily."""
    return chain.from_iterable(_by_day(cron, timezone, dst, first, end))


def _by_day(cron: Cron, timezone: ZoneInfo, dst: Dst, first: int, end: int) -> Iterator[list[int]]:
    waiting: list[int] = []
    for day in days_from(cron, (first - REACH) // DAY):
        if day * DAY - REACH >= end:
            break
        fired = on_day(cron, timezone, dst, day)
        if not fired:
            continue
        # Clocks put back over midnight make a day begin before the one before it has ended.
        done = bisect_left(waiting, fired[0])
        yield _within(waiting[:done], first, end)
        waiting = sorted({*waiting[done:], *fired}) if done < len(waiting) else fired
    yield _within(waiting, first, end)


def _within(minutes: list[int], first: int, end: int) -> list[int]:
    return minutes[bisect_left(minutes, first) : bisect_left(minutes, end)]


def on_day(cron: Cron, timezone: ZoneInfo, dst: Dst, day: int) -> list[int]:
    """The minutes at which the line fires for one day of the wall clock, which it must name; sorted."""
    midnight = day * DAY
    parts = stretches_of_day(timezone, day)
    if len(parts) == 1:
        return [midnight + time - parts[0].offset for time in cron.times]
    walls = [midnight + time for time in cron.times]
    fired: set[int] = set()
    seen: set[int] = set()
    for part in parts:
        shown = _within(walls, part.first + part.offset, part.end + part.offset)
        again = dst.duplicate is Duplicate.BOTH
        fired.update(wall - part.offset for wall in shown if again or wall not in seen)
        seen.update(shown)
    if dst.missing is Missing.SHIFT:
        for wall in walls:
            if wall not in seen:
                fired.add(next(part.first for part in parts if part.first + part.offset > wall))
    return sorted(fired)


@lru_cache(maxsize=4096)  # ten years of days: plans of many lines ask for the same ones
def stretches_of_day(timezone: ZoneInfo, day: int) -> list[Stretch]:
    """The stretches in which a clock of the zone can show a minute of `day`."""
    return stretches(timezone, day * DAY - REACH, (day + 1) * DAY + REACH)


def _never(cron: Cron, timezone: ZoneInfo) -> CronError:
    hint = "its minutes fall where the clocks are put forward; use dst.missing: shift, or another time"
    return CronError(
        Field.LINE, f"{cron.text!r} does not fire in {timezone.key} within a hundred years", hint=hint
    )

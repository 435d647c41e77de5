"""What Azure Batch is told about time, and what it then does.

Batch REST, job schedules: `doNotRunUntil` (our `start`), `recurrenceInterval` (`interval`, at least one
minute) and `doNotRunAfter` (`end`), all in UTC. This module must not know cron lines or time zones.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from batchctl.schedule.window import Window, as_utc, minute_floor

_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, kw_only=True)
class Recurrence:
    """One job schedule's times: it fires at `start` and every `interval` after it that is not past `end`."""

    start: datetime
    """`doNotRunUntil`: the first firing, UTC."""
    interval: timedelta | None = None
    """`recurrenceInterval`, at least a minute; None fires once."""
    end: datetime | None = None
    """`doNotRunAfter`, after the last firing and before the next that would be; None goes on for ever."""

    def __post_init__(self) -> None:
        if self.interval is not None and self.interval < timedelta(minutes=1):
            raise ValueError(f"interval {self.interval} is under one minute")
        object.__setattr__(self, "start", as_utc(self.start))
        if self.end is not None:
            object.__setattr__(self, "end", as_utc(self.end))
            if self.end < self.start:
                raise ValueError(f"ends before it starts: {self.start} to {self.end}")


@dataclass(frozen=True, kw_only=True)
class Decomposition:
    """The recurrences that stand for a cron line, and how long they do."""

    recurrences: tuple[Recurrence, ...]
    """Sorted by start; no instant is fired by two of them. Empty if there is none before `horizon_end`."""
    horizon_end: datetime | None
    """Until when (exclusive) they equal the line, UTC; None for ever, as far as `tzdata` knows."""
    tzdata: str
    """The version of the time zone data they were made from, as `2026a`."""


def firings(recurrences: Recurrence | Iterable[Recurrence], window: Window) -> list[datetime]:
    """When Batch fires them in `window`, sorted; an instant that two of them fire is in it twice."""
    if isinstance(recurrences, Recurrence):
        recurrences = (recurrences,)
    return sorted(at for recurrence in recurrences for at in _firings(recurrence, window))


def firing_minutes(recurrence: Recurrence, window: Window) -> range | None:
    """The `firings` of one recurrence as minutes since 1970, at once; None if it does not keep to whole minutes."""
    start, interval = recurrence.start, recurrence.interval or _MINUTE
    if start.second or start.microsecond or interval % _MINUTE:
        return None
    which = _in_window(recurrence, window)
    if not which:
        return range(0)
    first, step = minute_floor(start), interval // _MINUTE
    return range(first + which.start * step, first + which.stop * step, step)


def _firings(recurrence: Recurrence, window: Window) -> list[datetime]:
    start, interval = recurrence.start, recurrence.interval or _MINUTE
    return [start + k * interval for k in _in_window(recurrence, window)]


def _in_window(recurrence: Recurrence, window: Window) -> range:
    """Which of its firings, counted from 0, lie in the window."""
    start, interval, end = recurrence.start, recurrence.interval, recurrence.end
    if interval is None:
        return range(window.start <= start < window.end)
    first = max(0, -((start - window.start) // interval)) if start < window.start else 0
    until = window.end if end is None else min(window.end, end + timedelta.resolution)
    return range(first, max(first, -((start - until) // interval)))

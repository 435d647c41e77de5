"""The days of the calendar on which a cron line fires, forwards and backwards.

Days are counted from 1970-01-01. This module must not know time zones or the time of day.
"""

from collections.abc import Iterator
from datetime import date
from itertools import count

from batchctl.schedule.cron import Cron

_EPOCH = date(1970, 1, 1).toordinal()
_EPOCH_WEEKDAY = 4
"""1970-01-01 was a Thursday; Sunday is 0."""


def days_from(cron: Cron, day: int) -> Iterator[int]:
    """The days the line fires on, from `day` on, ascending without end."""
    return _named(cron, count(day))


def days_back(cron: Cron, day: int) -> Iterator[int]:
    """The days the line fires on, from `day` back, descending without end."""
    return _named(cron, count(day, -1))


def _named(cron: Cron, days: Iterator[int]) -> Iterator[int]:
    dates, weekdays, months = set(cron.days), set(cron.weekdays), set(cron.months)
    for day in days:
        on = date.fromordinal(_EPOCH + day)
        if on.month not in months:
            continue
        on_date, on_weekday = on.day in dates, (day + _EPOCH_WEEKDAY) % 7 in weekdays
        if (on_date or on_weekday) if cron.either else (on_date and on_weekday):
            yield day

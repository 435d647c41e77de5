"""A half-open span of time, and the whole minute as an integer.

Inside this package an instant is the number of minutes since 1970-01-01T00:00Z, so that arithmetic is exact
and fast; at its edge it is an aware UTC datetime. This module must not know time zones.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, kw_only=True)
class Window:
    """From `start` (in it) to `end` (not in it), kept in UTC. Raises ValueError if naive or reversed."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        object.__setattr__(self, "start", as_utc(self.start))
        object.__setattr__(self, "end", as_utc(self.end))
        if self.start > self.end:
            raise ValueError(f"window ends before it starts: {self.start} to {self.end}")

    @property
    def minutes(self) -> range:
        """The whole minutes in it."""
        return range(minute_ceil(self.start), minute_ceil(self.end))


def as_utc(at: datetime) -> datetime:
    """The same instant in UTC, where adding means elapsed time. Raises ValueError if `at` is naive."""
    if at.utcoffset() is None:
        raise ValueError(f"{at} has no time zone")
    return at.astimezone(UTC)


def minute_floor(at: datetime) -> int:
    """The last whole minute not after `at`. Raises ValueError if `at` is naive, or not of 1901 to 2399."""
    utc = as_utc(at)
    if not 1900 < utc.year < 2400:
        raise ValueError(f"{at} is outside the years 1901 to 2399")
    return (utc - _EPOCH) // _MINUTE


def minute_ceil(at: datetime) -> int:
    """The first whole minute not before `at`. Raises ValueError as `minute_floor`."""
    floor = minute_floor(at)
    return floor if instant(floor) == as_utc(at) else floor + 1


def instant(minute: int) -> datetime:
    """The minute as an aware UTC datetime."""
    return _EPOCH + minute * _MINUTE

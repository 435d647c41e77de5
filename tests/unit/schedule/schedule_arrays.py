"""The walk of `schedule_oracle` for thousands of lines: minutes are put on the wall clock once, as arrays.

A line is then five tables of yes and no, looked up for every minute. Like `schedule_oracle`, which judges this module on a
sample and lends it the reading of a field, it shares no code with `batchctl.schedule`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tests.unit.schedule.schedule_oracle import MONTHS, WEEKDAYS, field_matches, oracle_zone

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MARGIN = 2 * 24 * 60
Minutes = NDArray[np.int64]


class Faces(NamedTuple):
    """What the wall clock shows, minute by minute."""

    minute: NDArray[np.uint8]
    hour: NDArray[np.uint8]
    day: NDArray[np.uint8]
    month: NDArray[np.uint8]
    weekday: NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Walk:
    """UTC minutes and what the wall clock of a zone shows at them."""

    utc: Minutes
    faces: Faces
    shown_before: NDArray[np.bool_]
    """Whether the clock has shown the same before."""
    gaps: list[tuple[int, Faces]]
    """(place of the first minute after a jump forwards, the minutes that the clock leaves out)."""

    def fired(
        self, line: str, missing: str, duplicate: str, inside: slice = slice(None)
    ) -> NDArray[np.bool_]:
        """For each minute `inside`, whether the line fires."""
        fired = _matches(line, Faces(*(column[inside] for column in self.faces)))
        if duplicate == "first":
            fired &= ~self.shown_before[inside]
        if missing == "shift":
            places = range(len(self.utc))[inside]
            for place, left_out in self.gaps:
                if place in places and _matches(line, left_out).any():
                    fired[places.index(place)] = True
        return fired


def walk(name: str, start: datetime, end: datetime) -> Walk:
    """Each minute from `start` to before `end` (whole minutes) in one zone."""
    first, stop = minute(start), minute(end)
    utc = np.arange(first - MARGIN, stop + MARGIN, dtype=np.int64)
    wall = utc + _offsets(name, utc)
    shown_before = np.zeros(len(wall), np.bool_)
    for place in np.flatnonzero(wall[1:] <= np.maximum.accumulate(wall)[:-1]) + 1:
        shown_before[place] = wall[place] in wall[max(0, place - MARGIN) : place]
    gaps = []
    for place in np.flatnonzero(np.diff(wall) > 1) + 1:
        near = wall[max(0, place - MARGIN) : place + MARGIN]
        left_out = np.setdiff1d(np.arange(wall[place - 1] + 1, wall[place]), near)
        if MARGIN <= place < MARGIN + stop - first:
            gaps.append((int(place) - MARGIN, _faces(left_out)))
    inside = slice(MARGIN, MARGIN + stop - first)
    return Walk(utc=utc[inside], faces=_faces(wall[inside]), shown_before=shown_before[inside], gaps=gaps)


def joined(walks: Sequence[Walk]) -> Walk:
    """One walk after the other as one, for a line to be looked up in all of them at once."""
    places = accumulate((len(one.utc) for one in walks), initial=0)
    return Walk(
        utc=np.concatenate([one.utc for one in walks]),
        faces=Faces(*map(np.concatenate, zip(*(one.faces for one in walks), strict=True))),
        shown_before=np.concatenate([one.shown_before for one in walks]),
        gaps=[
            (at + place, left_out)
            for at, one in zip(places, walks, strict=False)
            for place, left_out in one.gaps
        ],
    )


def minute(at: datetime) -> int:
    """The whole minutes from 1970 to `at`, which must be on one."""
    minutes, rest = divmod(at - EPOCH, timedelta(minutes=1))
    assert not rest
    return minutes


def _offsets(name: str, utc: Minutes) -> Minutes:
    """The zone's offset at each minute. Read every hour, and every minute of an hour in which it changes."""
    offsets = np.empty_like(utc)
    marks = [*range(0, len(utc), 60), len(utc) - 1]
    for low, high in pairwise(marks):
        offsets[low : high + 1] = _offset(name, int(utc[low]))
        if _offset(name, int(utc[high])) != offsets[low]:
            offsets[low : high + 1] = [_offset(name, int(at)) for at in utc[low : high + 1]]
    return offsets


@lru_cache(maxsize=100)
def _offset(name: str, at: int) -> int:
    there = (EPOCH + timedelta(minutes=at)).astimezone(oracle_zone(name))
    shown = there.replace(tzinfo=UTC, second=0)
    return (shown - EPOCH) // timedelta(minutes=1) - at


def _faces(wall: Minutes) -> Faces:
    days = wall // (24 * 60)
    dates = days.astype("datetime64[D]")
    months = dates.astype("datetime64[M]")
    columns = (
        wall % 60,
        wall // 60 % 24,
        (dates - months).astype(np.int64) + 1,
        months.astype(np.int64) % 12 + 1,
        (days + 4) % 7,  # 1970-01-01 was a Thursday
    )
    return Faces(*(column.astype(np.uint8) for column in columns))


def _matches(line: str, faces: Faces) -> NDArray[np.bool_]:
    minute, hour, day, month, weekday = line.lower().split()
    on_weekday = _table(weekday, 8, 0, WEEKDAYS).copy()
    on_weekday[0] |= on_weekday[7]
    on_day, on_weekday = _table(day, 32, 1)[faces.day], on_weekday[faces.weekday]
    both = day[0] == "*" or weekday[0] == "*"
    matches: NDArray[np.bool_] = on_day & on_weekday if both else on_day | on_weekday
    matches &= _table(minute, 60, 0)[faces.minute]
    matches &= _table(hour, 24, 0)[faces.hour]
    matches &= _table(month, 13, 1, MONTHS)[faces.month]
    return matches


@lru_cache(maxsize=1000)
def _table(field: str, count: int, lowest: int, names: tuple[str, ...] = ()) -> NDArray[np.bool_]:
    return np.array([field_matches(field, value, lowest, names) for value in range(count)])

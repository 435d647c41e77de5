"""Sets of minutes as few arithmetic progressions, each minute in just one.

The fewest is a hard problem; these are cheap attempts of different character, and `smallest_cover` takes
the best. Each gives up, with None, once it needs more than `limit`, which is what keeps hopeless lines
cheap. This module must not know time zones or Azure Batch: it is about integers.

A line may fire every minute of 400 days, so loops over minutes are left to C: a set of minutes is a row of bytes, and a
progression in it a slice.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import chain, combinations, groupby, islice
from math import gcd
from operator import sub
from typing import NamedTuple

_DAY = 24 * 60
_CALENDAR_STEPS = (*(step for step in range(1, _DAY + 1) if _DAY % step == 0), 7 * _DAY)
_FEW = 80
"""Up to so many minutes it is affordable to look at every pair."""


class Progression(NamedTuple):
    """`length` (at least 1) minutes: `first`, `first + step`, ...; a length of 1 goes with a step of 0."""

    first: int
    step: int
    length: int

    def members(self) -> range:
        """The minutes in it."""
        return range(self.first, self.first + self.step * (self.length - 1) + 1, self.step or 1)


Cover = list[Progression] | None


def smallest_cover(parts: Sequence[Sequence[int]], limit: int) -> Cover:
    """At most `limit` disjoint progressions whose union is the minutes of all `parts`; None if not found.

    Each part is sorted and parts follow each other; they are the seams (where clocks change) at which
    patterns break, so that covering part by part is tried as well as covering all at once.
    """
    filled = [part for part in parts if part]
    whole = _best(list(chain.from_iterable(filled)), limit)
    if len(filled) < 2:
        return whole
    pieces: list[Progression] = []
    for done, part in enumerate(filled):
        rest = len(filled) - done - 1
        cover = _best(part, limit - len(pieces) - rest)
        if cover is None:
            return whole
        pieces += cover
    return pieces if whole is None or len(pieces) < len(whole) else whole


class _Minutes:
    """Some minutes, at least one, and which of them are left to cover: a byte for each, and for each that might lie between
    (at multiples of what the gaps have in common)."""

    def __init__(self, minutes: Sequence[int]) -> None:
        self.all = minutes
        gaps = map(sub, islice(minutes, 1, None), minutes)
        self.runs = [(gap, len(list(group))) for gap, group in groupby(gaps)]
        """(gap, how many such gaps follow each other), as the minutes have them."""
        self._first = minutes[0]
        self._unit = gcd(*(gap for gap, _ in self.runs)) or 1
        self._all = bytearray((minutes[-1] - self._first) // self._unit + 1)
        self._left = bytearray()
        at = 0
        for gap, count in self.runs:
            step = gap // self._unit
            self._all[at : at + step * count : step] = b"\x01" * count
            at += step * count
        self._all[at] = 1

    def restore(self) -> None:
        """All of them are left again."""
        self._left = self._all.copy()

    def next(self, minute: int) -> int | None:
        """The first that is left from `minute` on."""
        found = self._left.find(1, (minute - self._first) // self._unit)
        return None if found < 0 else self._first + found * self._unit

    def longest(self, first: int, steps: Iterable[int]) -> Progression:
        """The longest progression of those left from `first` by one of the ascending `steps`, the first of the longest."""
        left, unit, start = self._left, self._unit, (first - self._first) // self._unit
        room = self.all[-1] - first
        best = Progression(first, 0, 1)
        for step in steps:
            if room // step < best.length:
                break  # no longer one is to be had
            if step % unit == 0 and left[start + step // unit * best.length]:
                length = _ones(left, start, step // unit)
                best = Progression(first, step, length) if length > best.length else best
        return best

    def cover(self, found: Progression) -> None:
        """Its members are no longer left."""
        start, stride = (found.first - self._first) // self._unit, found.step // self._unit or 1
        self._left[start : start + stride * (found.length - 1) + 1 : stride] = bytes(found.length)


def _ones(row: bytearray, start: int, stride: int) -> int:
    """How many ones there are in a row, each `stride` after the one before; at least the one at `start`."""
    size = 64
    while True:
        part = row[start : start + stride * size : stride]
        found = part.find(0)
        if found >= 0:
            return found
        if len(part) < size:
            return len(part)
        size *= 16


def _best(listed: Sequence[int], limit: int) -> Cover:
    if not listed or limit < 1:
        return None if listed else []
    best: Cover = None
    minutes = _Minutes(listed)
    # Of equally short ones the first stays: days and weeks read better than a step of 23 hours and a half.
    for attempt in (_calendar_steps, _equal_gaps, _longest_from_first, _longest_anywhere):
        minutes.restore()
        cover = attempt(minutes, limit)
        if cover is not None:
            best, limit = cover, len(cover) - 1
        if limit < 1:
            break
    return best


def _calendar_steps(minutes: _Minutes, limit: int) -> Cover:
    """From the first minute left, the longest progression by a divisor of the day, or by weeks."""
    return _greedy(minutes, limit, _CALENDAR_STEPS)


def _equal_gaps(minutes: _Minutes, limit: int) -> Cover:
    """Runs of neighbours with the same gap: right for office hours over a few days, and for odd leftovers."""
    cover: list[Progression] = []
    position = between = 0
    for gap, count in minutes.runs:
        gaps = count - between
        between = 0
        if not gaps:
            continue  # the gap between two runs
        if len(cover) >= limit:
            return None
        cover.append(Progression(minutes.all[position], gap, gaps + 1))
        position += gaps + 1
        between = 1
    if position < len(minutes.all):
        if len(cover) >= limit:
            return None
        cover.append(Progression(minutes.all[position], 0, 1))
    return cover


def _longest_from_first(minutes: _Minutes, limit: int) -> Cover:
    """From the first minute left, the longest progression of any step."""
    return _greedy(minutes, limit, None)


def _greedy(minutes: _Minutes, limit: int, steps: Sequence[int] | None) -> Cover:
    cover: list[Progression] = []
    first: int | None = minutes.all[0]
    while first is not None:
        if len(cover) >= limit:
            return None
        later = range(bisect_left(minutes.all, first) + 1, len(minutes.all))
        best = minutes.longest(first, steps or (minutes.all[position] - first for position in later))
        cover.append(best)
        minutes.cover(best)
        first = minutes.next(first)
    return cover


def _longest_anywhere(minutes: _Minutes, limit: int) -> Cover:
    """The longest progression there is, again and again: right for months and other uneven rarities."""
    if len(minutes.all) > _FEW:
        return None
    left = set(minutes.all)
    cover: list[Progression] = []
    while left:
        if len(cover) >= limit:
            return None
        best = Progression(min(left), 0, 1)
        for first, second in combinations(sorted(left), 2):
            step = second - first
            if first + step * best.length in left:  # else it is no longer one
                length = 2
                while first + step * length in left:
                    length += 1
                best = Progression(first, step, length) if length > best.length else best
        cover.append(best)
        left.difference_update(best.members())
    return cover

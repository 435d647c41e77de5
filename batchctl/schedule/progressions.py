"""Sets of minutes as few arithmetic progressions, each minute in just one.

The fewest is a hard problem; these are cheap attempts of different character, and `smallest_cover` takes
the best. Each gives up, with None, once it needs more than `limit`, which is what keeps hopeless lines
cheap. This module must not know time zones or Azure Batch: it is about integers.
"""

from collections.abc import Sequence
from itertools import combinations
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
    whole = _best([minute for part in filled for minute in part], limit)
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


def _best(minutes: Sequence[int], limit: int) -> Cover:
    best: Cover = None
    # Of equally short ones the first stays: days and weeks read better than a step of 23 hours and a half.
    for attempt in (_calendar_steps, _equal_gaps, _longest_from_first, _longest_anywhere):
        cover = attempt(minutes, limit)
        if cover is not None:
            best, limit = cover, len(cover) - 1
        if limit < 1:
            break
    return best


def _calendar_steps(minutes: Sequence[int], limit: int) -> Cover:
    """From the first minute left, the longest progression by a divisor of the day, or by weeks."""
    return _greedy(minutes, limit, _CALENDAR_STEPS)


def _equal_gaps(minutes: Sequence[int], limit: int) -> Cover:
    """Runs of neighbours with the same gap: right for office hours over a few days, and for odd leftovers."""
    cover: list[Progression] = []
    position = 0
    while position < len(minutes):
        if len(cover) >= limit:
            return None
        first = minutes[position]
        step = minutes[position + 1] - first if position + 1 < len(minutes) else 0
        length = 1
        while position + length < len(minutes) and minutes[position + length] == first + step * length:
            length += 1
        cover.append(Progression(first, step, length))
        position += length
    return cover


def _longest_from_first(minutes: Sequence[int], limit: int) -> Cover:
    """From the first minute left, the longest progression of any step."""
    return _greedy(minutes, limit, None)


def _greedy(minutes: Sequence[int], limit: int, steps: Sequence[int] | None) -> Cover:
    left = set(minutes)
    cover: list[Progression] = []
    for position, first in enumerate(minutes):
        if first not in left:
            continue
        if len(cover) >= limit:
            return None
        best = Progression(first, 0, 1)
        for step in steps or (minutes[later] - first for later in range(position + 1, len(minutes))):
            if (minutes[-1] - first) // step < best.length:
                break  # steps ascend: no longer one is to be had
            if first + step * best.length in left:
                best = _longer(left, first, step, best)
        cover.append(best)
        left.difference_update(best.members())
    return cover


def _longest_anywhere(minutes: Sequence[int], limit: int) -> Cover:
    """The longest progression there is, again and again: right for months and other uneven rarities."""
    if len(minutes) > _FEW:
        return None
    left = set(minutes)
    cover: list[Progression] = []
    while left:
        if len(cover) >= limit:
            return None
        best = Progression(min(left), 0, 1)
        for first, second in combinations(sorted(left), 2):
            if first + (second - first) * best.length in left:
                best = _longer(left, first, second - first, best)
        cover.append(best)
        left.difference_update(best.members())
    return cover


def _longer(left: set[int], first: int, step: int, best: Progression) -> Progression:
    """The progression from `first` by `step` if it is longer than `best`, else `best`."""
    length = 1
    while first + step * length in left:
        length += 1
    return Progression(first, step, length) if length > best.length else best

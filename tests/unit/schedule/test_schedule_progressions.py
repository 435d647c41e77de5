"""Progressions over bare integers: exact, disjoint, within the limit; every kind of attempt is best somewhere."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchctl.schedule.progressions import smallest_cover

HOUR, DAY = 60, 24 * 60


@settings(max_examples=150, derandomize=True, deadline=None)
@given(
    minutes=st.sets(st.integers(0, 40), max_size=25).map(sorted),
    cut=st.integers(0, 25),
    limit=st.integers(0, 25),
)
def test_a_cover_is_exact_disjoint_and_within_the_limit(minutes: list[int], cut: int, limit: int) -> None:
    cover = smallest_cover([minutes[:cut], minutes[cut:]], limit)
    if cover is None:
        assert limit < (len(minutes) + 1) // 2
        return
    assert len(cover) <= limit
    assert sorted(minute for one in cover for minute in one.members()) == minutes
    assert all(one.length > 1 if one.step else one.length == 1 for one in cover)


@pytest.mark.parametrize(
    ("days", "count"),
    [
        ([0, 1, 2, 3, 4], 1),
        ([0, 4, 8, 10, 11, 12, 13], 2),  # equal gaps: 0 4 8, then 10 to 13
        ([2, 4, 5, 6, 7, 9, 11], 2),  # the longest from the first: 2 4 6, not 2 then 4 to 7
        ([0, 5, 8, 9, 11], 2),  # the longest anywhere: 5 8 11, then 0 9
        ([], 0),
    ],
)
def test_few_progressions_are_found_for_uneven_days(days: list[int], count: int) -> None:
    cover = smallest_cover([[day * DAY for day in days]], 9)
    assert cover is not None
    assert len(cover) == count


def test_steps_of_the_calendar_can_beat_longer_ones() -> None:
    minutes = [HOUR * number for number in (0, 2, 5, 6, 8, 9, 10, 13)]
    cover = smallest_cover([minutes], 3)
    assert cover is not None
    assert sorted(minute for one in cover for minute in one.members()) == minutes


def test_covering_part_by_part_helps_where_a_pattern_breaks() -> None:
    before, after = [day * DAY for day in (0, 1, 3, 5, 8)], [day * DAY for day in (10, 11, 12)]
    assert smallest_cover([[*before, *after]], 3) is None
    parted = smallest_cover([before, after], 3)
    assert parted is not None
    assert len(parted) == 3


def test_the_limit_is_kept_for_every_kind_of_set() -> None:
    minutes = [number * number for number in range(60)]
    assert smallest_cover([minutes], 5) is None
    assert smallest_cover([minutes], 0) is None
    assert smallest_cover([[], []], 0) == []

"""Occurrences: against brute force at every odd clock change, and the named cases one can check by eye."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from batchctl.schedule import (
    CronError,
    Dst,
    Duplicate,
    Missing,
    Window,
    dst_for,
    following,
    occurrences,
    parse,
    previous,
    zone,
)
from tests.unit.schedule.schedule_lines import MOMENTS, lines
from tests.unit.schedule.schedule_oracle import brute_force

LA = "America/Los_Angeles"


def on_wall(
    line: str, name: str, start: str, end: str, missing: str | None = None, duplicate: str | None = None
) -> list[str]:
    """The occurrences between two wall-clock times, as wall-clock times with their offsets."""
    there = zone(name)
    begin, stop = (datetime.fromisoformat(text).replace(tzinfo=there) for text in (start, end))
    cron = parse(line)
    dst = dst_for(cron, missing and Missing(missing), duplicate and Duplicate(duplicate))
    found = occurrences(cron, there, dst, Window(start=begin, end=stop))
    assert all(at.tzinfo is UTC and at.second == at.microsecond == 0 for at in found)
    return [at.astimezone(there).isoformat(timespec="minutes") for at in found]


@settings(max_examples=150, derandomize=True, deadline=None)
@given(
    line=lines(),
    moment=st.sampled_from(MOMENTS),
    missing=st.sampled_from(Missing),
    duplicate=st.sampled_from(Duplicate),
)
def test_occurrences_are_those_of_brute_force(
    line: str, moment: tuple[str, datetime], missing: Missing, duplicate: Duplicate
) -> None:
    try:
        cron = parse(line)
    except CronError as error:
        assume("never fires" not in error.message)
        raise
    name, change = moment
    start, end = change - timedelta(days=2, minutes=17), change + timedelta(days=2, minutes=29)
    dst = Dst(missing=missing, duplicate=duplicate)
    wanted = brute_force(line, name, missing, duplicate, start, end)
    assert occurrences(cron, zone(name), dst, Window(start=start, end=end)) == wanted
    if wanted:
        middle = wanted[len(wanted) // 2]
        assert previous(cron, zone(name), dst, middle + timedelta(seconds=59)) == middle
        assert following(cron, zone(name), dst, wanted[0], min(len(wanted) - 1, 50)) == wanted[1:51]
        if len(wanted) > 1:
            assert previous(cron, zone(name), dst, wanted[-1] - timedelta(seconds=1)) == wanted[-2]


@pytest.mark.parametrize(
    ("missing", "wanted"),
    [
        (None, ["2026-03-07T02:30-08:00", "2026-03-08T03:00-07:00", "2026-03-09T02:30-07:00"]),
        ("skip", ["2026-03-07T02:30-08:00", "2026-03-09T02:30-07:00"]),
    ],
)
def test_a_minute_left_out_in_spring(missing: str | None, wanted: list[str]) -> None:
    assert on_wall("30 2 * * *", LA, "2026-03-07", "2026-03-10", missing) == wanted


@pytest.mark.parametrize(
    ("duplicate", "wanted"),
    [
        (None, ["2026-11-01T01:30-07:00", "2026-11-02T01:30-08:00"]),
        ("both", ["2026-11-01T01:30-07:00", "2026-11-01T01:30-08:00", "2026-11-02T01:30-08:00"]),
    ],
)
def test_a_minute_repeated_in_autumn(duplicate: str | None, wanted: list[str]) -> None:
    assert on_wall("30 1 * * *", LA, "2026-11-01", "2026-11-03", None, duplicate) == wanted


def test_half_past_two_is_not_repeated_in_autumn() -> None:
    assert on_wall("30 2 * * *", LA, "2026-11-01", "2026-11-02") == ["2026-11-01T02:30-08:00"]


def test_many_minutes_left_out_are_one_shift() -> None:
    assert on_wall("0-59/10 2 * * *", LA, "2026-03-08", "2026-03-09") == ["2026-03-08T03:00-07:00"]
    assert on_wall("0 2,3 * * *", LA, "2026-03-08", "2026-03-09") == ["2026-03-08T03:00-07:00"]


def test_lines_with_a_star_follow_elapsed_time() -> None:
    spring = on_wall("*/30 * * * *", LA, "2026-03-08T01:00", "2026-03-08T04:00")
    assert [text[11:16] for text in spring] == ["01:00", "01:30", "03:00", "03:30"]
    autumn = on_wall("*/30 * * * *", LA, "2026-11-01T01:00", "2026-11-01T02:00")
    assert [text[11:] for text in autumn] == ["01:00-07:00", "01:30-07:00", "01:00-08:00", "01:30-08:00"]


def test_lord_howe_moves_by_half_an_hour() -> None:
    # 2026-10-04 02:00 becomes 02:30; 2026-04-05 02:00 becomes 01:30.
    assert on_wall("15 2 * * *", "Australia/Lord_Howe", "2026-10-04", "2026-10-05") == [
        "2026-10-04T02:30+11:00"
    ]
    assert on_wall("45 1 * * *", "Australia/Lord_Howe", "2026-04-05", "2026-04-06", None, "both") == [
        "2026-04-05T01:45+11:00",
        "2026-04-05T01:45+10:30",
    ]


def test_clocks_put_back_over_midnight_begin_a_day_twice() -> None:
    # St John's, 2008-11-02: 00:01 became 23:01 of the day before.
    name, line = "America/St_Johns", "*/30 * * * *"
    found = on_wall(line, name, "2008-11-01T23:00", "2008-11-02T00:30")
    assert [text[8:16] for text in found] == ["01T23:00", "01T23:30", "02T00:00", "01T23:30", "02T00:00"]
    cron = parse(line)
    second_half_past = datetime(2008, 11, 2, 3, 0, tzinfo=UTC)
    assert (
        previous(cron, zone(name), dst_for(cron), second_half_past + timedelta(minutes=29))
        == second_half_past
    )
    half_hours = following(cron, zone(name), dst_for(cron), second_half_past - timedelta(hours=2), 6)
    assert half_hours == [second_half_past + timedelta(minutes=30 * k) for k in (-3, -2, -1, 0, 1, 2)]


def test_apia_had_no_30_december_2011() -> None:
    assert on_wall("0 9,18 * * *", "Pacific/Apia", "2011-12-29", "2012-01-01") == [
        "2011-12-29T09:00-10:00",
        "2011-12-29T18:00-10:00",
        "2011-12-31T00:00+14:00",
        "2011-12-31T09:00+14:00",
        "2011-12-31T18:00+14:00",
    ]
    assert on_wall("0 9 30 12 *", "Pacific/Apia", "2011-12-01", "2012-01-01", "skip") == []


def test_either_day_is_enough_unless_one_starts_with_a_star() -> None:
    either = on_wall("0 6 1-7 * 1", "UTC", "2026-06-01", "2026-07-01")
    both = on_wall("0 6 1-7 * */7", "UTC", "2026-06-01", "2026-07-01")
    assert [text[8:10] for text in either] == [
        "01",
        "02",
        "03",
        "04",
        "05",
        "06",
        "07",
        "08",
        "15",
        "22",
        "29",
    ]
    assert [text[8:10] for text in both] == ["07"]


def test_every_second_day_starts_again_each_month() -> None:
    found = on_wall("0 0 */2 * *", "UTC", "2026-01-29", "2026-02-04")
    assert [text[5:10] for text in found] == ["01-29", "01-31", "02-01", "02-03"]


def test_the_year_turns_at_local_midnight() -> None:
    assert on_wall("59 23 31 12 *", "Asia/Kathmandu", "2025-12-31", "2026-01-02") == [
        "2025-12-31T23:59+05:45"
    ]
    there = zone("Asia/Kathmandu")
    cron = parse("@yearly")
    at = following(cron, there, dst_for(cron), datetime(2025, 12, 31, tzinfo=UTC), 2)
    assert at == [datetime(2025, 12, 31, 18, 15, tzinfo=UTC), datetime(2026, 12, 31, 18, 15, tzinfo=UTC)]


def test_rare_days_are_found_over_decades() -> None:
    leap = parse("0 0 29 2 *")
    after = datetime(2096, 3, 1, tzinfo=UTC)
    assert [at.year for at in following(leap, zone("UTC"), dst_for(leap), after, 2)] == [2104, 2108]
    assert previous(leap, zone("UTC"), dst_for(leap), datetime(2104, 2, 28, tzinfo=UTC)).year == 2096
    sunday = parse("0 0 29 2 */7")
    found = following(sunday, zone("UTC"), dst_for(sunday), datetime(2026, 1, 1, tzinfo=UTC), 10)
    assert [at.year for at in found][:4] == [2032, 2060, 2088, 2128]
    assert all(at.isoweekday() == 7 for at in found)


def test_a_line_whose_every_minute_is_left_out_is_an_error_and_not_a_hang() -> None:
    # The second Sunday of March at 02:30 does not exist in Los Angeles, in any year to come.
    cron = parse("30 2 8-14 3 */7")
    never = dst_for(cron, Missing.SKIP)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    with pytest.raises(CronError, match="does not fire in America/Los_Angeles within a hundred years"):
        following(cron, zone(LA), never, now)
    assert previous(cron, zone(LA), never, now) == datetime(2006, 3, 12, 10, 30, tzinfo=UTC)
    with pytest.raises(CronError, match="within a hundred years"):
        previous(cron, zone(LA), never, datetime(2150, 1, 1, tzinfo=UTC))
    shifted = following(cron, zone(LA), dst_for(cron), now)
    assert shifted == [datetime(2026, 3, 8, 10, 0, tzinfo=UTC)]


def test_bounds_are_exact() -> None:
    cron, utc = parse("0 6 * * *"), zone("UTC")
    six = datetime(2026, 6, 1, 6, tzinfo=UTC)
    day = timedelta(days=1)
    assert occurrences(cron, utc, dst_for(cron), Window(start=six, end=six + day)) == [six]
    assert previous(cron, utc, dst_for(cron), six) == six
    assert following(cron, utc, dst_for(cron), six) == [six + day]
    assert following(cron, utc, dst_for(cron), six - timedelta(seconds=1)) == [six]
    assert following(cron, utc, dst_for(cron), six, 0) == []


def test_defaults_are_those_of_cron_and_can_be_set_one_by_one() -> None:
    fixed, elapsed = parse("0 6 * * *"), parse("0 * * * *")
    assert dst_for(fixed) == Dst(missing=Missing.SHIFT, duplicate=Duplicate.FIRST)
    assert dst_for(elapsed) == Dst(missing=Missing.SKIP, duplicate=Duplicate.BOTH)
    assert dst_for(fixed, Missing.SKIP) == Dst(missing=Missing.SKIP, duplicate=Duplicate.FIRST)
    assert dst_for(elapsed, None, Duplicate.FIRST) == Dst(missing=Missing.SKIP, duplicate=Duplicate.FIRST)

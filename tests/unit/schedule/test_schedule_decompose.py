"""Decomposition: the recurrences fire exactly when the line does, and there are as few as can be expected."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from batchctl.errors import Refused
from batchctl.schedule import (
    TZDATA_VERSION,
    CronError,
    Decomposition,
    Duplicate,
    Missing,
    Recurrence,
    Window,
    covers,
    decompose,
    dst_for,
    firings,
    following,
    occurrences,
    parse,
    zone,
)
from batchctl.schedule.recurrence import firing_minutes
from tests.unit.schedule.schedule_lines import MOMENTS, lines
from tests.unit.schedule.schedule_oracle import brute_force

NOW = datetime(2026, 6, 1, 12, 0, 30, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)


def check(found: Decomposition, line: str, name: str, after: datetime, **dst_choices: object) -> None:
    """Everything that is promised of any decomposition."""
    cron = parse(line)
    dst = dst_for(cron, **dst_choices)  # type: ignore[arg-type]
    end = found.horizon_end or after + 60 * DAY
    wanted = occurrences(cron, zone(name), dst, Window(start=after, end=end))
    union = [at for one in found.recurrences for at in firings(one, Window(start=after, end=end))]
    assert sorted(union) == wanted
    assert len(set(union)) == len(union)
    if found.horizon_end is None:
        later = Window(start=after + 3650 * DAY, end=after + 3680 * DAY)
        assert covers(found.recurrences, cron, zone(name), dst, later)
    for one in found.recurrences:
        assert one.start >= after
        assert one.start.tzinfo is UTC
        if one.interval is None:
            assert one.end is None
            continue
        assert one.interval >= MINUTE
        assert (one.end is None) == (found.horizon_end is None)
        if one.end is not None:
            fired = firings(one, Window(start=after, end=one.end + 2 * one.interval))
            assert fired[-1] < one.end < fired[-1] + one.interval
            assert fired[-1] < end
            assert len(fired) > 1
    assert found.tzdata == TZDATA_VERSION


@settings(max_examples=60, derandomize=True, deadline=None)
@given(
    line=lines(),
    moment=st.sampled_from(MOMENTS),
    before=st.integers(0, 20 * 24 * 60),
    missing=st.sampled_from([None, *Missing]),
    duplicate=st.sampled_from([None, *Duplicate]),
)
def test_recurrences_fire_exactly_when_the_line_does(
    line: str, moment: tuple[str, datetime], before: int, missing: Missing | None, duplicate: Duplicate | None
) -> None:
    name, change = moment
    after = change - before * MINUTE
    try:
        cron = parse(line)
        found = decompose(cron, zone(name), dst_for(cron, missing, duplicate), after=after)
    except CronError as error:
        assume("never fires" not in error.message)
        raise
    except Refused:
        event("refused")
        return
    event(f"{len(found.recurrences)} recurrences")
    assert len(found.recurrences) <= 8
    check(found, line, name, after, missing=missing, duplicate=duplicate)


@pytest.mark.parametrize(
    ("line", "name", "count", "days"),
    [
        ("0 6 * * *", "America/Los_Angeles", 3, 400),
        ("0 6 * * *", "UTC", 1, None),
        ("0 6 * * *", "Asia/Kathmandu", 1, None),
        ("30 2 * * *", "America/Los_Angeles", 4, 400),
        ("*/15 * * * *", "America/Los_Angeles", 1, None),
        ("*/15 * * * *", "Australia/Lord_Howe", 1, None),
        ("* * * * *", "Europe/Berlin", 1, None),
        ("@hourly", "Europe/Berlin", 1, None),
        ("@hourly", "Australia/Lord_Howe", 3, 400),
        ("0 */6 * * *", "Europe/Berlin", 3, 400),
        ("0 9 * * 1-5", "UTC", 5, None),
        ("0 9 * * 1-5", "America/Los_Angeles", 5, 92),
        ("0 0 1 * *", "UTC", 5, 400),
        ("0 0 1 * *", "Europe/Berlin", 6, 400),
        ("@yearly", "Europe/Berlin", 1, 400),
        ("0 0 */2 * *", "UTC", 8, 400),
        ("0 0 * * */2", "UTC", 4, None),
        ("0 6 1-7 * 1", "Europe/Berlin", 6, 92),
        ("0 6 1-7 * */7", "Europe/Berlin", 6, 400),
        ("0 9-17 * * *", "UTC", 8, 7),
        ("0 9-17 * * 1-5", "Europe/Berlin", 6, 7),
    ],
)
def test_named_lines_need_this_many(line: str, name: str, count: int, days: int | None) -> None:
    cron = parse(line)
    found = decompose(cron, zone(name), dst_for(cron), after=NOW)
    assert found.horizon_end == (
        None if days is None else datetime(2026, 6, 1, 12, 1, tzinfo=UTC) + days * DAY
    )
    assert len(found.recurrences) == count
    check(found, line, name, NOW)


@pytest.mark.parametrize("name", ["UTC", "Europe/Berlin", "Pacific/Apia"])
@pytest.mark.parametrize("line", ["0 0 29 2 *", "*/10 3 29 2 *", "0,7,20 1,5,9 1 3 *", "0 0 31 12 *"])
def test_a_horizon_reaches_the_next_occurrence(line: str, name: str) -> None:
    """Schedules that are none could be neither renewed nor checked."""
    cron = parse(line)
    for day in range(0, 4 * 366, 37):
        after = NOW + day * DAY
        found = decompose(cron, zone(name), dst_for(cron), after=after, budget=9)
        (upcoming,) = following(cron, zone(name), dst_for(cron), after)
        assert found.horizon_end is not None
        assert found.recurrences[0].start == upcoming < found.horizon_end
        assert found.horizon_end <= max(after, upcoming) + 401 * DAY
        window = Window(start=after, end=found.horizon_end)
        assert covers(found.recurrences, cron, zone(name), dst_for(cron), window)


def test_a_line_of_leap_days_is_good_for_400_days_after_the_next() -> None:
    cron = parse("0 0 29 2 *")
    found = decompose(cron, zone("UTC"), dst_for(cron), after=NOW)
    leap = datetime(2028, 2, 29, tzinfo=UTC)
    assert found.recurrences == (Recurrence(start=leap),)
    assert found.horizon_end == leap + 400 * DAY
    check(found, "0 0 29 2 *", "UTC", NOW)


def test_what_does_not_fire_for_years_is_refused() -> None:
    cron = parse("0 0 29 2 */7")  # a 29 February that is a Sunday: 2032, then 2060
    after = datetime(2032, 3, 1, tzinfo=UTC)
    with pytest.raises(Refused, match="does not fire within 5 years") as caught:
        decompose(cron, zone("UTC"), dst_for(cron), after=after)
    assert caught.value.exit_code == 4
    assert len(decompose(cron, zone("UTC"), dst_for(cron), after=after - DAY).recurrences) == 1


def test_a_refusal_counts_from_the_next_occurrence() -> None:
    cron = parse("1-59/7 1,4,5,9,11,12 29 2 *")
    with pytest.raises(Refused, match="for 7 days from 2028-02-29 on; the budget is 1"):
        decompose(cron, zone("UTC"), dst_for(cron), after=NOW, budget=1)


def test_the_horizon_agrees_with_brute_force_across_a_change() -> None:
    cron, name = parse("30 2 * * *"), "America/Los_Angeles"
    after = datetime(2026, 3, 1, tzinfo=UTC)
    found = decompose(cron, zone(name), dst_for(cron), after=after)
    end = after + 20 * DAY
    wanted = brute_force("30 2 * * *", name, "shift", "first", after, end)
    assert firings(found.recurrences, Window(start=after, end=end)) == wanted


@pytest.mark.parametrize(
    ("line", "name", "budget", "needs", "raising"),
    [
        (
            "*/7 * * * *",
            "UTC",
            8,
            "9 for ever, 9 for the next 7 days; the budget is 8",
            "raise the budget to 9,",
        ),
        (
            "0 9 * * 1-5",
            "Europe/Berlin",
            1,
            "2 for the next 7 days; the budget is 1",
            "raise the budget to 2,",
        ),
        ("*/7 * 1-30 * *", "UTC", 8, "9 for the next 7 days", "raise the budget to 9,"),
        ("1-59/7 1,4,5,9,11,12 1-30 * *", "UTC", 8, "for the next 7 days", "split it between pipelines"),
    ],
)
def test_over_the_budget_is_refused_with_the_count_and_the_ways_out(
    line: str, name: str, budget: int, needs: str, raising: str
) -> None:
    cron = parse(line)
    with pytest.raises(Refused) as caught:
        decompose(cron, zone(name), dst_for(cron), after=NOW, budget=budget)
    assert needs in caught.value.message
    assert raising in caught.value.hint
    assert caught.value.exit_code == 4


def test_following_the_hint_of_a_refusal_helps() -> None:
    cron = parse("*/7 * * * *")
    found = decompose(cron, zone("UTC"), dst_for(cron), after=NOW, budget=9)
    assert found.horizon_end is None
    check(found, "*/7 * * * *", "UTC", NOW)


def test_a_budget_of_nothing_is_a_mistake() -> None:
    cron = parse("@daily")
    with pytest.raises(ValueError, match="budget of 0"):
        decompose(cron, zone("UTC"), dst_for(cron), after=NOW, budget=0)


def test_an_occurrence_at_the_very_start_is_kept() -> None:
    cron = parse("0 6 * * *")
    six = datetime(2026, 6, 1, 6, tzinfo=UTC)
    assert decompose(cron, zone("UTC"), dst_for(cron), after=six).recurrences[0].start == six
    later = decompose(cron, zone("UTC"), dst_for(cron), after=six + timedelta(seconds=1))
    assert later.recurrences[0].start == six + DAY


@pytest.mark.parametrize(("name", "moment"), MOMENTS)
@pytest.mark.parametrize("line", ["0,30 * * * *", "30 1,2 * * *"])
@pytest.mark.parametrize("duplicate", Duplicate)
def test_starting_inside_a_change_is_exact(
    line: str, duplicate: Duplicate, name: str, moment: datetime
) -> None:
    # In the hour after clocks went back, minutes that already were must not fire again; at the change itself, shifts must.
    cron = parse(line)
    for after in (moment, moment + 20 * MINUTE):
        found = decompose(cron, zone(name), dst_for(cron, None, duplicate), after=after)
        check(found, line, name, after, duplicate=duplicate)


def test_firings_follow_start_interval_and_end() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    window = Window(start=start + timedelta(minutes=15), end=start + timedelta(hours=1))
    every = Recurrence(start=start, interval=timedelta(minutes=10))
    assert [at.minute for at in firings(every, window)] == [20, 30, 40, 50]
    ended = Recurrence(start=start, interval=timedelta(minutes=10), end=start + timedelta(minutes=40))
    assert [at.minute for at in firings(ended, window)] == [20, 30, 40]
    once = Recurrence(start=start + timedelta(minutes=15))
    assert [at.minute for at in firings(once, window)] == [15]
    assert [at.minute for at in firings([every, once, ended], window)] == [15, 20, 20, 30, 30, 40, 40, 50]
    assert firings(Recurrence(start=start), window) == []
    assert firings(every, Window(start=start - DAY, end=start)) == []
    assert firings(ended, Window(start=start + DAY, end=start + 2 * DAY)) == []


spans = st.integers(-5000, 5000).map(lambda minutes: minutes * MINUTE)
seconds = st.sampled_from([0, 0, 0, 1, 59]).map(lambda count: timedelta(seconds=count))


@given(spans, seconds, st.none() | st.integers(1, 3000), st.none() | spans, seconds, spans, spans, seconds)
def test_minutes_of_firings_are_the_firings(
    begin: timedelta, odd: timedelta, step: int | None, length: timedelta | None, last: timedelta,
    since: timedelta, until: timedelta, rest: timedelta,
) -> None:  # fmt: skip
    start = NOW.replace(second=0) + begin + odd
    end = start + abs(length) + last if length is not None else None
    recurrence = Recurrence(start=start, interval=step * MINUTE if step else None, end=end)
    window = Window(start=NOW + min(since, until), end=NOW + max(since, until) + rest)
    found = firing_minutes(recurrence, window)
    assert (found is None) == bool(odd)
    if found is not None:
        assert [EPOCH + minute * MINUTE for minute in found] == firings(recurrence, window)


def test_firings_may_end_after_all_time_that_minutes_count() -> None:
    window = Window(start=NOW, end=NOW + 3 * DAY)
    for_ever = Recurrence(start=NOW.replace(second=0), interval=DAY, end=datetime(9999, 12, 31, tzinfo=UTC))
    found = firing_minutes(for_ever, window)
    assert found is not None
    assert [EPOCH + minute * MINUTE for minute in found] == firings(for_ever, window) != []


def test_recurrences_keep_elapsed_time_whatever_zone_they_are_written_in() -> None:
    berlin = zone("Europe/Berlin")
    daily = Recurrence(start=datetime(2026, 3, 28, 6, tzinfo=berlin), interval=DAY)
    window = Window(start=datetime(2026, 3, 28, tzinfo=UTC), end=datetime(2026, 3, 30, tzinfo=UTC))
    assert [at.hour for at in firings(daily, window)] == [5, 5]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"interval": timedelta(seconds=59)}, "under one minute"),
        ({"start": datetime(2026, 1, 1)}, "no time zone"),  # noqa: DTZ001
        ({"end": NOW - DAY}, "ends before it starts"),
    ],
)
def test_recurrences_batch_would_reject_cannot_be_made(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Recurrence(**{"start": NOW, **values})  # type: ignore[arg-type]


def test_covers_sees_missing_surplus_and_double_firings() -> None:
    cron, there = parse("0 6 * * *"), zone("America/Los_Angeles")
    dst = dst_for(cron)
    found = decompose(cron, there, dst, after=NOW)
    assert found.horizon_end is not None
    window = Window(start=NOW, end=found.horizon_end)
    assert covers(found.recurrences, cron, there, dst, window)
    assert covers(found.recurrences, cron, there, dst, Window(start=NOW + 30 * DAY, end=found.horizon_end))
    assert not covers(found.recurrences[1:], cron, there, dst, window)
    assert not covers([*found.recurrences, found.recurrences[0]], cron, there, dst, window)
    assert not covers(found.recurrences, parse("1 6 * * *"), there, dst, window)
    assert not covers(found.recurrences, cron, there, dst, Window(start=NOW, end=found.horizon_end + 2 * DAY))

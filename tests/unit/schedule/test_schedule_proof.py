"""The promises in numbers: thousands of random lines in twelve zones on both sides of their clock changes, against brute force.

Hypothesis draws the lines (always the same ones) and shrinks what fails.
"""

from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import accumulate, pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from batchctl.errors import Refused
from batchctl.schedule import (
    Cron,
    CronError,
    Duplicate,
    Missing,
    Recurrence,
    Window,
    covers,
    decompose,
    dst_for,
    firings,
    occurrences,
    parse,
    zone,
)
from tests.unit.schedule.schedule_arrays import EPOCH, Minutes, Walk, joined, minute, walk
from tests.unit.schedule.schedule_lines import ZONES, lines
from tests.unit.schedule.schedule_oracle import brute_force

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
AROUND = timedelta(hours=16)
CHANGES = [(name, change) for name, changes in ZONES.items() for change in changes]
MISSING = st.sampled_from([None, *Missing])
DUPLICATE = st.sampled_from([None, *Duplicate])


def thorough(examples: int) -> settings:
    slow = [HealthCheck.too_slow, HealthCheck.filter_too_much]
    return settings(max_examples=examples, derandomize=True, deadline=None, suppress_health_check=slow)


def parsed(line: str) -> Cron:
    try:
        return parse(line)
    except CronError as error:
        assume("never fires" not in error.message)
        raise


def by_default(line: str, missing: Missing | None, duplicate: Duplicate | None) -> tuple[str, str]:
    """The rules, with those of cron(8) where there is none."""
    minute_field, hour_field = line.split()[:2]
    star = minute_field[0] == "*" or hour_field[0] == "*"
    return missing or ("skip" if star else "shift"), duplicate or ("both" if star else "first")


def test_each_zone_has_a_change_on_both_sides_of_which_to_look() -> None:
    assert len(ZONES) == 12
    for name, changes in ZONES.items():
        for change in changes:
            before, after = ((change + k * MINUTE).astimezone(zone(name)).utcoffset() for k in (-1, 0))
            still = name == "UTC" or (name == "Asia/Kathmandu" and change.year == 2026)
            assert (before == after) is still, (name, change)


@pytest.mark.timeout(1200)
def test_occurrences_of_2000_lines_in_12_zones_around_both_changes() -> None:
    spans = [(name, change - AROUND, change + AROUND) for name, change in CHANGES]
    walks = [walk(*span) for span in spans]
    everywhere = joined(walks)
    instants = [EPOCH + int(at) * MINUTE for at in everywhere.utc]
    ends = list(accumulate(len(one.utc) for one in walks))
    seen: set[str] = set()

    @thorough(2700)
    @given(line=lines(), missing=MISSING, duplicate=DUPLICATE)
    def check(line: str, missing: Missing | None, duplicate: Duplicate | None) -> None:
        cron = parsed(line)
        dst = dst_for(cron, missing, duplicate)
        fired = np.flatnonzero(everywhere.fired(line, *by_default(line, missing, duplicate)))
        wanted = [instants[place] for place in fired]
        cuts = [0, *np.searchsorted(fired, ends)]
        for (name, start, end), (low, high) in zip(spans, pairwise(cuts), strict=True):
            found = occurrences(cron, zone(name), dst, Window(start=start, end=end))
            assert found == wanted[low:high], name
        seen.add(line)

    check()
    assert len(seen) >= 2000


@given(
    line=lines(),
    place=st.sampled_from(CHANGES),
    missing=st.sampled_from(Missing),
    duplicate=st.sampled_from(Duplicate),
)
@thorough(60)
def test_the_arrays_agree_with_the_minute_by_minute_walk(
    line: str, place: tuple[str, datetime], missing: Missing, duplicate: Duplicate
) -> None:
    parsed(line)
    name, change = place
    start, end = change - AROUND, change + AROUND
    around = walk(name, start, end)
    fired = around.utc[around.fired(line, missing, duplicate)]
    assert [EPOCH + int(at) * MINUTE for at in fired] == brute_force(
        line, name, missing, duplicate, start, end
    )


@cache
def year_from(name: str, start: datetime) -> Walk:
    return walk(name, start, start + 421 * DAY)


@pytest.mark.timeout(1200)
def test_decompositions_of_1000_lines_fire_exactly_when_the_line_does() -> None:
    seen: dict[str, bool] = {}

    @thorough(1400)
    @given(
        line=lines(),
        place=st.sampled_from(CHANGES),
        before=st.integers(0, 20 * 24 * 60),
        missing=MISSING,
        duplicate=DUPLICATE,
        budget=st.sampled_from([8, 8, 8, 2, 30]),
    )
    def check(
        line: str,
        place: tuple[str, datetime],
        before: int,
        missing: Missing | None,
        duplicate: Duplicate | None,
        budget: int,
    ) -> None:
        if line in seen:
            return
        name, change = place
        after = change - before * MINUTE
        parsed(line)
        try:
            check_decomposition(line, name, change, after, missing, duplicate, budget)
            seen[line] = True
        except Refused as error:
            if "does not fire within 5 years" in error.message:
                ahead = walk(name, after, after + 5 * 366 * DAY)
                assert not ahead.fired(line, *by_default(line, missing, duplicate), slice(None)).any()
            else:
                check_refusal(error, budget)
            seen[line] = False

    check()
    assert len(seen) >= 1000
    assert sum(seen.values()) >= 700  # most are decomposed, not refused


@pytest.mark.parametrize(("name", "change"), CHANGES)
@pytest.mark.parametrize("line", ["0 6 * * *", "15 * * * *", "*/15 * * * *", "30 2 * * 6"])
def test_lines_of_every_week_are_for_ever_only_where_clocks_stay(
    line: str, name: str, change: datetime
) -> None:
    check_decomposition(line, name, change, change - 3 * DAY)


def check_decomposition(
    line: str,
    name: str,
    change: datetime,
    after: datetime,
    missing: Missing | None = None,
    duplicate: Duplicate | None = None,
    budget: int = 8,
) -> None:
    """Decompose at `after`, at most 20 days before `change`, and compare what Batch will do with brute force."""
    cron = parse(line)
    found = decompose(cron, zone(name), dst_for(cron, missing, duplicate), after=after, budget=budget)
    assert len(found.recurrences) <= budget
    assert all(one.start >= after for one in found.recurrences)
    start, first = change - 20 * DAY, minute(after)
    year = year_from(name, start)
    if (
        found.horizon_end is not None and found.horizon_end > start + 420 * DAY
    ):  # the next occurrence is years ahead
        year = walk(name, start, found.horizon_end)
    end = first + 400 * 1440 if found.horizon_end is None else minute(found.horizon_end)
    inside = slice(*np.searchsorted(year.utc, [first, end]))
    fired = year.utc[inside][year.fired(line, *by_default(line, missing, duplicate), inside)]
    expanded = np.concatenate([np.empty(0, np.int64), *(minutes_of(one, end) for one in found.recurrences)])
    assert np.array_equal(np.sort(expanded), fired)  # which ascends: so nothing is fired twice


def check_refusal(error: Refused, budget: int) -> None:
    assert f"the budget is {budget}" in error.message
    assert "split it between pipelines" in error.hint


def minutes_of(one: Recurrence, end: int) -> Minutes:
    """Every minute at which Batch fires it; of one without end, those before `end`."""
    start = minute(one.start)
    if one.interval is None:
        assert one.end is None
        return np.array([start])
    step = one.interval // MINUTE
    assert step * MINUTE == one.interval
    if one.end is None:
        return np.arange(start, end, step)
    fired = np.arange(start, minute(one.end.replace(second=0)) + 1, step)
    last = EPOCH + int(fired[-1]) * MINUTE
    assert (
        last < one.end < last + one.interval
    )  # Batch runs no late job after the end, and none on the next grid point
    return fired


def test_half_past_two_in_berlin_fires_once_when_the_clocks_go_back() -> None:
    # 2026-10-25: 03:00 becomes 02:00, so 02:30 comes at 00:30 and at 01:30 UTC.
    cron, berlin = parse("30 2 * * *"), zone("Europe/Berlin")
    found = decompose(cron, berlin, dst_for(cron), after=datetime(2026, 6, 1, 12, tzinfo=UTC))
    assert found.horizon_end == datetime(2027, 7, 6, 12, tzinfo=UTC)
    night = Window(start=datetime(2026, 10, 24, 22, tzinfo=UTC), end=datetime(2026, 10, 25, 22, tzinfo=UTC))
    assert firings(found.recurrences, night) == [datetime(2026, 10, 25, 0, 30, tzinfo=UTC)]


def test_every_ten_minutes_of_weekdays_in_new_york_keeps_its_budget_or_says_how_to() -> None:
    cron, new_york = parse("*/10 * * * 1-5"), zone("America/New_York")
    dst = dst_for(cron)
    budgets = []
    for week in range(60):  # over a year of moments to apply at, with both changes
        after = datetime(2026, 1, 1, tzinfo=UTC) + week * timedelta(days=7, hours=5, minutes=10)
        found = decompose(cron, new_york, dst, after=after)
        assert found.horizon_end is not None
        assert found.horizon_end - after >= 35 * DAY
        assert covers(found.recurrences, cron, new_york, dst, Window(start=after, end=found.horizon_end))
        budgets.append(len(found.recurrences))
    assert max(budgets) <= 8
    with pytest.raises(Refused) as refused:
        decompose(cron, new_york, dst, after=datetime(2026, 1, 1, tzinfo=UTC), budget=1)
    assert refused.value.exit_code == 4
    assert "2 for the next 7 days; the budget is 1" in refused.value.message
    assert refused.value.hint.startswith("raise the budget to 2, ")
    assert (
        len(decompose(cron, new_york, dst, after=datetime(2026, 1, 1, tzinfo=UTC), budget=2).recurrences) <= 2
    )

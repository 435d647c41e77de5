"""Which runs a backfill needs."""

from datetime import UTC, date, datetime

import pytest

from batchctl.errors import UsageError
from batchctl.plan import Pipeline, Site
from batchctl.plan.backfill import Slot, slots_of_dates, slots_of_values
from batchctl.spec import loads

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
SITE = Site(target="local", zones={}, runs_url="file:///runs/", containers=False)


def pipeline(schedule: str = 'schedule: {cron: "30 2 * * *", timezone: Europe/Berlin}\n') -> Pipeline:
    text = f"name: p\npool: {{target_dedicated_nodes: 1}}\n{schedule}tasks: [{{id: a, command: c}}]\n"
    return Pipeline(spec=loads(text.encode()), site=SITE)


def dates(start: str, end: str) -> list[str]:
    return [
        slot.scheduled_at.strftime("%m-%dT%H:%M")
        for slot in slots_of_dates(pipeline(), start, end, {}, now=NOW)
    ]


def test_exact_occurrences_in_the_schedule_s_zone_both_days_included() -> None:
    assert dates("2026-10-24", "2026-10-26") == ["10-24T00:30", "10-25T00:30", "10-26T01:30"]
    assert dates("2026-10-24T00:30:00Z", "2026-10-25T00:30:00Z") == ["10-24T00:30"]


def test_today_goes_up_to_now() -> None:
    assert dates("2026-11-20", "2026-11-20") == ["11-20T01:30"]


def test_a_day_of_25_hours_is_today_from_its_first_minute() -> None:
    midnight = datetime(2026, 10, 24, 22, 30, tzinfo=UTC)  # 2026-10-25 00:30 in Berlin
    assert slots_of_dates(pipeline(), "2026-10-25", "2026-10-25", {}, now=midnight) == []
    with pytest.raises(UsageError, match="in the future"):
        slots_of_dates(pipeline(), "2026-10-25", "2026-10-26", {}, now=midnight)


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        ("2026-11-19", "2026-11-22", "in the future"),
        ("2027-01-01", "2027-01-02", "--from 2027-01-01 is in the future"),
        ("2026-11-20", "2026-11-20T12:00:01Z", "--to 2026-11-20T12:00:01Z is in the future"),
        ("2026-11-20T13:00Z", "2026-11-20", "--from 2026-11-20T13:00Z is in the future"),
        ("2026-01-02", "2026-01-01", "is before"),
        ("yesterday", "2026-01-01", "is no date"),
        ("2026-02-30", "2026-03-01", "is no date"),
    ],
)
def test_dates_that_cannot_be_filled(start: str, end: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        slots_of_dates(pipeline(), start, end, {}, now=NOW)


def test_without_a_schedule_dates_name_nothing() -> None:
    with pytest.raises(UsageError, match="has no schedule"):
        slots_of_dates(pipeline(""), "2026-01-01", "2026-01-02", {}, now=NOW)


def values(*ranges: str) -> list[dict[str, str]]:
    return [
        dict(slot.given)
        for slot in slots_of_values(ranges, {"k": "v"}, scheduled_at=NOW, today=date(2026, 11, 20))
    ]


def test_values_of_a_parameter() -> None:
    assert [v["m"] for v in values("m=2025-11..2026-01")] == ["2025-11", "2025-12", "2026-01"]
    assert [v["d"] for v in values("d=2024-02-28..2024-03-01")] == ["2024-02-28", "2024-02-29", "2024-03-01"]
    assert [v["y"] for v in values("y=2020..2022,2025")] == ["2020", "2021", "2022", "2025"]
    assert [v["year"] for v in values("year=2025..2026")] == ["2025", "2026"]
    assert values("c=a,b", "y=1..2") == [
        {"k": "v", "c": "a", "y": "1"}, {"k": "v", "c": "a", "y": "2"},
        {"k": "v", "c": "b", "y": "1"}, {"k": "v", "c": "b", "y": "2"},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("m", "not NAME=VALUES"), ("m=2026-12", "in the future"), ("m=2026-01..2027-01", "in the future"), ("m=5..1", "is before"),
        ("m=a..c", "a range is of"), ("m=2026-13..2026-14", "month must be in"), ("m=1..20000", "at most 10,000"),
        ("m=1,,", "empty value"), ("year=2020..2027", "2027 is in the future"), ("k=2", "given already"),
    ],
)  # fmt: skip
def test_values_that_make_no_sense(wrong: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        values(wrong)


def test_a_slot_s_run_has_always_the_same_id() -> None:
    assert Slot(scheduled_at=NOW, given={}).run_id("p", 1) == "p-20261120T120000Z-b1"
    given = [Slot(scheduled_at=NOW, given={"a": value}).run_id("p", 1) for value in "12"]
    assert given[0] != given[1]
    slots = slots_of_values(["y=1..9999"], {}, scheduled_at=NOW, today=NOW.date())
    ids = {slot.run_id("n" * 40, 1) for slot in slots}
    assert len(ids) == 9999
    assert max(map(len, ids)) <= 64

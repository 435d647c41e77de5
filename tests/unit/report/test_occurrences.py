"""What should have fired, against what ran."""

from datetime import UTC, datetime, timedelta
from typing import Any

from batchctl.report.occurrences import Fate, latest_firing, next_firing, occurrences_so_far
from batchctl.schedule import Recurrence

START = datetime(2026, 1, 10, 6, 0, tzinfo=UTC)
DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)


def iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def schedule(id: str = "p-1", start: datetime = START, state: str = "active", **more: Any) -> dict[str, Any]:
    body: dict[str, Any] = {
        "id": id,
        "state": state,
        "creationTime": iso(start - HOUR),
        "schedule": {"doNotRunUntil": iso(start), "recurrenceInterval": "P1D"},
        "metadata": [],
    }
    body["schedule"] |= more.pop("schedule", {})
    return {**body, **more}


def job(
    n: int, at: datetime, *, late: timedelta = timedelta(0), told: bool = True, id: str = "p-1", **more: str
) -> dict[str, Any]:
    metadata = {"batchctl:scheduled_at": iso(at)} if told else {}
    return {
        "id": f"{id}:job-{n}",
        "creationTime": iso(at + late),
        "metadata": [{"name": k, "value": v} for k, v in {**metadata, **more}.items()],
    }


def fates(
    schedules: list[dict[str, Any]], jobs: list[dict[str, Any]], now: datetime, since: datetime = START - DAY
) -> list[tuple[int, Fate]]:
    found = occurrences_so_far(schedules, jobs, since=since, now=now, max_late=15 * MINUTE)
    return [((one.at - START).days, one.fate) for one in found]


def test_each_fate() -> None:
    jobs = [
        job(1, START),
        job(2, START + DAY, late=20 * MINUTE),
        job(3, START + 2 * DAY, **{"batchctl:skipped": "x was still going"}),
        job(4, START + 4 * DAY, told=False),
    ]
    assert fates([schedule()], jobs, START + 5 * DAY + 10 * MINUTE) == [
        (0, Fate.RUN), (1, Fate.LATE), (2, Fate.SKIPPED), (3, Fate.MISSED), (4, Fate.RUN), (5, Fate.PENDING),
    ]  # fmt: skip


def test_an_occurrence_whose_start_window_is_over_will_have_no_run() -> None:
    windowed = schedule(schedule={"startWindow": "PT5M"})
    assert fates([windowed], [], START + 5 * MINUTE) == [(0, Fate.PENDING)]
    assert fates([windowed], [], START + 6 * MINUTE) == [(0, Fate.MISSED)]
    assert fates([schedule()], [], START + 6 * MINUTE) == [(0, Fate.PENDING)]


def test_nothing_is_expected_before_it_was_created_or_after_it_ended() -> None:
    ended = schedule(state="completed", executionInfo={"endTime": iso(START + 2 * DAY + HOUR)})
    created_late = schedule("p-2", START, creationTime=iso(START + 5 * DAY - HOUR))
    assert [day for day, _ in fates([ended, created_late], [], START + 6 * DAY)] == [0, 1, 2, 5, 6]


def test_nothing_is_expected_while_it_was_paused() -> None:
    pauses = f'[["{iso(START + HOUR)}", "{iso(START + 2 * DAY + HOUR)}"], ["{iso(START + 4 * DAY)}", null]]'
    paused = schedule(metadata=[{"name": "batchctl:pauses", "value": pauses}])
    assert [day for day, _ in fates([paused], [], START + 6 * DAY)] == [0, 3]


def test_parts_are_one_history() -> None:
    first = schedule("p-1", schedule={"doNotRunAfter": iso(START + DAY + HOUR)})
    second = schedule("p-2", START + 2 * DAY, creationTime=iso(START - HOUR))
    jobs = [job(1, START), job(2, START + DAY), job(1, START + 2 * DAY, id="p-2")]
    assert fates([first, second], jobs, START + 2 * DAY + HOUR) == [
        (0, Fate.RUN),
        (1, Fate.RUN),
        (2, Fate.RUN),
    ]


def test_an_occurrence_that_was_skipped_and_then_run_is_run() -> None:
    jobs = [job(1, START, **{"batchctl:skipped": "twin"}), job(1, START, id="p-2")]
    assert fates([schedule()], jobs, START + HOUR) == [(0, Fate.RUN)]


def test_firings_around_a_moment() -> None:
    daily = Recurrence(start=START, interval=DAY, end=START + 3 * DAY + HOUR)
    once = Recurrence(start=START, interval=None, end=None)
    assert latest_firing(daily, START - MINUTE) is None
    assert latest_firing(daily, START + DAY + MINUTE) == START + DAY
    assert latest_firing(daily, START + 9 * DAY) == START + 3 * DAY
    assert latest_firing(once, START + DAY) == START
    assert next_firing(daily, START - MINUTE) == START
    assert next_firing(daily, START) == START + DAY
    assert next_firing(daily, START + 3 * DAY) is None
    assert next_firing(once, START) is None

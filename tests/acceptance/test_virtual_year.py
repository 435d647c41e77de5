"""Four hundred days of ten pipelines with a sync each week, on the local service with a virtual clock.

The jobs are created at exactly the occurrences that a walk over all minutes finds: none missing, none twice, none else.
"""

import json
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache

import pytest

from batchctl.plan import Action, Kind, Pipeline, Site
from batchctl.plan.compile import first_minute
from batchctl.plan.pipeline import METADATA_PIPELINE, metadata_of
from batchctl.server.batch.wire import parse_instant
from batchctl.spec import Jobspec
from batchctl.workflows.apply import apply
from batchctl.workflows.plan import plan_pipeline
from tests.acceptance.virtual_service import VirtualBatch, VirtualService
from tests.unit.schedule.schedule_arrays import EPOCH, walk

MINUTE = timedelta(minutes=1)
START = datetime(2026, 1, 5, 7, 59, 45, tzinfo=UTC)
"""Fifteen seconds before the hour: what is due then must not be lost between the old schedules and the new."""
YEAR = timedelta(days=400)
SYNC = timedelta(days=7, hours=1)


@dataclass(frozen=True)
class Line:
    """A pipeline's schedule, and what to do with minutes that clocks leave out or repeat."""

    cron: str
    timezone: str
    missing: str = "shift"
    duplicate: str = "first"
    budget: int = 8


LINES = {
    "saturdays-new-york": Line("0 9 * * 6", "America/New_York"),
    "weekdays-berlin": Line("0 6 * * 1-5", "Europe/Berlin"),
    "sevens": Line("*/7 * * * *", "UTC", "skip", "both", budget=9),
    "monthly": Line("0 0 1 * *", "Europe/Berlin"),
    "lord-howe": Line("15 2 * * *", "Australia/Lord_Howe"),
    "hourly-lord-howe": Line("@hourly", "Australia/Lord_Howe", "skip", "both"),
    "gap-new-york": Line("30 2 * * *", "America/New_York"),
    "either-day": Line("0 9 1-7 * 1", "Europe/Paris"),
    "daily": Line("0 6 * * *", "UTC"),
    "casablanca": Line("0 9 * * 1-5", "Africa/Casablanca"),
}
SITE = Site(target="local", zones={}, runs_url="file:///runs/", autoscale=False, containers=False)
POOL = {"id": "p", "vmSize": "x", "targetDedicatedNodes": 4, "taskSlotsPerNode": 8}


walked = cache(walk)  # several lines are of one zone


def pipeline(name: str, line: Line) -> Pipeline:
    schedule = {"cron": line.cron, "timezone": line.timezone, "budget": line.budget}
    tasks = [{"id": "a", "command": "true"}]
    spec = Jobspec.model_validate_json(
        json.dumps({"name": name, "schedule": schedule, "pool": {"id": "p"}, "tasks": tasks})
    )
    return Pipeline(spec=spec, site=SITE)


def occurrences(line: Line, start: datetime, end: datetime) -> list[datetime]:
    cron = {"@hourly": "0 * * * *"}.get(line.cron, line.cron)
    minutes = walked(line.timezone, start, end)
    return [EPOCH + int(at) * MINUTE for at in minutes.utc[minutes.fired(cron, line.missing, line.duplicate)]]


def sync(batch: VirtualBatch, wanted: Pipeline) -> bool:
    """Plan and apply, as `schedule apply` does; whether job schedules were created."""
    now = batch.service.now
    plan = plan_pipeline(batch, wanted, now=now)
    for change in plan.changes:
        if change.action is Action.CREATE:
            assert parse_instant(change.body["schedule"]["doNotRunUntil"]) > now
    apply(batch, plan, now=now, clock=lambda: now, replace_pool=False, story=lambda _: None)
    if plan.changes:
        assert plan_pipeline(batch, wanted, now=now).changes == ()
    assert {change.kind for change in plan.changes} <= {Kind.JOB_SCHEDULE}
    return any(change.action is Action.CREATE for change in plan.changes)


def jobs_of(service: VirtualService) -> dict[str, list[datetime]]:
    """When the jobs of each pipeline were created, in that order."""
    found: dict[str, list[datetime]] = defaultdict(list)
    for job in service.store.jobs.all():
        assert job.doc["state"] == "completed"
        assert job.doc["executionInfo"]["terminateReason"] == "AllTasksComplete"
        found[metadata_of(job.doc)[METADATA_PIPELINE]].append(parse_instant(job.doc["creationTime"]))
    return found


def a_year() -> tuple[VirtualService, dict[str, int]]:
    """The service afterwards, and how often each pipeline's schedules were made anew."""
    service = VirtualService(START)
    batch = VirtualBatch(service)
    batch.create_pool(POOL)
    pipelines = {name: pipeline(name, line) for name, line in LINES.items()}
    made = dict.fromkeys(LINES, 0)
    while service.now < START + YEAR:
        for name, wanted in pipelines.items():
            made[name] += sync(batch, wanted)
        service.run_until(service.now + SYNC)
    return service, made


@pytest.mark.timeout(1800)  # a minute of work where nothing else is going on
def test_400_days_of_ten_pipelines_with_a_sync_each_week() -> None:
    service, made = a_year()
    created = jobs_of(service)
    for name, line in LINES.items():
        wanted = occurrences(line, first_minute(START), service.now.replace(second=0) + MINUTE)
        missing, extra = sorted({*wanted} - {*created[name]}), sorted({*created[name]} - {*wanted})
        assert (missing, extra) == ([], []), name
        assert len(created[name]) == len(wanted), f"{name}: an instant twice"
    assert service.started == sum(len(times) for times in created.values())
    once = {"daily", "sevens"}  # good for ever
    assert {name for name, times in made.items() if times == 1} == once
    assert all(made.values())


def test_nothing_is_lost_between_the_old_schedules_and_the_new() -> None:
    # The second sync is fifteen seconds before an occurrence, too late for new schedules to fire then.
    line = Line("*/10 * * * 1-5", "America/New_York", "skip", "both")
    service = VirtualService(datetime(2026, 1, 5, 7, 59, 45, tzinfo=UTC))
    batch = VirtualBatch(service)
    batch.create_pool(POOL)
    wanted = pipeline("tens", line)
    start = first_minute(service.now)
    assert sync(batch, wanted)
    for _ in range(2):
        service.run_until(service.now + timedelta(days=18))
        assert sync(batch, wanted)
    service.run_until(service.now + timedelta(hours=3))
    assert jobs_of(service)["tens"] == occurrences(line, start, service.now.replace(second=0) + MINUTE)


def test_going_back_to_an_earlier_line_schedules_it_again() -> None:
    daily, later = Line("0 6 * * *", "UTC"), Line("0 7 * * *", "UTC")
    service = VirtualService(datetime(2026, 1, 5, 12, tzinfo=UTC))
    batch = VirtualBatch(service)
    batch.create_pool(POOL)
    for line in (daily, later, daily):
        assert sync(batch, pipeline("p", line))
    service.run_until(service.now + timedelta(days=2))
    assert [at.hour for at in jobs_of(service)["p"]] == [6, 6]


def test_a_schedule_that_is_replaced_just_before_its_first_firing_fires_on_time() -> None:
    service = VirtualService(datetime(2026, 1, 5, 8, tzinfo=UTC))
    batch = VirtualBatch(service)
    batch.create_pool(POOL)
    assert sync(batch, pipeline("p", Line("0 9 * * *", "UTC")))
    service.run_until(datetime(2026, 1, 5, 8, 59, 45, tzinfo=UTC))
    assert sync(batch, pipeline("p", Line("0 10 * * *", "UTC")))
    service.run_until(datetime(2026, 1, 6, 12, tzinfo=UTC))
    assert [(at.day, at.hour, at.minute) for at in jobs_of(service)["p"]] == [
        (5, 9, 0),
        (5, 10, 0),
        (6, 10, 0),
    ]

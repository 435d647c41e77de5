"""Plans over time: what was applied is left alone until half of its horizon is over, and nothing ever starts in the past."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from batchctl.errors import Refused
from batchctl.plan import Action, Observed, Pipeline, Plan, Site, make_plan
from batchctl.plan.compile import METADATA_HORIZON, first_minute
from batchctl.plan.diff import recurrence_of
from batchctl.plan.pipeline import metadata_of
from batchctl.schedule import CronError, Window, firings, parse
from batchctl.spec import Jobspec
from batchctl.workflows.plan import can_fire
from tests.unit.schedule.schedule_lines import ZONES, lines

SITE = Site(target="local", zones={}, runs_url="file:///runs/", autoscale=False, containers=False)
FIRST = datetime(2026, 1, 1, tzinfo=UTC)
ENDLESS = timedelta(days=800)
MOMENTS = st.builds(lambda seconds: FIRST + timedelta(seconds=seconds), st.integers(0, 400 * 86_400))


def pipeline(line: str, name: str) -> Pipeline:
    spec = {"name": "p", "schedule": {"cron": line, "timezone": name}, "pool": {"id": "p"}}
    jobspec = Jobspec.model_validate({**spec, "tasks": ({"id": "a", "command": "true"},)})
    return Pipeline(spec=jobspec, site=SITE)


def planned(wanted: Pipeline, there: list[dict[str, Any]], now: datetime) -> Plan:
    """The plan at `now`, and the check that it starts nothing in the past."""
    active = tuple(body for body in there if can_fire({**body, "state": "active"}, now))
    plan = make_plan(wanted, Observed(job_schedules=active), now=now)
    for change in plan.changes:
        if change.action is Action.CREATE:
            assert recurrence_of(change.body).start > now + timedelta(seconds=30)
    return plan


@settings(max_examples=60, derandomize=True, deadline=None)
@given(line=lines(), name=st.sampled_from(sorted(ZONES)), now=MOMENTS, data=st.data())
def test_what_was_applied_is_left_alone_for_half_of_its_horizon(
    line: str, name: str, now: datetime, data: st.DataObject
) -> None:
    try:
        parse(line)
        wanted = pipeline(line, name)
        first = planned(wanted, [], now)
    except (CronError, Refused):
        assume(False)
        raise
    there = [change.body for change in first.changes]
    assume(there)
    promised = promise(there, now)
    assert planned(wanted, there, now).changes == ()
    hours = promised // 2 // timedelta(hours=1) - 1
    for hour in data.draw(st.lists(st.integers(0, hours), min_size=4, max_size=4), label="hours"):
        later = now + timedelta(hours=hour)
        plan = planned(wanted, there, later)
        created = [change.body for change in plan.changes if change.action is Action.CREATE]
        if not plan.changes:
            event("left alone")
        elif alive(there, later):
            # Only for something better: a longer horizon that was over the budget before.
            assert promise(created, later) > 2 * (promised - (later - now)), later
        else:
            event("nothing was left that fires")


def test_a_horizon_is_renewed_when_half_of_it_is_over_and_no_day_sooner() -> None:
    for line, name in (
        ("30 2 * * *", "Europe/Berlin"),
        ("0 9 * * 1-5", "America/New_York"),
        ("0 0 1 * *", "UTC"),
    ):
        wanted = pipeline(line, name)
        there = [change.body for change in planned(wanted, [], FIRST).changes]
        renewed = [
            day for day in range(0, 401, 2) if planned(wanted, there, FIRST + timedelta(days=day)).changes
        ]
        half = promise(there, FIRST) / timedelta(days=2)
        assert half <= renewed[0] <= half + 2, (line, renewed)
        assert renewed == list(range(renewed[0], 401, 2))


def promise(there: list[dict[str, Any]], now: datetime) -> timedelta:
    """How long the schedules stand for the line."""
    horizon = metadata_of(there[0])[METADATA_HORIZON]
    return ENDLESS if horizon == "none" else datetime.fromisoformat(horizon) - first_minute(now)


def alive(there: list[dict[str, Any]], now: datetime) -> bool:
    """Whether one of the schedules has still to fire."""
    future = Window(start=now, end=now + ENDLESS)
    return any(firings(recurrence_of(body), future) for body in there)

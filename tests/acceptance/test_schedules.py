"""A schedule fires, its conductor adds the tasks, the run succeeds: with a clock that the test moves."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from batchctl.server import LocalServer
from tests.acceptance.conftest import Project, wait_until

SPEC = """\
name: p
schedule: {cron: "* * * * *"}
pool: {target_dedicated_nodes: 1}
tasks:
  - {id: a, command: "/bin/echo {{ scheduled_at | iso }} {{ interval_start | iso }}"}
  - {id: b, command: "/bin/echo {{ item }}", for_each: [x, y], depends_on: [a]}
"""


@dataclass
class Clock:
    """Stands still until the test moves it, so that nothing fires by itself; commands have the real time."""

    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Scheduled:
    """A project on a local service whose clock can be moved."""

    project: Project
    server: LocalServer
    clock: Clock

    def advance(self, seconds: float) -> None:
        self.clock.now = max(self.clock.now, datetime.now(UTC)) + timedelta(seconds=seconds)
        self.server.wake()

    def runs(self) -> list[dict[str, str]]:
        found: list[dict[str, str]] = self.project("runs", "p", "-o", "json").json
        return found


@pytest.fixture
def scheduled(project: Project) -> Iterator[Scheduled]:
    clock = Clock()
    with LocalServer(project.folder / ".batchctl" / "service", clock=clock) as server:
        project.write("batchctl.toml", f'[targets.local]\nkind = "local"\nendpoint = "{server.endpoint}"\n')
        yield Scheduled(project, server, clock)


def test_a_minutely_schedule_fires_and_its_run_succeeds(scheduled: Scheduled) -> None:
    project = scheduled.project
    spec = project.write("p.yaml", SPEC)
    assert "1 created" in project("schedule", "apply", spec).out
    assert scheduled.runs() == []
    scheduled.advance(91)
    wait_until(lambda: bool(scheduled.runs()), "the schedule fires")
    run = scheduled.runs()[0]["run"]
    project("wait", run)
    assert project.states(run) == {
        "conductor": "succeeded", "a": "succeeded", "b-x": "succeeded", "b-y": "succeeded",
    }  # fmt: skip
    found = scheduled.runs()[0]
    at, before = project("logs", run, "a").out.split()
    assert found["scheduled_at"] == at
    assert datetime.fromisoformat(at) - datetime.fromisoformat(before) == timedelta(minutes=1)
    assert datetime.fromisoformat(at) <= scheduled.clock()
    assert "3 tasks added" in project("logs", run, "conductor").out
    scheduled.advance(61)
    wait_until(lambda: len(scheduled.runs()) >= 2, "it fires again")
    project("wait", scheduled.runs()[0]["run"])


def test_plan_after_apply_has_no_changes(scheduled: Scheduled) -> None:
    project = scheduled.project
    spec = project.write(
        "p.yaml", SPEC.replace("* * * * *", "30 2 * * *").replace('*"}', '*", timezone: Europe/Berlin}')
    )
    assert project("plan", spec, "--check", code=3).out.count("+ job_schedule") == 4
    project("schedule", "apply", spec)
    assert project("plan", spec, "--check").out.endswith("No changes.\n")
    assert project("plan", spec, "-o", "json").json["changes"] == []
    assert project("schedule", "apply", spec).out.endswith("No changes.\n")
    shown = project("schedule", "show", "p", "-o", "json").json
    assert [part["state"] for part in shown["schedules"]] == ["active"] * 4
    assert [part["agree"] for part in shown["schedules"]] == ["yes"] * 4
    assert shown["cron"] == "30 2 * * *"


def test_a_changed_line_replaces_the_schedules_and_a_removed_one_ends_them(scheduled: Scheduled) -> None:
    project = scheduled.project
    spec = project.write("p.yaml", SPEC.replace("* * * * *", "0 6 * * *"))
    project("schedule", "apply", spec)
    project.write("p.yaml", SPEC.replace("* * * * *", "0 7 * * *"))
    assert "1 created, 0 updated, 0 replaced, 1 ended" in project("schedule", "apply", spec).out
    assert project("plan", spec).out == "No changes.\n"
    assert [
        part["start"][11:] for part in project("schedule", "show", "p", "-o", "json").json["schedules"]
    ] == ["07:00:00Z"]


def test_ending_a_schedule_lets_its_running_run_finish(scheduled: Scheduled) -> None:
    project = scheduled.project
    gate = project.folder / "gate"
    waiting = SPEC.replace(
        "/bin/echo {{ scheduled_at | iso }} {{ interval_start | iso }}",
        f"/bin/sh -c 'until test -e {gate}; do sleep 0.05; done'",
    )
    spec = project.write("p.yaml", waiting)
    project("schedule", "apply", spec)
    scheduled.advance(91)
    wait_until(
        lambda: bool(scheduled.runs()) and "a" in project.states("p"), "the conductor has added the tasks"
    )
    run = scheduled.runs()[0]["run"]
    project.write("p.yaml", waiting.replace("* * * * *", "0 7 * * *"))
    project("schedule", "apply", spec)
    assert project("plan", spec).out == "No changes.\n"
    gate.touch()
    project("wait", run)


def test_a_conductor_that_cannot_add_the_tasks_fails_the_run(scheduled: Scheduled) -> None:
    project = scheduled.project
    # The template fails only at some occurrences: it divides by the minute's parity, and the plan is made for an even one.
    now = scheduled.clock().replace(second=0, microsecond=0)
    broken = f"{{{{ 1 / (1 - (scheduled_at.minute - {now.minute}) % 60) }}}}"
    spec = project.write("p.yaml", SPEC.replace("{{ item }}", broken))
    project("schedule", "apply", spec, "--now", now.isoformat())
    scheduled.advance((now + timedelta(minutes=1) - scheduled.clock()).total_seconds() + 1)
    wait_until(lambda: bool(scheduled.runs()), "the schedule fires")
    run = scheduled.runs()[0]["run"]
    done = project("wait", run, code=6)
    assert "its conductor could not add its tasks" in done.err
    assert "division by zero" in project("logs", run, "conductor").out
    assert scheduled.runs()[0]["state"] == "failed"


def test_overlap_waits_and_then_the_schedule_goes_on(scheduled: Scheduled) -> None:
    project = scheduled.project
    gate = project.folder / "gate"
    spec = project.write(
        "p.yaml",
        SPEC.replace(
            "/bin/echo {{ scheduled_at | iso }} {{ interval_start | iso }}",
            f"/bin/sh -c 'until test -e {gate}; do sleep 0.05; done'",
        ),
    )
    project("schedule", "apply", spec)
    scheduled.advance(91)
    wait_until(lambda: len(scheduled.runs()) >= 1, "the first run starts")
    scheduled.advance(60)
    assert len(scheduled.runs()) == 1  # one at a time
    gate.touch()
    wait_until(lambda: len(scheduled.runs()) >= 2, "the second run starts when the first is over")
    for run in scheduled.runs():
        project("wait", run["run"])

"""The conductor may be run again at any moment, and stops at nothing half-done."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from batchctl.errors import TasksRejected
from batchctl.plan import Pipeline, Site, compile_pipeline
from batchctl.plan.pipeline import metadata_of
from batchctl.schedule import Recurrence
from batchctl.server import LocalServer
from batchctl.spec import loads
from batchctl.targets.batch import Batch
from batchctl.targets.connect import connect
from batchctl.workflows.conductor import conduct, connect_from, occurrence_of
from tests.acceptance.conftest import wait_until

SPEC = b"""
name: p
schedule: {cron: "0 6 * * *", timezone: Europe/Berlin}
pool: {id: none}
tasks:
  - {id: a, command: "true", for_each: 250}
  - {id: b, command: "true", depends_on: [a]}
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LocalServer]:
    with LocalServer(tmp_path) as running:
        yield running


@pytest.fixture
def batch(server: LocalServer) -> Iterator[Batch]:
    with connect(server.endpoint, account=server.account, key=server.key) as connected:
        yield connected


def pipeline(spec: bytes = SPEC) -> Pipeline:
    site = Site(target="local", zones={}, runs_url="file:///nowhere/", containers=False)
    return Pipeline.from_json(Pipeline(spec=loads(spec), site=site).as_json())


def conducted(batch: Batch, name: str) -> str:
    def sleep(_seconds: float) -> None:
        raise AssertionError("there is nothing to wait for")

    return conduct(batch, name, pipeline(), clock=lambda: datetime.now(UTC), sleep=sleep)


def job(batch: Batch, **more: Any) -> str:
    batch.create_job({"id": "j", "poolInfo": {"poolId": "none"}, "usesTaskDependencies": True, **more})
    return "j"


def test_twice_is_once(batch: Batch) -> None:
    name = job(batch, onTaskFailure="performexitoptionsjobaction", metadata=[{"name": "k", "value": "v"}])
    assert conducted(batch, name) == f"251 tasks added to {name}"
    assert conducted(batch, name) == f"251 tasks added to {name}"
    assert len(batch.tasks(name)) == 251
    told = metadata_of(batch.job(name))
    assert (told["k"], told["batchctl:tasks"]) == ("v", "251")
    at = datetime.fromisoformat(told["batchctl:scheduled_at"])
    assert at <= datetime.now(UTC)
    assert at.minute == 0


def test_it_finishes_what_it_began(batch: Batch) -> None:
    name = job(batch, onTaskFailure="performexitoptionsjobaction")
    conducted(batch, name)
    for task in batch.tasks(name)[::2]:
        batch.client.delete_task(name, task["id"])
    conducted(batch, name)
    assert len(batch.tasks(name)) == 251


def test_rejected_tasks_are_an_error(batch: Batch) -> None:
    name = job(batch)  # a job without onTaskFailure takes no jobAction
    with pytest.raises(TasksRejected) as caught:
        conducted(batch, name)
    assert len(caught.value.rejected) == 251


@pytest.mark.parametrize(
    ("created", "occurrence"),
    [
        ("2026-03-28T05:00:00Z", "2026-03-28T05:00:00Z"),
        ("2026-03-28T05:00:07.25Z", "2026-03-28T05:00:00Z"),
        ("2026-03-29T04:00:00Z", "2026-03-29T04:00:00Z"),  # clocks went forward that night
        ("2026-03-29T03:59:59Z", "2026-03-28T05:00:00Z"),
    ],
)
def test_the_occurrence_is_the_latest_before_the_job(created: str, occurrence: str) -> None:
    found = occurrence_of(pipeline(), datetime.fromisoformat(created))
    assert found == datetime.fromisoformat(occurrence)


def test_it_signs_in_with_the_well_known_key_on_this_machine_only(server: LocalServer) -> None:
    environ = {"AZ_BATCH_ACCOUNT_URL": server.endpoint, "AZ_BATCH_ACCOUNT_NAME": "devaccount"}
    with connect_from(environ) as connected:
        assert connected.jobs() == []


def test_a_job_that_came_late_is_for_its_own_schedule_s_occurrence() -> None:
    # 06:00 and 07:00 are two schedules. The 06:00 job had to wait for the one before, and came after 07:00.
    line = SPEC.replace(b"0 6 * * *", b"0 6,7 * * *")
    created = datetime.fromisoformat("2026-03-28T06:30:00Z")
    six = Recurrence(start=datetime(2026, 1, 5, 5, tzinfo=UTC), interval=timedelta(days=1))
    assert occurrence_of(pipeline(line), created) == datetime(2026, 3, 28, 6, tzinfo=UTC)
    assert occurrence_of(pipeline(line), created, six) == datetime(2026, 3, 28, 5, tzinfo=UTC)
    not_yet = Recurrence(start=datetime(2027, 1, 5, 5, tzinfo=UTC))
    assert occurrence_of(pipeline(line), created, not_yet) == datetime(2026, 3, 28, 6, tzinfo=UTC)


def test_late_runs_of_two_schedules_both_run(tmp_path: Path) -> None:
    clock = [datetime(2026, 3, 27, 4, tzinfo=UTC)]
    with (
        LocalServer(tmp_path / "late", clock=lambda: clock[0]) as running,
        connect(running.endpoint, account=running.account, key=running.key) as batch,
    ):
        line = SPEC.replace(b"0 6 * * *", b"0 6,7 * * *")
        wanted = pipeline(line.replace(b"pool:", b"max_wall_clock_time: P3D\npool:"))
        for body in compile_pipeline(wanted, now=clock[0]).job_schedules:
            batch.create_job_schedule(body)

        def jobs_at(moment: str) -> list[dict[str, Any]]:
            clock[0] = datetime.fromisoformat(moment)
            running.wake()
            return sorted(batch.jobs("p"), key=lambda job: str(job["creationTime"]))

        def last_conducted(moment: str, count: int) -> str:
            wait_until(lambda: len(jobs_at(moment)) == count, f"{count} jobs")
            last = jobs_at(moment)[-1]["id"]
            conduct(batch, last, wanted, clock=lambda: clock[0], sleep=lambda _: None)
            return metadata_of(batch.job(last))["batchctl:scheduled_at"]

        assert last_conducted("2026-03-27T05:00:00Z", 1) == "2026-03-27T05:00:00Z"
        six = jobs_at("2026-03-27T05:00:00Z")[0]["id"]
        assert last_conducted("2026-03-27T06:00:00Z", 2) == "2026-03-27T06:00:00Z"
        seven = jobs_at("2026-03-27T06:00:00Z")[1]["id"]
        batch.terminate_job(seven, "TheTest")
        jobs_at(
            "2026-03-28T05:00:00Z"
        )  # 06:00 of the next day is due, and waits for the job of the day before
        assert last_conducted("2026-03-28T06:00:00Z", 3) == "2026-03-28T06:00:00Z"
        batch.terminate_job(six, "TheTest")
        assert last_conducted("2026-03-28T06:30:00Z", 4) == "2026-03-28T05:00:00Z"


def test_two_sets_of_schedules_do_not_replace_each_other_s_run(tmp_path: Path) -> None:
    clock = [datetime(2026, 3, 27, 4, tzinfo=UTC)]
    with (
        LocalServer(tmp_path / "twice", clock=lambda: clock[0]) as running,
        connect(running.endpoint, account=running.account, key=running.key) as batch,
    ):
        wanted = pipeline(SPEC.replace(b'"0 6 * * *"', b'"0 6 * * *", overlap: replace'))
        (first, *_) = compile_pipeline(wanted, now=clock[0]).job_schedules
        for id in ("p-one", "p-two"):  # of two operators who applied at once
            batch.create_job_schedule({**first, "id": id})
        clock[0] = datetime(2026, 3, 27, 5, tzinfo=UTC)
        running.wake()
        wait_until(lambda: len(batch.jobs("p")) == 2, "both fire")
        done = [
            conduct(batch, f"{id}:job-1", wanted, clock=lambda: clock[0], sleep=lambda _: None)
            for id in ("p-one", "p-two")
        ]
        assert done == [
            "251 tasks added to p-20260327T050000Z-s",
            "skipped: p-one:job-1 is for the same occurrence",
        ]
        assert batch.job("p-20260327T050000Z-s")["state"] == "active"

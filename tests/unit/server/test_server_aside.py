"""A bug met at one row: that row is set aside and told, everything else goes on, and a start never dies of it."""

import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from azure.batch import BatchClient, models
from azure.core.credentials import AzureNamedKeyCredential

from batchctl.cli import local
from batchctl.cli.options import Form
from batchctl.server import DEV_ACCOUNT, DEV_KEY, LocalServer, daemon
from batchctl.server.batch import performer
from batchctl.server.batch.scheduler import placement, runs, schedules
from batchctl.server.service import Service, set_aside

SECONDS = 90.0
DONE = models.BatchTaskState.COMPLETED


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server(tmp_path: Path, clock: Clock) -> Iterator[LocalServer]:
    with LocalServer(tmp_path / "state", grace_seconds=0.2, clock=clock) as running:
        yield running


@pytest.fixture
def batch(server: LocalServer) -> Iterator[BatchClient]:
    credential = AzureNamedKeyCredential(server.account, server.key)
    with BatchClient(server.endpoint, credential, retry_total=0) as client:
        client.create_pool(models.BatchPoolCreateOptions(id="p", vm_size="x", target_dedicated_nodes=1))
        client.create_job(models.BatchJobCreateOptions(id="j", pool_info=models.BatchPoolInfo(pool_id="p")))
        yield client


def eventually(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + SECONDS
    while not (value := condition()):
        assert time.monotonic() < deadline, "did not happen"
        time.sleep(0.01)
    return value


def service_of(server: LocalServer) -> Service:
    return Service(
        endpoint=server.endpoint, account=DEV_ACCOUNT, key=DEV_KEY, pid=os.getpid(), port=server.port
    )


def add_task(batch: BatchClient, name: str) -> None:
    batch.create_task("j", models.BatchTaskCreateOptions(id=name, command_line="true"))


def is_done(batch: BatchClient, name: str) -> bool:
    return batch.get_task("j", name).state == DONE


def poison(
    monkeypatch: pytest.MonkeyPatch, module: Any, name: str, is_bad: Callable[..., bool]
) -> pytest.MonkeyPatch:
    real = getattr(module, name)

    def broken(*arguments: Any, **named: Any) -> Any:
        if is_bad(*arguments):
            raise ZeroDivisionError("a bug")
        return real(*arguments, **named)

    monkeypatch.setattr(module, name, broken)
    return monkeypatch


def test_a_job_schedule(
    server: LocalServer,
    batch: BatchClient,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    start = clock.now
    patched = poison(
        monkeypatch, schedules, "_make_due_job", lambda _, row, now: row.doc["id"] == "bad" and now > start
    )
    job = models.BatchJobSpecification(pool_info=models.BatchPoolInfo(pool_id="p"))
    for name in ("bad", "good"):
        every = models.BatchJobScheduleConfiguration(do_not_run_until=clock.now + timedelta(hours=1))
        batch.create_job_schedule(
            models.BatchJobScheduleCreateOptions(id=name, schedule=every, job_specification=job)
        )
    clock.now += timedelta(hours=2)
    server.wake()
    eventually(lambda: {job.id for job in batch.list_jobs()} == {"j", "good:job-1"})
    add_task(batch, "other")
    eventually(lambda: is_done(batch, "other"))
    warning = "job schedule bad is set aside: ZeroDivisionError: a bug"
    eventually(lambda: set_aside(service_of(server)) == [warning])
    assert "Traceback" in caplog.text
    assert caplog.text.count(warning) == 1, "it is tried again after each change, and told once"
    server.stop()
    server.start()
    assert {job.id for job in batch.list_jobs()} == {"j", "good:job-1"}
    patched.undo()
    add_task(batch, "again")
    eventually(lambda: "bad:job-1" in {job.id for job in batch.list_jobs()})
    assert set_aside(service_of(server)) == []


def test_a_task_that_is_to_start(
    server: LocalServer, batch: BatchClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(monkeypatch, placement, "task_run", lambda *all: all[4].key == "bad")
    add_task(batch, "bad")
    add_task(batch, "good")
    eventually(lambda: is_done(batch, "good"))
    assert batch.get_task("j", "bad").state == models.BatchTaskState.ACTIVE
    warning = "task bad of job j is set aside: ZeroDivisionError: a bug"
    eventually(lambda: set_aside(service_of(server)) == [warning])


def test_the_end_of_a_run(server: LocalServer, batch: BatchClient, monkeypatch: pytest.MonkeyPatch) -> None:
    patched = poison(monkeypatch, runs, "_end_task_run", lambda _, __, task, *___: task.key == "bad")
    batch.begin_resize_pool("p", models.BatchPoolResizeOptions(target_dedicated_nodes=2)).result()
    add_task(batch, "bad")
    add_task(batch, "good")
    eventually(lambda: is_done(batch, "good"))
    (warning,) = eventually(lambda: set_aside(service_of(server)))
    assert warning.endswith("/workitems/j/job-1/bad is set aside: ZeroDivisionError: a bug")
    server.stop()
    server.start()  # it would be requeued: that fails too
    assert len(set_aside(service_of(server))) == 1
    patched.undo()
    server.stop()
    server.start()
    eventually(lambda: is_done(batch, "bad"))
    assert batch.get_task("j", "bad").execution_info.requeue_count == 1


def test_something_to_be_done_outside(batch: BatchClient, monkeypatch: pytest.MonkeyPatch) -> None:
    poison(
        monkeypatch,
        performer.folders,
        "fresh_task_folder",
        lambda _, folder: folder.endswith("/bad"),
    )
    add_task(batch, "bad")
    add_task(batch, "good")
    eventually(lambda: is_done(batch, "good"))
    failure = batch.get_task("j", "bad").execution_info.failure_info
    assert failure is not None
    assert failure.code == "CommandLaunchFailed"
    assert "a bug" in str(failure.as_dict())


def test_the_status_says_so(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(daemon, "find", lambda _: service_of(server))
    monkeypatch.setattr("batchctl.server.service._answer", lambda _: {"aside": ["pool p is set aside: why"]})
    local.status(Form.TABLE)
    assert "warning: a bug: pool p is set aside: why" in capsys.readouterr().err

"""A full disk: new work is refused in clear words, nothing that was accepted is lost, and it goes on when there is room."""

import errno
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
from azure.batch import BatchClient, models
from azure.core.credentials import AzureNamedKeyCredential
from azure.core.exceptions import HttpResponseError

from batchctl.cli import local, run
from batchctl.cli.options import Form, settings_for
from batchctl.errors import TargetError
from batchctl.report import run_report
from batchctl.server import LocalServer, daemon, disk
from batchctl.server.batch import engine, performer
from batchctl.server.batch.store import Store

SECONDS = 90.0
DONE = models.BatchTaskState.COMPLETED


class Disk(Store):
    """A store whose file may not grow any more once `full` is set."""

    full = False
    ballast: Path | None = None
    """With it: full as long as that file is whole."""

    def do(self, sql: str, arguments: Any = ()) -> int:
        self._limit()
        return super().do(sql, arguments)

    def insert(self, sql: str, arguments: Any = ()) -> int:
        self._limit()
        return super().insert(sql, arguments)

    def many(self, sql: str, rows: Any) -> None:
        self._limit()
        super().many(sql, rows)

    def _limit(self) -> None:
        held = Disk.ballast is None or Disk.ballast.stat().st_size >= disk.BALLAST_BYTES
        is_full = Disk.full and held
        pages = 1 if is_full else 2**30
        self._connection.execute(f"PRAGMA max_page_count = {pages}").fetchone()
        if is_full:
            # SQLite fills the pages it has first; this takes them.
            self._connection.execute("CREATE TABLE filler (x)")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalServer]:
    monkeypatch.setattr("batchctl.server.local.Store", Disk)
    monkeypatch.setattr(engine, "_FULL_DISK_SECONDS", 0.05)
    monkeypatch.setattr(Disk, "full", False)
    monkeypatch.setattr(Disk, "ballast", None)
    with LocalServer(tmp_path / "state", grace_seconds=0.2) as running:
        yield running
        Disk.full = False


@pytest.fixture
def batch(server: LocalServer) -> Iterator[BatchClient]:
    credential = AzureNamedKeyCredential(server.account, server.key)
    with BatchClient(server.endpoint, credential, retry_total=0) as client:
        yield client


def eventually(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + SECONDS
    while not (value := condition()):
        assert time.monotonic() < deadline, "did not happen"
        time.sleep(0.01)
    return value


def refused(action: Callable[[], Any]) -> None:
    with pytest.raises(HttpResponseError) as caught:
        action()
    assert caught.value.model is not None
    assert (caught.value.status_code, caught.value.model.code) == (403, "IOError")
    assert "no space left on the disk" in caught.value.model.message.value


def add_pool(batch: BatchClient, name: str = "p") -> None:
    batch.create_pool(models.BatchPoolCreateOptions(id=name, vm_size="x", target_dedicated_nodes=1))


def add_job(batch: BatchClient) -> None:
    batch.create_job(models.BatchJobCreateOptions(id="j", pool_info=models.BatchPoolInfo(pool_id="p")))


def add_task(batch: BatchClient, name: str, command: str = "true") -> None:
    batch.create_task("j", models.BatchTaskCreateOptions(id=name, command_line=command))


def state(batch: BatchClient, name: str) -> Any:
    return batch.get_task("j", name).state


def test_the_store_is_full(batch: BatchClient, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    add_pool(batch)
    add_job(batch)
    add_task(batch, "running", f"/bin/sh -c 'while ! test -e {gate}; do sleep 0.02; done'")
    add_task(batch, "waiting")
    eventually(lambda: state(batch, "running") == models.BatchTaskState.RUNNING)
    Disk.full = True
    refused(lambda: add_pool(batch, "q"))
    refused(lambda: add_task(batch, "more"))
    refused(lambda: batch.begin_delete_job("j"))
    gate.touch()  # its end cannot be recorded now
    for _ in range(20):
        assert [task.state for task in batch.list_tasks("j")] == ["running", "active"], "reading goes on"
    assert [pool.id for pool in batch.list_pools()] == ["p"], "what was refused had no effect"
    Disk.full = False
    eventually(lambda: (state(batch, "running"), state(batch, "waiting")) == (DONE, DONE))
    assert batch.get_task("j", "running").execution_info.exit_code == 0, "nor was it run again"
    assert batch.get_task("j", "running").execution_info.requeue_count == 0
    add_task(batch, "more")
    eventually(lambda: state(batch, "more") == DONE)


def test_with_nothing_free_work_is_ended_and_deleted_from_the_ballast(
    batch: BatchClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gate, ballast = tmp_path / "gate", tmp_path / "state" / "ballast"
    add_pool(batch)
    batch.begin_resize_pool("p", models.BatchPoolResizeOptions(target_dedicated_nodes=2)).result()
    add_job(batch)
    add_task(batch, "ends", f"/bin/sh -c 'while ! test -e {gate}; do sleep 0.02; done'")
    add_task(batch, "runs", "sleep 600")
    eventually(lambda: state(batch, "runs") == state(batch, "ends") == models.BatchTaskState.RUNNING)
    size = disk.BALLAST_BYTES
    assert ballast.stat().st_size == size
    monkeypatch.setattr(disk, "RESERVED_BYTES", 2**62)
    Disk.ballast, Disk.full = ballast, True
    batch.terminate_task("j", "runs")
    eventually(lambda: state(batch, "runs") == DONE)
    gate.touch()
    eventually(lambda: state(batch, "ends") == DONE)
    refused(lambda: add_task(batch, "more"))
    assert 0 < ballast.stat().st_size < size
    monkeypatch.setattr(disk, "RESERVED_BYTES", 0)
    eventually(lambda: ballast.stat().st_size == size)
    monkeypatch.setattr(disk, "RESERVED_BYTES", 2**62)
    batch.begin_delete_job("j").result()
    assert not list(batch.list_jobs())


def test_the_ballast_goes_with_the_service_if_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "RESERVED_BYTES", 0)
    ballast = tmp_path / "ballast"
    with LocalServer(tmp_path):
        eventually(ballast.exists)
    assert not ballast.exists()
    with LocalServer(tmp_path):
        eventually(ballast.exists)
        monkeypatch.setattr(disk, "RESERVED_BYTES", 2**62)
    assert ballast.exists(), "the next start may need it"
    daemon.reset(tmp_path)
    assert not ballast.exists()


def test_hardly_any_room_is_left(batch: BatchClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    add_pool(batch)
    add_job(batch)
    add_task(batch, "running", f"/bin/sh -c 'while ! test -e {gate}; do sleep 0.02; done'")
    add_task(batch, "waiting")
    eventually(lambda: state(batch, "running") == models.BatchTaskState.RUNNING)
    monkeypatch.setattr(disk, "RESERVED_BYTES", 2**62)
    refused(lambda: add_task(batch, "more"))
    refused(lambda: batch.update_job("j", models.BatchJobUpdateOptions(priority=1)))
    gate.touch()
    eventually(lambda: state(batch, "running") == DONE)
    assert state(batch, "waiting") == models.BatchTaskState.ACTIVE, "it would fail for want of room"
    batch.delete_task("j", "running")
    monkeypatch.undo()
    eventually(lambda: state(batch, "waiting") == DONE)
    assert batch.get_task("j", "waiting").execution_info.requeue_count == 0


def test_a_folder_cannot_be_made(batch: BatchClient, monkeypatch: pytest.MonkeyPatch) -> None:
    make = performer.folders.fresh_task_folder
    tries: list[str] = []

    def full(site: Any, folder: str) -> Path:
        tries.append(folder)
        if len(tries) < 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        return make(site, folder)

    monkeypatch.setattr(performer.folders, "fresh_task_folder", full)
    add_pool(batch)
    add_job(batch)
    add_task(batch, "a")
    eventually(lambda: state(batch, "a") == DONE)
    info = batch.get_task("j", "a").execution_info
    assert (info.exit_code, info.requeue_count, info.retry_count) == (0, 0, 0)
    assert len(tries) == 3


def test_a_task_that_waits_for_room_can_be_ended(batch: BatchClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(site: Any, folder: str) -> Path:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr(performer.folders, "fresh_task_folder", full)
    add_pool(batch)
    add_job(batch)
    add_task(batch, "a")
    eventually(lambda: state(batch, "a") == models.BatchTaskState.RUNNING)
    batch.terminate_task("j", "a")
    eventually(lambda: state(batch, "a") == DONE)


def test_it_cannot_even_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(Store):
        def _create(self) -> None:
            self._connection.execute("PRAGMA max_page_count = 2")
            super()._create()

    monkeypatch.setattr("batchctl.server.local.Store", Full)
    with pytest.raises(TargetError, match="no space left") as caught, LocalServer(tmp_path):
        pass
    assert caught.value.code == "DiskFull"
    # In the background its log cannot be written either, so its exit code has to say it.
    code = daemon.main(["--state", str(tmp_path)])
    service = tmp_path / "python"
    service.write_text(f"#!/bin/sh\nexit {code}\n")
    service.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(service))
    with pytest.raises(TargetError, match="no space left") as caught:
        daemon.start(tmp_path)
    assert (caught.value.code, caught.value.hint) == (
        "DiskFull",
        f"nothing is lost; make room: df {tmp_path}",
    )


def test_the_status_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".batchctl" / "local").mkdir(parents=True)
    local.status(Form.TABLE)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(disk, "RESERVED_BYTES", 2**62)
    local.status(Form.TABLE)
    assert "nothing new is taken or started" in capsys.readouterr().err


def test_whoever_waits_for_a_run_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".batchctl" / "local").mkdir(parents=True)
    settings = settings_for("local")
    going_on, over = (
        run_report({"id": "r", "state": word, "executionInfo": {}}, [], {})
        for word in ("active", "completed")
    )
    assert run.with_lack_of_room(settings, going_on) == going_on
    monkeypatch.setattr(disk, "RESERVED_BYTES", 2**62)
    assert "nothing new is taken or started" in run.with_lack_of_room(settings, going_on).verdict.why
    assert run.with_lack_of_room(settings, over) == over


def test_which_errors_mean_a_full_disk(tmp_path: Path) -> None:
    assert disk.has_room(tmp_path)
    assert disk.is_full(OSError(errno.ENOSPC, "x"))
    assert not disk.is_full(OSError(errno.EACCES, "x"))
    connection = apsw.Connection(":memory:")
    with pytest.raises(apsw.Error) as caught:
        connection.execute("SELECT * FROM nothing")
    assert not disk.is_full(caught.value)
    connection.close()

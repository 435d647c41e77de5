"""The background service: one per directory, found with certainty, and nothing lost when it is killed."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.batch import BatchClient, models
from azure.core.credentials import AzureNamedKeyCredential

from batchctl.errors import TargetError
from batchctl.server import DEV_ACCOUNT, DEV_KEY, LocalServer, daemon
from batchctl.server.batch.runner import leftovers
from batchctl.server.state_dir import StateDir

SECONDS = 90.0


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "state"
    daemon.stop(tmp_path / "state")


def client(service: daemon.Service | LocalServer) -> BatchClient:
    return BatchClient(service.endpoint, AzureNamedKeyCredential(service.account, service.key), retry_total=0)


def eventually(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + SECONDS
    while not (value := condition()):
        assert time.monotonic() < deadline, "did not happen"
        time.sleep(0.02)
    return value


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_import_is_cheap() -> None:
    code = "import sys, batchctl.server, batchctl.server.daemon; print('starlette' in sys.modules, 'uvicorn' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "False False\n"


def test_after_a_kill_comes_one_that_stays_if_the_killed_one_did(state: Path) -> None:
    for on_demand, stays in ((None, True), (60.0, False)):
        killed = daemon.start(state, on_demand=on_demand)
        os.kill(killed.pid, signal.SIGKILL)
        eventually(lambda: not runs(killed.pid))  # noqa: B023
        again = daemon.start(state, on_demand=60.0)
        assert json.loads((state / "service.json").read_bytes())["stays"] is stays
        assert daemon.find(state) == again
        daemon.stop(state)


def test_only_its_owner_may_look_into_it(state: Path) -> None:
    daemon.start(state)
    assert state.stat().st_mode & 0o777 == 0o700


def test_start_find_stop(state: Path) -> None:
    assert daemon.find(state) is None
    assert daemon.stop(state) is False
    service = daemon.start(state)
    assert (service.account, service.key) == (DEV_ACCOUNT, DEV_KEY)
    assert daemon.start(state) == service, "one service per directory"
    assert daemon.find(state) == service
    assert os.getsid(service.pid) == service.pid, "it does not die with our terminal"
    with pytest.raises(TargetError, match=f"process {service.pid}"), LocalServer(state):
        pass
    with pytest.raises(TargetError, match="in use"):
        daemon.reset(state)
    assert daemon.stop(state) is True
    assert daemon.find(state) is None
    again = daemon.start(state)
    assert again.port == service.port
    daemon.stop(state)
    daemon.reset(state)
    assert list(state.iterdir()) == []


def test_a_stale_record_is_not_believed(state: Path, tmp_path: Path) -> None:
    service = daemon.start(state)
    record = json.loads((state / "service.json").read_text())
    other = tmp_path / "other"
    other.mkdir()
    (other / "service.json").write_text(json.dumps(record | {"identity": "somebody else"}))
    assert daemon.find(other) is None
    for rubbish in ("", "{", "[]", '{"pid": 1}', json.dumps(record | {"pid": 2**22 + 1})):
        (other / "service.json").write_text(rubbish)
        assert daemon.find(other) is None
    assert daemon.find(state) == service


def test_a_port_in_use(state: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(TargetError) as caught:
            daemon.start(state, port=port)
        assert caught.value.code == "PortInUse"
        assert str(port) in caught.value.message
        assert "--port" in caught.value.hint
        with pytest.raises(TargetError, match="Address already in use"), LocalServer(state, port=port):
            pass


def test_an_embedded_service_is_not_replaced(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon, "_RACE_SECONDS", 0.2)
    with LocalServer(state), pytest.raises(TargetError) as caught:
        daemon.start(state)
    assert caught.value.code == "StateInUse"


def test_a_service_that_is_too_slow_is_told_as_that(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon, "START_SECONDS", 0.0)
    with pytest.raises(TargetError, match="took longer than 0 s to start") as caught:
        daemon.start(state)
    assert str(state / "service.log") in caught.value.message
    assert "try again" in caught.value.hint


def test_a_forgotten_port_is_no_problem(state: Path) -> None:
    state.mkdir()
    (state / "port").write_text("")
    with LocalServer(state) as server:
        assert server.port > 0


def test_on_demand_it_ends_itself(state: Path) -> None:
    service = daemon.start(state, on_demand=0.5)
    eventually(lambda: not runs(service.pid))
    assert daemon.find(state) is None


def test_it_is_not_idle_before_whoever_started_it_has_found_it(state: Path) -> None:
    with LocalServer(state) as server:
        eventually(lambda: server.idle_seconds() < -1.0)
        connection = http.client.HTTPConnection("127.0.0.1", server.port)
        connection.request("GET", "/.batchctl/identity")
        connection.getresponse().read()
        connection.close()
        assert 0.0 <= server.idle_seconds() < 20.0


def test_it_does_not_end_under_a_command_that_just_found_it(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, found = StateDir(state).record, []
    idle = iter([9.0, 0.0, 9.0, 9.0])

    def idle_seconds(_: LocalServer) -> float:
        found.append(record.exists())
        return next(idle)

    monkeypatch.setattr(LocalServer, "idle_seconds", idle_seconds)
    monkeypatch.setattr(daemon, "_LAST_CALL_SECONDS", 0.0)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    daemon.serve(state, on_demand=5.0)
    assert found == [True, False, True, False]


def test_on_demand_it_stays_while_there_is_work(state: Path) -> None:
    first = state / "first"
    script = f"/bin/sh -c 'test -e {first} && exec sleep 1.5; touch {first}; exec sleep 600'"
    with LocalServer(state, grace_seconds=0.2) as server, client(server) as batch:
        batch.create_pool(models.BatchPoolCreateOptions(id="p", vm_size="x", target_dedicated_nodes=1))
        batch.create_job(
            models.BatchJobCreateOptions(
                id="j",
                pool_info=models.BatchPoolInfo(pool_id="p"),
                job_manager_task=models.BatchJobManagerTask(id="m", command_line=script),
            )
        )
        eventually(first.exists)
    service = daemon.start(state, on_demand=0.5)
    eventually(lambda: not runs(service.pid))
    with LocalServer(state) as server, client(server) as batch:
        task = batch.get_task("j", "m")
        assert task.state == models.BatchTaskState.COMPLETED
        assert task.execution_info.requeue_count == 1, "it ended under the task"


def test_kill_9_loses_nothing(state: Path) -> None:
    service = daemon.start(state)
    note = "echo {} >> $AZ_BATCH_NODE_SHARED_DIR/pids"
    script = f"/bin/sh -c '{note.format('$$')}; setsid sleep 600 & {note.format('$!')}; sleep 600'"
    with client(service) as batch:
        batch.create_pool(models.BatchPoolCreateOptions(id="p", vm_size="x", target_dedicated_nodes=1))
        batch.create_job(models.BatchJobCreateOptions(id="j", pool_info=models.BatchPoolInfo(pool_id="p")))
        batch.create_task("j", models.BatchTaskCreateOptions(id="long", command_line=script))
        pids = eventually(lambda: _pids(state, 2))
        batch.create_task("j", models.BatchTaskCreateOptions(id="after", command_line="true"))
    os.kill(service.pid, signal.SIGKILL)
    eventually(lambda: not runs(service.pid))
    assert all(runs(pid) for pid in pids), "the orphans are still there"
    service = daemon.start(state)
    try:
        eventually(lambda: not any(runs(pid) for pid in pids))
        with client(service) as batch:
            fresh = eventually(lambda: _pids(state, 4))[2:]
            task = batch.get_task("j", "long")
            assert (task.state, task.execution_info.requeue_count) == (models.BatchTaskState.RUNNING, 1)
            assert task.execution_info.retry_count == 0
            assert batch.get_task("j", "after").state == models.BatchTaskState.ACTIVE
            batch.terminate_task("j", "long")
            done = models.BatchTaskState.COMPLETED
            eventually(lambda: batch.get_task("j", "after").state == done)
            assert batch.get_task("j", "after").execution_info.exit_code == 0
    finally:
        daemon.stop(state)
        for pid in fresh:
            if runs(pid):
                os.kill(pid, signal.SIGKILL)  # the session of its own, which only a recovery would find


def _pids(state: Path, count: int) -> list[int]:
    found = [int(line) for file in state.glob("nodes/*/shared/pids") for line in file.read_text().split()]
    return found if len(found) >= count else []


def test_stop_kills_tasks_and_the_next_start_runs_them_again(state: Path) -> None:
    service = daemon.start(state)
    script = "/bin/sh -c 'echo $$ >> $AZ_BATCH_NODE_SHARED_DIR/pids; sleep 600'"
    with client(service) as batch:
        batch.create_pool(models.BatchPoolCreateOptions(id="p", vm_size="x", target_dedicated_nodes=1))
        batch.create_job(models.BatchJobCreateOptions(id="j", pool_info=models.BatchPoolInfo(pool_id="p")))
        batch.create_task("j", models.BatchTaskCreateOptions(id="long", command_line=script))
        (pid,) = eventually(lambda: _pids(state, 1))
    daemon.stop(state)
    assert not runs(pid)
    with client(daemon.start(state)) as batch:
        eventually(lambda: _pids(state, 2))
        assert batch.get_task("j", "long").execution_info.requeue_count == 1


def test_a_reused_process_id_is_not_killed() -> None:
    stranger = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        born = leftovers.start_ticks(stranger.pid)
        boot, ticks = born.split(":")
        leftovers.kill_recorded(
            [(stranger.pid, f"{boot}:{int(ticks) - 1}"), (stranger.pid, f"x:{ticks}"), (stranger.pid, "")]
        )
        assert stranger.poll() is None
        leftovers.kill_recorded([(stranger.pid, born)])
        assert stranger.wait(SECONDS) == -signal.SIGKILL
    finally:
        stranger.kill()
        stranger.wait()


def test_only_marked_processes_are_swept(tmp_path: Path) -> None:
    def sleeper(root: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(["sleep", "60"], env={**os.environ, "AZ_BATCH_NODE_ROOT_DIR": root})

    ours, theirs = sleeper(f"{tmp_path}/nodes/n1"), sleeper(f"{tmp_path}/nodes-of-others/n1")
    try:
        assert leftovers.kill_marked(tmp_path / "nodes") == 1
        assert ours.wait(SECONDS) == -signal.SIGKILL
        assert theirs.poll() is None
    finally:
        for process in (ours, theirs):
            process.kill()
            process.wait()


def test_a_store_of_another_version_is_not_touched(tmp_path: Path) -> None:
    import sqlite3

    connection = sqlite3.connect(tmp_path / "batch.sqlite")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(TargetError, match="version 99") as caught, LocalServer(tmp_path):
        pass
    assert caught.value.hint == "batchctl local reset"


def test_a_store_that_is_a_folder_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "batch.sqlite").mkdir()
    with pytest.raises(TargetError, match="unable to open") as caught, LocalServer(tmp_path):
        pass
    assert caught.value.hint == "batchctl local reset"


def test_a_store_that_cannot_be_read_says_what_to_do_each_time(state: Path) -> None:
    state.mkdir()
    (state / "batch.sqlite").write_bytes(b"this is no database" * 400)
    for _ in range(2):
        with pytest.raises(TargetError, match=r"\A[^\n]*not a database\Z") as caught:
            daemon.start(state)
        assert caught.value.hint == "batchctl local reset"
    daemon.reset(state)
    daemon.start(state)

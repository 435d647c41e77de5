"""Processes that leave their task's session: they end with their task, their node or the service, not later."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.batch import BatchClient, models
from azure.core.credentials import AzureNamedKeyCredential

from batchctl.server import LocalServer

SECONDS = 90.0
ESCAPE = 'setsid sh -c "echo \\$\\$ > {0}; exec sleep 600" & while ! test -s {0}; do sleep 0.01; done'
"""A shell script that leaves a process in a session of its own behind, whose number is then in the file."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LocalServer]:
    with LocalServer(tmp_path / "state", grace_seconds=0.2) as running:
        yield running


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


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def left_behind(note: Path) -> int:
    return int(eventually(lambda: note.exists() and note.read_text()))


def shell(script: str) -> str:
    return f"/bin/sh -c '{script}'"


def add_task(batch: BatchClient, script: str, retries: int = 0, **pool: Any) -> None:
    options = models.BatchPoolCreateOptions(id="p", vm_size="x", target_dedicated_nodes=1, **pool)
    batch.create_pool(options)
    batch.create_job(models.BatchJobCreateOptions(id="j", pool_info=models.BatchPoolInfo(pool_id="p")))
    constraints = models.BatchTaskConstraints(max_task_retry_count=retries)
    batch.create_task(
        "j", models.BatchTaskCreateOptions(id="t", command_line=shell(script), constraints=constraints)
    )


def test_it_ends_with_its_task(batch: BatchClient, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    add_task(batch, ESCAPE.format(note))
    pid = left_behind(note)
    eventually(lambda: not runs(pid))
    assert batch.get_task("j", "t").execution_info.exit_code == 0


def test_it_ends_with_its_try_and_the_next_try_goes_on(batch: BatchClient, tmp_path: Path) -> None:
    notes = tmp_path / "first", tmp_path / "second"
    scripts = [ESCAPE.format(note) for note in notes]
    add_task(
        batch, f"if test -e {notes[0]}; then {scripts[1]}; sleep 600; fi; {scripts[0]}; exit 1", retries=1
    )
    first, second = map(left_behind, notes)
    eventually(lambda: not runs(first))
    assert runs(second), "it belongs to the try that still runs"
    batch.terminate_task("j", "t")
    eventually(lambda: not runs(second))


def test_what_a_start_task_leaves_stays_until_the_node_goes(batch: BatchClient, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    start = models.BatchStartTask(command_line=shell(ESCAPE.format(note)), wait_for_success=True)
    add_task(batch, ESCAPE.format(f"{note}.task"), start_task=start)
    daemon, escapee = left_behind(note), left_behind(Path(f"{note}.task"))
    eventually(lambda: not runs(escapee))
    assert runs(daemon)
    batch.begin_delete_pool("p")
    eventually(lambda: not runs(daemon))


def test_it_ends_with_the_service(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    with LocalServer(tmp_path / "state") as server:
        credential = AzureNamedKeyCredential(server.account, server.key)
        with BatchClient(server.endpoint, credential) as batch:
            add_task(batch, f"{ESCAPE.format(note)}; sleep 600")
            pid = left_behind(note)
            assert runs(pid)
    assert not runs(pid)

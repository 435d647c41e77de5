"""The official SDK, unmodified, against a local service in a temporary directory."""

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from azure.batch import BatchClient, models
from azure.core.credentials import AzureNamedKeyCredential
from azure.core.exceptions import HttpResponseError

from batchctl.server import LocalServer
from tests.contract.web_store import WebStore, serving

DEADLINE_SECONDS = 90.0


class Clock:
    """The wall clock, shifted by what a test added."""

    def __init__(self) -> None:
        self.shift = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.shift


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server(tmp_path: Path, clock: Clock) -> Iterator[LocalServer]:
    with LocalServer(tmp_path / "state", clock=clock, grace_seconds=0.2) as running:
        yield running


@pytest.fixture
def batch(server: LocalServer) -> Iterator[BatchClient]:
    credential = AzureNamedKeyCredential(server.account, server.key)
    with BatchClient(server.endpoint, credential, retry_total=0) as client:
        yield client


def eventually(condition: Callable[[], Any], what: str = "") -> Any:
    """The first true value of `condition`, which is asked until a deadline."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        if value := condition():
            return value
        assert time.monotonic() < deadline, f"did not happen in {DEADLINE_SECONDS} s: {what}"
        time.sleep(0.01)


def error_of(action: Callable[[], Any]) -> HttpResponseError:
    """The error that the action answers with; it must answer with one."""
    with pytest.raises(HttpResponseError) as caught:
        action()
    return caught.value


def code_of(action: Callable[[], Any]) -> tuple[int | None, str | None]:
    """Status and wire code of the error that the action answers with."""
    error = error_of(action)
    model = getattr(error, "model", None)
    if model is not None:
        return error.status_code, model.code
    # The SDK does not read the body of a refused download.
    assert error.response is not None
    content: bytes = error.response.read()  # type: ignore[attr-defined]
    return error.status_code, json.loads(content)["code"] if content else None


def pool(name: str = "etl", nodes: int = 1, slots: int = 1, **more: Any) -> models.BatchPoolCreateOptions:
    return models.BatchPoolCreateOptions(
        id=name, vm_size="Standard_D2s_v5", target_dedicated_nodes=nodes, task_slots_per_node=slots, **more
    )


def job(name: str = "daily", pool_id: str = "etl", **more: Any) -> models.BatchJobCreateOptions:
    return models.BatchJobCreateOptions(id=name, pool_info=models.BatchPoolInfo(pool_id=pool_id), **more)


def task(name: str, command: str = "true", **more: Any) -> models.BatchTaskCreateOptions:
    return models.BatchTaskCreateOptions(id=name, command_line=command, **more)


def shell(name: str, script: str, **more: Any) -> models.BatchTaskCreateOptions:
    return task(name, f"/bin/sh -c '{script}'", **more)


def completed(batch: BatchClient, job_id: str, task_id: str) -> models.BatchTask:
    """The task, once it is completed."""

    def done() -> models.BatchTask | None:
        found = batch.get_task(job_id, task_id)
        return found if found.state == models.BatchTaskState.COMPLETED else None

    found: models.BatchTask = eventually(done, f"task {task_id} completes")
    return found


def in_state(read: Callable[[], Any], state: str) -> Any:
    """What `read` gives, once it has that state."""

    def reached() -> Any:
        found = read()
        return (
            found
            if str(found.state.value if hasattr(found.state, "value") else found.state) == state
            else None
        )

    return eventually(reached, f"state {state}")


def text_of(batch: BatchClient, job_id: str, task_id: str, name: str = "stdout.txt") -> str:
    return b"".join(batch.download_task_file(job_id, task_id, name)).decode()


def has_output(batch: BatchClient, job_id: str, task_id: str) -> bool:
    """Whether the task runs and has written something."""
    found = batch.get_task(job_id, task_id)
    return found.state == models.BatchTaskState.RUNNING and bool(text_of(batch, job_id, task_id))


def schedule(name: str = "nightly", **more: Any) -> models.BatchJobScheduleCreateOptions:
    """A schedule with a job a day, from now on."""
    specification = models.BatchJobSpecification(pool_info=models.BatchPoolInfo(pool_id="etl"))
    recurrence = models.BatchJobScheduleConfiguration(recurrence_interval=timedelta(days=1))
    defaults: dict[str, Any] = {"job_specification": specification, "schedule": recurrence}
    return models.BatchJobScheduleCreateOptions(id=name, **(defaults | more))


@pytest.fixture
def daily(batch: BatchClient) -> BatchClient:
    """A pool of one node of four slots, and a job on it."""
    batch.create_pool(pool(slots=4))
    batch.create_job(job())
    return batch


def run(batch: BatchClient, script: str, name: str = "a", **more: Any) -> models.BatchTaskExecutionInfo:
    """Run a script as a task of the job `daily`; how that went."""
    batch.create_task("daily", shell(name, script, **more))
    return completed(batch, "daily", name).execution_info


def upload(pattern: str, url: str, condition: str = "taskcompletion", **more: Any) -> models.OutputFile:
    """An output file: what matches `pattern` goes to the container at `url`."""
    container = models.OutputFileBlobContainerDestination(container_url=url, **more)
    return models.OutputFile(
        file_pattern=pattern,
        destination=models.OutputFileDestination(container=container),
        upload_options=models.OutputFileUploadConfiguration(upload_condition=condition),
    )


@pytest.fixture
def web() -> Iterator[WebStore]:
    """A web server that holds files, takes others, and misbehaves on demand."""
    with serving() as store:
        yield store

"""A local service whose pool runs containers on a real engine, with a few words for what the tests say again and again."""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
import pytest
from azure.batch import BatchClient, models
from azure.core.credentials import AzureNamedKeyCredential

from batchctl.server import LocalServer
from batchctl.server.batch.runner.docker.body import STATE_LABEL
from tests.services.server.engine_proxy import EngineProxy

DEADLINE = 120.0
MACHINE = {
    "imageReference": {"publisher": "p", "offer": "o", "sku": "s"},
    "nodeAgentSKUId": "batch.node.ubuntu 22.04",
}


def wait_for(condition: Callable[[], Any], what: str = "") -> Any:
    """The first true value of `condition`, which is asked until a deadline."""
    deadline = time.monotonic() + DEADLINE
    while not (value := condition()):
        assert time.monotonic() < deadline, f"did not happen in {DEADLINE} s: {what}"
        time.sleep(0.02)
    return value


class Story:
    """The pool `p`, its job `j`, and tasks in containers of `image`."""

    def __init__(self, batch: BatchClient, image: str) -> None:
        self.batch = batch
        self.image = image

    def pool(
        self, name: str = "p", *, nodes: int = 1, slots: int = 1, images: Any = (), registries: Any = (), **more: Any
    ) -> None:  # fmt: skip
        configuration: dict[str, Any] = {"type": "dockerCompatible"}
        if images:
            configuration["containerImageNames"] = list(images)
        if registries:
            configuration["containerRegistries"] = list(registries)
        body = {
            "id": name,
            "vmSize": "Standard_D2ds_v5",
            "targetDedicatedNodes": nodes,
            "taskSlotsPerNode": slots,
        }
        machine = MACHINE | {"containerConfiguration": configuration}
        self.batch.create_pool({**body, "virtualMachineConfiguration": machine, **more})

    def job(self, name: str = "j", *, pool: str = "p", **more: Any) -> None:
        self.batch.create_job({"id": name, "poolInfo": {"poolId": pool}, **more})

    def settings(self, **settings: Any) -> dict[str, Any]:
        return {"imageName": self.image} | settings

    def task(self, name: str, command: str, *, job: str = "j", more: Any = None, **settings: Any) -> None:
        body = {"id": name, "commandLine": command, "containerSettings": self.settings(**settings)}
        self.batch.create_task(job, body | (more or {}))

    def shell(self, name: str, script: str, *, job: str = "j", more: Any = None, **settings: Any) -> None:
        self.task(name, f"/bin/sh -c '{script}'", job=job, more=more, **settings)

    def get(self, name: str, job: str = "j") -> models.BatchTask:
        return self.batch.get_task(job, name)

    def done(self, name: str, job: str = "j") -> models.BatchTaskExecutionInfo:
        """The task's executionInfo once it is completed."""
        wait_for(lambda: self.get(name, job).state == "completed", f"task {name} completes: {self.nodes()}")
        return self.get(name, job).execution_info

    def running(self, name: str, job: str = "j") -> str:
        """The id of the task's container once it runs."""

        def there() -> str | None:
            found = self.get(name, job)
            info = found.execution_info.container_info
            return info.container_id if found.state == "running" and info is not None else None

        return str(wait_for(there, f"the container of {name} runs"))

    def text(self, name: str, file: str = "stdout.txt", job: str = "j") -> str:
        return b"".join(self.batch.download_task_file(job, name, file)).decode()

    def nodes(self, pool: str = "p") -> list[models.BatchNode]:
        return list(self.batch.list_nodes(pool))

    def run(
        self, script: str, name: str = "a", more: Any = None, **settings: Any
    ) -> models.BatchTaskExecutionInfo:
        """Run a shell script in a container, to its end."""
        self.shell(name, script, more=more, **settings)
        return self.done(name)


@contextmanager
def serving(state: Path, image: str, **more: Any) -> Iterator[Story]:
    """A service over `state` in this process."""
    with LocalServer(state, **{"grace_seconds": 0.2, **more}) as server:
        credential = AzureNamedKeyCredential(server.account, server.key)
        with BatchClient(server.endpoint, credential, retry_total=0) as batch:
            yield Story(batch, image)


@pytest.fixture
def state(tmp_path: Path, engine: docker.DockerClient) -> Iterator[Path]:
    """A service's directory, of which no container may be left at the end."""
    yield tmp_path / "state"
    assert containers_of(engine, tmp_path / "state") == []


@pytest.fixture
def story(state: Path, base_image: str) -> Iterator[Story]:
    """A service with the pool `p` of one node with four slots, and the job `j`."""
    with serving(state, base_image) as story:
        story.pool(slots=4)
        story.job()
        yield story


def containers_of(engine: docker.DockerClient, state: Path) -> list[str]:
    """The ids of the containers of a service over `state`."""
    label = f"{STATE_LABEL}={state}/nodes"
    return [
        str(one.id) for one in engine.containers.list(all=True, filters={"label": label}, ignore_removed=True)
    ]


@pytest.fixture
def engine_proxy(engine: docker.DockerClient, monkeypatch: pytest.MonkeyPatch) -> Iterator[EngineProxy]:
    """A way to the engine that the test can cut; DOCKER_HOST leads to it."""
    with (
        tempfile.TemporaryDirectory() as folder,  # tmp_path may be too long for a socket
        EngineProxy(Path(folder) / "docker.sock", os.environ["DOCKER_HOST"]) as proxy,
    ):
        monkeypatch.setenv("DOCKER_HOST", proxy.host)
        yield proxy

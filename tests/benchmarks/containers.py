"""What a container task costs beyond its container: trivial tasks of the local service against bare `docker run` of the same image.

Both with the host's network, which is what the service's containers have: it is the cheaper one, so the harder reference. Pairs
in turn, and the median of them, because the engine is not equally fast at all times.
"""

import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import docker

from batchctl.server import LocalServer
from batchctl.targets.batch import Batch
from batchctl.targets.connect import connect
from batchctl.targets.submit import submit
from tests.benchmarks.table import Row
from tests.services.docker_services import EngineMissing, provide_base_image, shared_engine

TASKS = 12
PAIRS = 7
GOAL = "<= 1.3"


def rows() -> Iterator[Row]:
    try:
        with shared_engine() as host:
            os.environ["DOCKER_HOST"] = host
            client = docker.DockerClient(host)
            image = provide_base_image(client)
            client.close()
            for slots in (1, 4):
                yield _measured(image, slots)
    except EngineMissing as error:
        print(f"not measured: {error}")


def _measured(image: str, slots: int) -> Row:
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalServer(Path(folder) / "state") as server,
        connect(server.endpoint, account=server.account, key=server.key) as batch,
    ):
        configuration = {"type": "dockerCompatible", "containerImageNames": [image]}
        machine = {"imageReference": {"offer": "x"}, "nodeAgentSKUId": "batch.node.ubuntu 22.04"}
        machine |= {"containerConfiguration": configuration}
        pool = {
            "id": "p",
            "vmSize": "Standard_D8s_v5",
            "targetDedicatedNodes": 1,
            "taskSlotsPerNode": slots,
        }
        batch.create_pool(pool | {"virtualMachineConfiguration": machine})
        pairs = [(_tasks(batch, image, number), _runs(image, slots)) for number in range(PAIRS + 1)][1:]
    ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    return Row(
        what=f"a container task `true`, {slots} at a time", ours=ours * 1000, reference=theirs * 1000, unit="ms",
        ratio=statistics.median(a / b for a, b in pairs), goal=GOAL, note="reference: docker run --rm --network host",
    )  # fmt: skip


def _tasks(batch: Batch, image: str, number: int) -> float:
    """Seconds for each of TASKS tasks, from adding the first to the end of the last."""
    job = f"j{number}"
    batch.create_job({"id": job, "poolInfo": {"poolId": "p"}})
    settings = {"imageName": image}
    bodies = [
        {"id": str(place), "commandLine": "true", "containerSettings": settings} for place in range(TASKS)
    ]
    begun = time.perf_counter()
    submit(batch, job, bodies)
    while batch.task_counts(job)["completed"] < TASKS:
        time.sleep(0.005)
    seconds = time.perf_counter() - begun
    assert batch.task_counts(job)["succeeded"] == TASKS
    return seconds / TASKS


def _runs(image: str, at_once: int) -> float:
    """Seconds for each of TASKS bare containers, so many at a time."""
    command = ["docker", "run", "--rm", "--network", "host", image, "true"]

    def run(_: int) -> None:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    begun = time.perf_counter()
    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(run, range(TASKS)))
    return (time.perf_counter() - begun) / TASKS

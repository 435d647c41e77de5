"""Which bodies of an account keep an image: asked of the local service, through the SDK."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from batchctl.server import LocalServer
from batchctl.targets.batch import Batch
from batchctl.targets.connect import connect
from batchctl.targets.image_references import living_bodies


def image(number: int) -> str:
    return f"localhost:5000/etl@sha256:{number:064x}"


@pytest.fixture
def batch(tmp_path: Path) -> Iterator[Batch]:
    with (
        LocalServer(tmp_path / "state", grace_seconds=0.2) as server,
        connect(server.endpoint, account=server.account, key=server.key) as account,
    ):
        yield account


def pool(*images: str) -> dict[str, Any]:
    return {
        "vmSize": "STANDARD_D2S_V5",
        "targetDedicatedNodes": 0,
        "virtualMachineConfiguration": {
            "imageReference": {
                "publisher": "microsoft-dsvm",
                "offer": "ubuntu-hpc",
                "sku": "2204",
                "version": "latest",
            },
            "nodeAgentSKUId": "batch.node.ubuntu 22.04",
            "containerConfiguration": {"type": "dockerCompatible", "containerImageNames": list(images)},
        },
    }


def named(batch: Batch) -> set[int]:
    text = "".join(living_bodies(batch))
    return {number for number in range(1, 10) if image(number) in text}


def test_pools_schedules_and_their_jobs_keep_images(batch: Batch) -> None:
    assert living_bodies(batch) == []
    batch.create_pool({"id": "by-hand", **pool(image(1))})
    later = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    manager = {
        "id": "conductor",
        "commandLine": "x",
        "containerSettings": {"imageName": image(2)},
        "environmentSettings": [{"name": "C", "value": json.dumps({"images": {"etl": image(3)}})}],
    }
    auto = {"poolLifetimeOption": "job", "pool": pool(image(4))}
    body = {
        "schedule": {"doNotRunUntil": later, "recurrenceInterval": "PT1H"},
        "jobSpecification": {"jobManagerTask": manager, "poolInfo": {"autoPoolSpecification": auto}},
    }
    batch.create_job_schedule({"id": "going", **body})
    assert named(batch) == {1, 2, 3, 4}
    batch.terminate_job_schedule("going")
    batch.delete_pool("by-hand", wait=True)
    assert named(batch) == set()


def test_the_tasks_of_a_job_that_is_going_keep_theirs(batch: Batch) -> None:
    batch.create_pool({"id": "p", **pool()})
    batch.create_job({"id": "j", "poolInfo": {"poolId": "p"}})
    results = batch.create_tasks(
        "j", [{"id": "t", "commandLine": "x", "containerSettings": {"imageName": image(5)}}]
    )
    assert [one["status"].lower() for one in results] == ["success"]
    assert named(batch) == {5}
    batch.terminate_job("j", "over")
    assert named(batch) == set()

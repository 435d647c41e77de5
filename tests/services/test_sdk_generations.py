"""Two generations of the official SDK tell the same small story, and see the same."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from azure.batch import BatchClient, models
from azure.core.credentials import AzureNamedKeyCredential
from azure.core.exceptions import HttpResponseError

from batchctl.server import LocalServer
from tests.contract.conftest import eventually, in_state
from tests.services.conftest import SERVICES, missing

PYTHON = SERVICES / "azure-batch-14" / "bin" / "python"
STORY = Path(__file__).with_name("sdk14_story.py")


def told_by_14(server: LocalServer) -> Any:
    if not PYTHON.exists():
        missing("azure-batch 14.2 is not installed: make .services/ready")
    command = [str(PYTHON), str(STORY), server.endpoint, server.account, server.key]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def code_of(action: Callable[[], Any]) -> str:
    with pytest.raises(HttpResponseError) as caught:
        action()
    assert caught.value.model is not None
    return str(caught.value.model.code)


def told_by_15(server: LocalServer) -> Any:
    with BatchClient(server.endpoint, AzureNamedKeyCredential(server.account, server.key)) as client:
        return story(client)


def story(client: BatchClient) -> dict[str, Any]:
    seen: dict[str, Any] = {"missing": code_of(lambda: client.get_pool("p"))}
    image = models.BatchVmImageReference(publisher="canonical", offer="ubuntu-24_04-lts", sku="server")
    client.create_pool(
        models.BatchPoolCreateOptions(
            id="p",
            vm_size="STANDARD_D2S_V3",
            target_dedicated_nodes=1,
            virtual_machine_configuration=models.VirtualMachineConfiguration(
                image_reference=image, node_agent_sku_id="batch.node.ubuntu 24.04"
            ),
        )
    )
    twice = models.BatchPoolCreateOptions(id="p", vm_size="x")
    seen["twice"] = code_of(lambda: client.create_pool(twice))
    client.create_job(models.BatchJobCreateOptions(id="j", pool_info=models.BatchPoolInfo(pool_id="p")))
    tasks = [
        models.BatchTaskCreateOptions(id="good", command_line="/bin/sh -c 'echo hello'"),
        models.BatchTaskCreateOptions(id="bad", command_line="/bin/sh -c 'exit 3'"),
    ]
    added = client.create_tasks("j", task_collection=tasks)
    seen["added"] = {
        result.task_id: str(getattr(result.status, "value", result.status)).lower()
        for result in added.result_values or ()
    }
    eventually(lambda: all(task.state == models.BatchTaskState.COMPLETED for task in client.list_tasks("j")))
    seen["codes"] = {
        task.id: task.execution_info.exit_code for task in client.list_tasks("j") if task.execution_info
    }
    failed = client.get_task("j", "bad").execution_info
    assert failed is not None
    assert failed.failure_info is not None
    seen["failure"] = failed.failure_info.code
    seen["output"] = b"".join(client.download_task_file("j", "good", "stdout.txt")).decode()
    found = client.list_tasks("j", filter="executionInfo/exitCode eq 3", select=["id"])
    seen["filtered"] = [[task.id, task.command_line] for task in found]
    counts = client.get_job_task_counts("j").task_counts
    seen["counts"] = [counts.succeeded, counts.failed]
    pool = client.get_pool("p")
    seen["pool"] = [pool.vm_size, pool.task_slots_per_node, str(pool.resize_timeout)]
    seen["nodes"] = len(list(client.list_nodes("p")))
    client.begin_terminate_job("j", {"terminateReason": "over"})  # type: ignore[call-overload]
    in_state(lambda: client.get_job("j"), "completed")
    late = models.BatchTaskCreateOptions(id="late", command_line="true")
    seen["closed"] = code_of(lambda: client.create_task("j", late))
    client.begin_delete_job("j")
    client.begin_delete_pool("p")
    return seen


def test_both_generations_see_the_same(tmp_path: Path) -> None:
    with LocalServer(tmp_path / "14") as server:
        old = told_by_14(server)
    with LocalServer(tmp_path / "15") as server:
        new = told_by_15(server)
    assert old == new
    assert new["added"] == {"good": "success", "bad": "success"}
    assert (new["output"], new["codes"], new["counts"]) == ("hello\n", {"good": 0, "bad": 3}, [1, 1])
    assert [new[name] for name in ("missing", "twice", "failure", "closed")] == [
        "PoolNotFound",
        "PoolExists",
        "FailureExitCode",
        "JobCompleted",
    ]

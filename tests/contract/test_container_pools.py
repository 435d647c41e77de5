"""Pools with containerConfiguration and tasks with containerSettings, as the official SDK meets them without any engine."""

from typing import Any

import pytest
from azure.batch import BatchClient, models

from tests.contract.conftest import code_of, completed, eventually, in_state, job, pool, task

SETTINGS = models.BatchTaskContainerSettings(image_name="registry.example/etl:1")


@pytest.fixture(autouse=True)
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")


def container_pool(name: str = "etl", **more: Any) -> models.BatchPoolCreateOptions:
    registry = models.ContainerRegistryReference(
        registry_server="registry.example", username="u", password="hidden"
    )
    machine = models.VirtualMachineConfiguration(
        image_reference=models.BatchVmImageReference(publisher="p", offer="o", sku="s"),
        node_agent_sku_id="batch.node.ubuntu 22.04",
        container_configuration=models.BatchContainerConfiguration(
            type="dockerCompatible",
            container_image_names=["registry.example/etl:1"],
            container_registries=[registry],
        ),
    )
    return pool(name, virtual_machine_configuration=machine, **more)


def only_node(batch: BatchClient, state: str) -> models.BatchNode:
    def there() -> models.BatchNode | None:
        found = list(batch.list_nodes("etl"))
        return found[0] if found and found[0].state == state else None

    found: models.BatchNode = eventually(there, f"a node is {state}")
    return found


def test_without_an_engine_the_node_says_how_to_start_one(batch: BatchClient) -> None:
    batch.create_pool(container_pool())
    node = only_node(batch, "unusable")
    (error,) = node.errors
    assert error.code == "NodePreparationError"
    assert "unix:///nonexistent/docker.sock" in error.message
    assert "sudo systemctl start docker" in error.message
    (counts,) = batch.list_pool_node_counts()
    assert (counts.dedicated.unusable, counts.dedicated.total) == (1, 1)
    assert "hidden" not in str(batch.get_pool("etl").as_dict())


def test_a_task_waits_for_an_engine(batch: BatchClient) -> None:
    batch.create_pool(container_pool())
    batch.create_job(job())
    batch.create_task("daily", task("a", container_settings=SETTINGS))
    only_node(batch, "unusable")
    assert batch.get_task("daily", "a").state == "active"
    batch.terminate_task("daily", "a")
    assert completed(batch, "daily", "a").execution_info.failure_info.code == "TaskEnded"


def test_an_unusable_node_cannot_be_restarted_but_removed(batch: BatchClient) -> None:
    batch.create_pool(container_pool())
    node = only_node(batch, "unusable")
    refused = (409, "NodeStateUnusable")
    how = {"nodeRebootOption": "requeue"}
    assert code_of(lambda: batch.begin_reboot_node("etl", node.id, how)) == refused
    how = {"nodeReimageOption": "requeue"}
    assert code_of(lambda: batch.begin_reimage_node("etl", node.id, how)) == refused
    how = {"nodeDeallocateOption": "requeue"}
    assert code_of(lambda: batch.begin_deallocate_node("etl", node.id, how)) == refused
    eventually(lambda: batch.get_pool("etl").allocation_state == "steady")
    batch.begin_remove_nodes("etl", {"nodeList": [node.id]}, polling_interval=0).wait()
    eventually(lambda: not list(batch.list_nodes("etl")))


def test_a_pool_with_unusable_nodes_can_be_deleted(batch: BatchClient) -> None:
    batch.create_pool(container_pool())
    only_node(batch, "unusable")
    batch.begin_delete_pool("etl").wait()
    eventually(lambda: not list(batch.list_pools()))


def test_container_settings_need_a_pool_with_containers(batch: BatchClient) -> None:
    """As in Azure: the task is taken, and fails on the node."""
    batch.create_pool(pool())
    manager = models.BatchJobManagerTask(id="manager", command_line="true", container_settings=SETTINGS)
    batch.create_job(job("managed", job_manager_task=manager))
    batch.create_job(job())
    batch.create_task("daily", task("a", container_settings=SETTINGS))
    for job_id, task_id in (("daily", "a"), ("managed", "manager")):
        info = completed(batch, job_id, task_id).execution_info
        assert (info.exit_code, info.result) == (None, "failure")
        assert (info.failure_info.category, info.failure_info.code) == (
            "UserError",
            "ContainerPoolNotSupported",
        )
        assert "containerConfiguration" in info.failure_info.details[0].value


def test_a_start_task_in_a_container_needs_them_too(batch: BatchClient) -> None:
    start = models.BatchStartTask(command_line="true", container_settings=SETTINGS, wait_for_success=True)
    batch.create_pool(pool(start_task=start))
    node = only_node(batch, "starttaskfailed")
    assert node.start_task_info.failure_info.code == "ContainerPoolNotSupported"


def test_a_preparation_task_in_a_container_needs_them_too(batch: BatchClient) -> None:
    batch.create_pool(pool())
    preparation = models.BatchJobPreparationTask(command_line="true", container_settings=SETTINGS)
    batch.create_job(job(job_preparation_task=preparation))
    batch.create_task("daily", task("a"))

    def failed() -> Any:
        (status,) = batch.list_job_preparation_and_release_task_status("daily")
        return status.job_preparation_task_execution_info.failure_info

    assert eventually(failed).code == "ContainerPoolNotSupported"


def test_a_job_on_a_pool_without_an_engine_ends(batch: BatchClient) -> None:
    batch.create_pool(container_pool())
    batch.create_job(job())
    batch.create_task("daily", task("a", container_settings=SETTINGS))
    only_node(batch, "unusable")
    batch.begin_terminate_job("daily", {"terminateReason": "over"}, polling_interval=0).wait()
    in_state(lambda: batch.get_job("daily"), "completed")

"""Pools and nodes through the official SDK."""

import pytest
from azure.batch import BatchClient, models
from azure.core.exceptions import ResourceNotFoundError

from tests.contract.conftest import code_of, completed, eventually, in_state, job, pool, shell, task, text_of

STEADY = models.AllocationState.STEADY

CUSTOM = {"nodeAgentSKUId": "batch.node.ubuntu 24.04"}


def test_a_new_pool_echoes_defaults_and_gets_its_nodes(batch: BatchClient) -> None:
    batch.create_pool(pool(nodes=2, metadata=[models.BatchMetadataItem(name="a", value="b")]))
    found = eventually(lambda: (p := batch.get_pool("etl")).allocation_state == STEADY and p)
    assert found.state == models.BatchPoolState.ACTIVE
    assert (found.current_dedicated_nodes, found.target_low_priority_nodes) == (2, 0)
    assert found.vm_size == "standard_d2s_v5"
    assert found["resizeTimeout"] == "PT15M"
    assert found["taskSchedulingPolicy"] == {"nodeFillType": "Spread", "jobDefaultOrder": "none"}
    assert found.enable_auto_scale is False
    assert found.metadata[0].value == "b"
    assert "resizeErrors" not in found
    assert found.url.endswith("/pools/etl")


def test_the_id_keeps_its_case_and_is_found_in_any(batch: BatchClient) -> None:
    batch.create_pool(pool("Etl"))
    assert batch.get_pool("eTL").id == "Etl"
    assert code_of(lambda: batch.create_pool(pool("ETL"))) == (409, "PoolExists")


def test_exists(batch: BatchClient) -> None:
    batch.create_pool(pool())
    assert batch.pool_exists("etl") is True
    with pytest.raises(ResourceNotFoundError):
        batch.pool_exists("other")


def test_missing_pool(batch: BatchClient) -> None:
    assert code_of(lambda: batch.get_pool("nope")) == (404, "PoolNotFound")
    assert code_of(lambda: batch.begin_delete_pool("nope")) == (404, "PoolNotFound")
    assert code_of(lambda: list(batch.list_nodes("nope"))) == (404, "PoolNotFound")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"id": "has space"}, "InvalidPropertyValue"),
        ({"id": "x" * 65}, "InvalidPropertyValue"),
        ({"vmSize": None}, "MissingRequiredProperty"),
        ({"vmSize": 7}, "InvalidRequestBody"),
        ({"vmSize": ""}, "InvalidPropertyValue"),
        ({"taskSlotsPerNode": 0}, "InvalidPropertyValue"),
        ({"targetDedicatedNodes": -1}, "InvalidPropertyValue"),
        ({"resizeTimeout": "PT1M"}, "InvalidPropertyValue"),
        ({"resizeTimeout": "soon"}, "InvalidRequestBody"),
        ({"unheardOf": 1}, "InvalidRequestBody"),
        ({"taskSchedulingPolicy": {"nodeFillType": "sideways"}}, "InvalidPropertyValue"),
        ({"displayName": "x" * 1025}, "InvalidPropertyValue"),
        ({"networkConfiguration": {"subnetId": "default"}}, "InvalidPropertyValue"),
        (
            {"virtualMachineConfiguration": CUSTOM | {"imageReference": {"virtualMachineImageId": "mine"}}},
            "InvalidPropertyValue",
        ),
        (
            {"startTask": {"commandLine": "true", "userIdentity": {"username": "a", "autoUser": {}}}},
            "InvalidPropertyValue",
        ),
        (
            {"startTask": {"commandLine": "true", "environmentSettings": [{"name": "", "value": "x"}]}},
            "InvalidPropertyValue",
        ),
        ({"virtualMachineConfiguration": CUSTOM | {"imageReference": {}}}, "InvalidPropertyValue"),
        (
            {
                "virtualMachineConfiguration": CUSTOM
                | {"imageReference": {"sharedGalleryImageId": "x", "sku": "y"}}
            },
            "InvalidPropertyValue",
        ),
        ({"userAccounts": [{"name": "a", "password": "x"}] * 2}, "InvalidPropertyValue"),
        ({"userAccounts": [{"name": "", "password": "x"}]}, "InvalidPropertyValue"),
        ({"userAccounts": [{"name": "a" * 21, "password": "x"}]}, "InvalidPropertyValue"),
        ({"mountConfiguration": [{}]}, "InvalidPropertyValue"),
    ],
)
def test_a_wrong_pool_is_refused(batch: BatchClient, changes: dict[str, object], code: str) -> None:
    body = {"id": "etl", "vmSize": "standard_d2"} | changes
    assert code_of(lambda: batch.create_pool(body)) == (400, code)
    assert list(batch.list_pools()) == []


def test_resources_by_their_full_names(batch: BatchClient) -> None:
    group = "/subscriptions/0/resourceGroups/rg/providers"
    image = {"virtualMachineImageId": f"{group}/Microsoft.Compute/galleries/g/images/etl/versions/1.0.0"}
    subnet = {"subnetId": f"{group}/microsoft.network/virtualNetworks/v/subnets/s"}
    parts = {
        "virtualMachineConfiguration": CUSTOM | {"imageReference": image},
        "networkConfiguration": subnet,
    }
    batch.create_pool({"id": "etl", "vmSize": "standard_d2", **parts})
    found = batch.get_pool("etl")
    assert found.network_configuration.subnet_id == subnet["subnetId"]
    configuration = found.virtual_machine_configuration
    assert configuration.image_reference.virtual_machine_image_id == image["virtualMachineImageId"]


def test_numbers_as_text_and_enums_in_any_case_are_understood(batch: BatchClient) -> None:
    policy = {"nodeFillType": "PACK"}
    body = {"id": "etl", "vmSize": "x", "targetDedicatedNodes": "1", "resizeTimeout": "PT06M00S"}
    batch.create_pool(body | {"taskSchedulingPolicy": policy})
    found = batch.get_pool("etl")
    assert (found.target_dedicated_nodes, found["resizeTimeout"]) == (1, "PT6M")
    assert found.task_scheduling_policy.node_fill_type.lower() == "pack"


def test_resize_up_and_down(batch: BatchClient) -> None:
    batch.create_pool(pool(nodes=1))
    options = models.BatchPoolResizeOptions(target_dedicated_nodes=3, target_low_priority_nodes=1)
    batch.begin_resize_pool("etl", options, polling_interval=0).result()
    found = batch.get_pool("etl")
    assert (found.current_dedicated_nodes, found.current_low_priority_nodes) == (3, 1)
    kinds = sorted((node.is_dedicated, node.id[-2:]) for node in batch.list_nodes("etl"))
    assert kinds == [(False, "_p"), (True, "_d"), (True, "_d"), (True, "_d")]
    batch.begin_resize_pool(
        "etl", models.BatchPoolResizeOptions(target_dedicated_nodes=0), polling_interval=0
    ).result()
    assert list(batch.list_nodes("etl")) == []
    assert code_of(lambda: batch.begin_resize_pool("etl", {})) == (400, "MissingRequiredProperty")


def test_a_node_with_work_leaves_when_the_work_is_done(batch: BatchClient, tmp_path: object) -> None:
    batch.create_pool(pool(nodes=1))
    batch.create_job(job())
    batch.create_task(
        "daily", shell("wait", "while [ ! -e $AZ_BATCH_NODE_SHARED_DIR/go ]; do sleep 0.02; done")
    )
    in_state(lambda: batch.get_task("daily", "wait"), "running")
    down = models.BatchPoolResizeOptions(target_dedicated_nodes=0, node_deallocation_option="taskcompletion")
    batch.begin_resize_pool("etl", down, polling_interval=0)
    assert [node.state for node in batch.list_nodes("etl")] == [models.BatchNodeState.LEAVING_POOL]
    assert batch.get_pool("etl").allocation_state == models.AllocationState.RESIZING
    assert code_of(lambda: batch.begin_resize_pool("etl", down)) == (409, "PoolBeingResized")
    batch.begin_stop_pool_resize("etl", polling_interval=0)
    stopped = batch.get_pool("etl")
    assert stopped.resize_errors[0].code == "ResizeStopped"
    batch.terminate_task("daily", "wait")
    completed(batch, "daily", "wait")
    eventually(lambda: batch.get_pool("etl").allocation_state == STEADY)
    assert list(batch.list_nodes("etl")) == []


def test_a_requeued_task_runs_again_on_another_node(batch: BatchClient) -> None:
    batch.create_pool(pool(nodes=1))
    batch.create_job(job())
    batch.create_task("daily", task("long", "sleep 60"))
    first = in_state(lambda: batch.get_task("daily", "long"), "running").node_info.node_id
    batch.begin_resize_pool(
        "etl", models.BatchPoolResizeOptions(target_dedicated_nodes=0), polling_interval=0
    ).result()
    waiting = batch.get_task("daily", "long")
    assert (waiting.state, waiting.execution_info.requeue_count) == (models.BatchTaskState.ACTIVE, 1)
    batch.begin_resize_pool(
        "etl", models.BatchPoolResizeOptions(target_dedicated_nodes=1), polling_interval=0
    ).result()
    assert in_state(lambda: batch.get_task("daily", "long"), "running").node_info.node_id != first


def test_delete_requeues_what_runs_and_takes_the_files(batch: BatchClient) -> None:
    batch.create_pool(pool(nodes=1))
    batch.create_job(job())
    batch.create_task("daily", task("long", "sleep 60"))
    in_state(lambda: batch.get_task("daily", "long"), "running")
    batch.begin_delete_pool("etl", polling_interval=0).result()
    assert code_of(lambda: batch.get_pool("etl")) == (404, "PoolNotFound")
    assert batch.get_task("daily", "long").state == models.BatchTaskState.ACTIVE
    assert code_of(lambda: text_of(batch, "daily", "long")) == (404, "NodeNotFound")


def test_node_properties(batch: BatchClient) -> None:
    batch.create_pool(pool(nodes=1, slots=4))
    batch.create_job(job())
    batch.create_tasks("daily", [task("a"), task("b", "false")])
    for name in ("a", "b"):
        completed(batch, "daily", name)
    listed = next(iter(batch.list_nodes("etl")))
    node = eventually(
        lambda: (n := batch.get_node("etl", listed.id)).state == models.BatchNodeState.IDLE and n
    )
    assert node.affinity_id == f"TVM:{node.id}"
    assert node.ipv6_address.startswith("fd00::")
    assert node.id.startswith("tvmps_")
    assert len(node.id) == len("tvmps_") + 64 + len("_d")
    assert (node.total_tasks_run, node.total_tasks_succeeded, node.running_tasks_count) == (2, 1, 0)
    assert {recent.task_id for recent in node.recent_tasks} == {"a", "b"}
    assert code_of(lambda: batch.get_node("etl", "nope")) == (404, "NodeNotFound")


def test_a_start_task_runs_before_any_task(batch: BatchClient) -> None:
    start = models.BatchStartTask(command_line="/bin/sh -c 'echo ready > $AZ_BATCH_NODE_SHARED_DIR/flag'")
    batch.create_pool(pool(start_task=start))
    batch.create_job(job())
    batch.create_task("daily", shell("read", "cat $AZ_BATCH_NODE_SHARED_DIR/flag"))
    completed(batch, "daily", "read")
    assert text_of(batch, "daily", "read") == "ready\n"
    node = next(iter(batch.list_nodes("etl")))
    information = node.start_task_info
    assert (information.state, information.exit_code, information.result) == ("completed", 0, "success")


def test_a_failing_start_task_is_retried_then_spoils_the_node(batch: BatchClient) -> None:
    start = models.BatchStartTask(command_line="/bin/sh -c 'exit 3'", max_task_retry_count=2)
    batch.create_pool(pool(start_task=start))
    failed = models.BatchNodeState.START_TASK_FAILED
    node = eventually(lambda: next((n for n in batch.list_nodes("etl") if n.state == failed), None))
    information = node.start_task_info
    assert (information.retry_count, information.exit_code) == (2, 3)
    assert information.failure_info.code == "FailureExitCode"
    batch.create_job(job())
    batch.create_task("daily", task("never"))
    assert batch.get_task("daily", "never").state == models.BatchTaskState.ACTIVE


def test_a_start_task_nobody_waits_for(batch: BatchClient) -> None:
    start = models.BatchStartTask(command_line="sleep 60", wait_for_success=False)
    batch.create_pool(pool(start_task=start))
    batch.create_job(job())
    batch.create_task("daily", task("now"))
    assert completed(batch, "daily", "now").execution_info.exit_code == 0


def test_user_passwords_are_not_echoed(batch: BatchClient) -> None:
    account = models.UserAccount(name="etl", password="secret")
    batch.create_pool(pool(nodes=0, user_accounts=[account]))
    assert "password" not in batch.get_pool("etl")["userAccounts"][0]

"""What a user can do to a node, through the official SDK.

The SDK cannot send an operation with an optional body without one (it trips over its own header), hence bodies that
say the default; a request without a body is sent by hand.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.batch import BatchClient, models

from batchctl.server import LocalServer
from tests.contract.conftest import Clock, code_of, completed, eventually, in_state, job, pool, shell, task
from tests.contract.test_protocol import send

REBOOT = {"nodeRebootOption": "requeue"}
REIMAGE = {"nodeReimageOption": "requeue"}
DEALLOCATE = {"nodeDeallocateOption": "requeue"}
DISABLE = {"nodeDisableSchedulingOption": "requeue"}
COUNTING_START = models.BatchStartTask(
    command_line="/bin/sh -c 'echo once >> $AZ_BATCH_NODE_SHARED_DIR/starts'"
)


def idle_node(batch: BatchClient, **more: Any) -> str:
    """A pool of one idle node; its id."""
    batch.create_pool(pool(nodes=1, **more))
    node = eventually(
        lambda: next((n for n in batch.list_nodes("etl") if n.state == "idle"), None), "an idle node"
    )
    return str(node.id)


def busy_node(batch: BatchClient) -> str:
    """A pool of one node on which the task `long` runs; its id."""
    node = idle_node(batch)
    batch.create_job(job())
    batch.create_task("daily", task("long", "sleep 60"))
    in_state(lambda: batch.get_task("daily", "long"), "running")
    return node


def state_of(batch: BatchClient, node: str) -> str:
    found = batch.get_node("etl", node).state
    return str(found.value)


def test_a_reboot_runs_the_start_task_again_and_keeps_files(batch: BatchClient, clock: Clock) -> None:
    node = idle_node(batch, start_task=COUNTING_START)
    before = batch.get_node("etl", node)
    clock.shift += timedelta(minutes=1)
    poller = batch.begin_reboot_node("etl", node, REBOOT, polling_interval=0)
    poller.result()
    assert poller.status() == "Succeeded"
    eventually(lambda: state_of(batch, node) == "idle")
    after = batch.get_node("etl", node)
    assert after.last_boot_time > before.last_boot_time
    assert after.start_task_info.start_time > before.start_task_info.start_time
    text = b"".join(batch.download_node_file("etl", node, "shared/starts")).decode()
    assert text == "once\nonce\n"


def test_a_reimage_loses_files(batch: BatchClient) -> None:
    node = idle_node(batch, start_task=COUNTING_START)
    batch.create_job(job())
    batch.create_task("daily", task("a"))
    completed(batch, "daily", "a")
    batch.begin_reimage_node("etl", node, REIMAGE, polling_interval=0).result()
    eventually(lambda: state_of(batch, node) == "idle")
    assert b"".join(batch.download_node_file("etl", node, "shared/starts")) == b"once\n"
    assert code_of(lambda: b"".join(batch.download_task_file("daily", "a", "stdout.txt")))[0] in (404, 409)
    assert batch.get_task("daily", "a").state == models.BatchTaskState.COMPLETED


@pytest.mark.parametrize(
    ("option", "state", "requeued"), [("requeue", "running", 1), ("terminate", "completed", 0)]
)
def test_a_reboot_ends_what_runs(batch: BatchClient, option: str, state: str, requeued: int) -> None:
    node = busy_node(batch)
    batch.begin_reboot_node("etl", node, {"nodeRebootOption": option}, polling_interval=0)

    def again() -> bool:
        found = batch.get_task("daily", "long")
        return bool(found.state == state and found.execution_info.requeue_count == requeued)

    eventually(again, f"the task is {state}")
    if state == "completed":
        assert batch.get_task("daily", "long").execution_info.failure_info.code == "TaskEnded"
        eventually(lambda: state_of(batch, node) == "idle")


def test_deallocate_and_start(batch: BatchClient) -> None:
    node = idle_node(batch)
    assert code_of(lambda: batch.begin_start_node("etl", node)) == (409, "OperationNotValidOnNode")
    batch.begin_deallocate_node("etl", node, DEALLOCATE, polling_interval=0).result()
    eventually(lambda: state_of(batch, node) == "deallocated")
    batch.create_job(job())
    batch.create_task("daily", task("a"))
    assert batch.get_task("daily", "a").state == models.BatchTaskState.ACTIVE
    assert code_of(lambda: batch.begin_reboot_node("etl", node, REBOOT)) == (409, "OperationNotValidOnNode")
    assert code_of(lambda: list(batch.list_node_files("etl", node))) == (409, "OperationNotValidOnNode")
    (counts,) = batch.list_pool_node_counts()
    assert counts.dedicated.deallocated == 1
    batch.begin_start_node("etl", node, polling_interval=0).result()
    assert completed(batch, "daily", "a").node_info.node_id == node


def test_scheduling_of_an_idle_node(batch: BatchClient) -> None:
    node = idle_node(batch)
    assert code_of(lambda: batch.enable_node_scheduling("etl", node)) == (
        409,
        "NodeAlreadyInTargetSchedulingState",
    )
    batch.disable_node_scheduling("etl", node, DISABLE)
    found = batch.get_node("etl", node)
    assert (found.state, found.scheduling_state) == ("offline", "disabled")
    assert code_of(lambda: batch.disable_node_scheduling("etl", node, DISABLE)) == (
        409,
        "NodeAlreadyInTargetSchedulingState",
    )
    batch.create_job(job())
    batch.create_task("daily", task("a"))
    batch.begin_reboot_node("etl", node, REBOOT, polling_interval=0).result()
    eventually(lambda: state_of(batch, node) == "offline", "a reboot does not enable scheduling")
    assert batch.get_task("daily", "a").state == models.BatchTaskState.ACTIVE
    batch.enable_node_scheduling("etl", node)
    completed(batch, "daily", "a")


@pytest.mark.parametrize(
    ("option", "state"), [("requeue", "active"), ("terminate", "completed"), ("taskcompletion", "running")]
)
def test_scheduling_of_a_busy_node(batch: BatchClient, option: str, state: str) -> None:
    node = busy_node(batch)
    options = models.BatchNodeDisableSchedulingOptions(node_disable_scheduling_option=option)
    batch.disable_node_scheduling("etl", node, options)
    in_state(lambda: batch.get_task("daily", "long"), state)
    if option == "taskcompletion":
        assert state_of(batch, node) == "running"
        batch.terminate_task("daily", "long")
    eventually(lambda: state_of(batch, node) == "offline")


def test_a_failed_start_task_is_mended_by_a_change_and_a_reboot(batch: BatchClient) -> None:
    batch.create_pool(pool(start_task=models.BatchStartTask(command_line="false")))
    failed = models.BatchNodeState.START_TASK_FAILED
    node = eventually(lambda: next((n for n in batch.list_nodes("etl") if n.state == failed), None))
    assert node.errors[0].code == "StartTaskFailed"
    batch.update_pool(
        "etl", models.BatchPoolUpdateOptions(start_task=models.BatchStartTask(command_line="true"))
    )
    batch.begin_reboot_node("etl", node.id, REBOOT, polling_interval=0).result()
    mended = in_state(lambda: batch.get_node("etl", node.id), "idle")
    assert (mended.errors, mended.start_task_info.exit_code) == (None, 0)


def test_users_of_a_node(batch: BatchClient, server: LocalServer) -> None:
    node = idle_node(batch)
    user = models.BatchNodeUserCreateOptions(name="Ada", password="hush-hush", is_admin=True)
    batch.create_node_user("etl", node, user)
    again = models.BatchNodeUserCreateOptions(name="ada", password="x")
    assert code_of(lambda: batch.create_node_user("etl", node, again)) == (409, "NodeUserExists")
    key = models.BatchNodeUserReplaceOptions(ssh_public_key="hush-key", expiry_time=datetime.now(UTC))
    batch.replace_node_user("etl", node, "Ada", key)
    batch.replace_node_user("etl", node, "ADA", models.BatchNodeUserReplaceOptions(password="hush"))
    empty = models.BatchNodeUserReplaceOptions()
    assert code_of(lambda: batch.replace_node_user("etl", node, "Ada", empty)) == (
        400,
        "MissingRequiredProperty",
    )
    assert code_of(lambda: batch.replace_node_user("etl", node, "Bob", key)) == (404, "NodeUserNotFound")
    for name in ("", "a/b", "x" * 33):
        wrong = models.BatchNodeUserCreateOptions(name=name, password="x")
        assert code_of(lambda wrong=wrong: batch.create_node_user("etl", node, wrong)) == (
            400,
            "InvalidPropertyValue",
        )
    assert "hush" not in str(batch.get_node("etl", node).as_dict())
    assert b"hush" not in b"".join(
        path.read_bytes() for path in server.state.rglob("*store*") if path.is_file()
    )
    batch.delete_node_user("etl", node, "ada")
    assert code_of(lambda: batch.delete_node_user("etl", node, "ada")) == (404, "NodeUserNotFound")
    batch.disable_node_scheduling("etl", node, DISABLE)
    assert code_of(lambda: batch.create_node_user("etl", node, user)) == (409, "OperationNotValidOnNode")


def test_what_is_known_about_a_node(batch: BatchClient) -> None:
    node = idle_node(batch)
    found = batch.get_node("etl", node)
    assert found.node_agent_info.version
    assert found.node_agent_info.last_update_time is not None
    settings = batch.get_node_remote_login_settings("etl", node)
    assert (settings.remote_login_ip_address, settings.remote_login_port) == ("127.0.0.1", 50000)
    assert list(batch.list_node_extensions("etl", node)) == []
    assert code_of(lambda: batch.get_node_extension("etl", node, "x")) == (404, "ResourceNotFound")
    options = models.UploadBatchServiceLogsOptions(
        container_url="https://a.example/logs?sig=x", start_time=datetime(2026, 1, 1, tzinfo=UTC)
    )
    result = batch.upload_node_logs("etl", node, options)
    assert result.number_of_files_uploaded == 0
    assert result.virtual_directory_name.startswith(f"etl/{node}/")
    for wrong in (
        models.UploadBatchServiceLogsOptions(
            container_url="logs", start_time=datetime(2026, 1, 1, tzinfo=UTC)
        ),
        models.UploadBatchServiceLogsOptions(
            container_url="https://a.example/logs",
            start_time=datetime(2026, 1, 2, tzinfo=UTC),
            end_time=datetime(2026, 1, 1, tzinfo=UTC),
        ),
    ):
        assert code_of(lambda wrong=wrong: batch.upload_node_logs("etl", node, wrong)) == (
            400,
            "InvalidPropertyValue",
        )


def test_nodes_are_listed_by_filter_and_selection(batch: BatchClient) -> None:
    options = pool(nodes=2)
    options.target_low_priority_nodes = 1
    batch.create_pool(options)
    eventually(lambda: len(list(batch.list_nodes("etl"))) == 3)
    first = next(iter(batch.list_nodes("etl")))
    batch.disable_node_scheduling("etl", first.id, DISABLE)
    assert [n.id for n in batch.list_nodes("etl", filter="state eq 'offline'")] == [first.id]
    assert len(list(batch.list_nodes("etl", filter="state eq 'idle' and isDedicated eq true"))) == 1
    assert len(list(batch.list_nodes("etl", filter="schedulingState eq 'enabled'", max_results=1))) == 2
    (low,) = batch.list_nodes("etl", filter="isDedicated eq false", select=["id", "isDedicated"])
    assert (low.is_dedicated, low.state) == (False, None)
    assert code_of(lambda: list(batch.list_nodes("etl", filter="color eq 'red'")))[0] == 400


_OPERATIONS: list[Callable[[BatchClient, str], Any]] = [
    lambda batch, node: batch.get_node("etl", node),
    lambda batch, node: batch.begin_reboot_node("etl", node, REBOOT),
    lambda batch, node: batch.begin_reimage_node("etl", node, REIMAGE),
    lambda batch, node: batch.begin_deallocate_node("etl", node, DEALLOCATE),
    lambda batch, node: batch.begin_start_node("etl", node),
    lambda batch, node: batch.disable_node_scheduling("etl", node, DISABLE),
    lambda batch, node: batch.enable_node_scheduling("etl", node),
    lambda batch, node: batch.get_node_remote_login_settings("etl", node),
    lambda batch, node: list(batch.list_node_extensions("etl", node)),
    lambda batch, node: batch.get_node_extension("etl", node, "x"),
    lambda batch, node: list(batch.list_node_files("etl", node)),
    lambda batch, node: batch.delete_node_file("etl", node, "shared"),
    lambda batch, node: batch.delete_node_user("etl", node, "ada"),
]


def test_missing_nodes_and_pools(batch: BatchClient) -> None:
    for operation in _OPERATIONS:
        assert code_of(lambda operation=operation: operation(batch, "tvm")) == (404, "PoolNotFound")
    batch.create_pool(pool(nodes=0))
    for operation in _OPERATIONS:
        assert code_of(lambda operation=operation: operation(batch, "tvm")) == (404, "NodeNotFound")


def test_nodes_on_their_way_refuse_more(batch: BatchClient) -> None:
    node = busy_node(batch)
    batch.begin_reboot_node("etl", node, {"nodeRebootOption": "taskcompletion"}, polling_interval=0)
    assert state_of(batch, node) == "rebooting"
    assert code_of(lambda: batch.begin_reboot_node("etl", node, REBOOT)) == (409, "NodeBeingRebooted")
    assert code_of(lambda: batch.begin_deallocate_node("etl", node, DEALLOCATE)) == (409, "NodeBeingRebooted")
    batch.terminate_task("daily", "long")
    eventually(lambda: state_of(batch, node) == "idle")


@pytest.mark.parametrize("operation", ["reboot", "reimage", "deallocate", "disablescheduling"])
def test_the_body_may_be_left_out(batch: BatchClient, server: LocalServer, operation: str) -> None:
    node = busy_node(batch)
    status, headers, _ = send(server, "POST", f"/pools/etl/nodes/{node}/{operation}")
    assert status == (200 if operation == "disablescheduling" else 202)
    assert headers["dataserviceid"].endswith(f"/pools/etl/nodes/{node}")
    eventually(
        lambda: batch.get_task("daily", "long").execution_info.requeue_count == 1, "requeue is the default"
    )


def test_a_pool_that_goes_refuses_node_operations(batch: BatchClient) -> None:
    batch.create_pool(pool(nodes=1))
    batch.create_job(job())
    script = 'trap "" TERM; while :; do sleep 0.01; done'
    batch.create_task("daily", shell("stubborn", script))
    in_state(lambda: batch.get_task("daily", "stubborn"), "running")
    (node,) = batch.list_nodes("etl")
    batch.begin_delete_pool("etl", polling_interval=0)
    codes = {
        code_of(lambda: batch.begin_reboot_node("etl", node.id, REBOOT)),
        code_of(lambda: batch.update_pool("etl", {})),
    }
    assert codes <= {(409, "PoolBeingDeleted"), (404, "PoolNotFound")}
    eventually(lambda: list(batch.list_pools()) == [])

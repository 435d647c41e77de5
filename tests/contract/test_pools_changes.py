"""What changes a pool beside its size, and what the account says of its pools; through the official SDK."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from azure.batch import BatchClient, models
from azure.core import MatchConditions
from azure.core.credentials import AzureNamedKeyCredential

from batchctl.server import LocalServer, Quota
from tests.contract.conftest import Clock, code_of, eventually, in_state, job, pool, task, text_of
from tests.contract.test_protocol import send

STEADY = models.AllocationState.STEADY
IMAGE = models.VirtualMachineConfiguration(
    image_reference=models.BatchVmImageReference(
        publisher="canonical", offer="ubuntu-24_04-lts", sku="server"
    ),
    node_agent_sku_id="batch.node.ubuntu 24.04",
)


def steady(batch: BatchClient, name: str = "etl") -> models.BatchPool:
    found: models.BatchPool = eventually(lambda: (p := batch.get_pool(name)).allocation_state == STEADY and p)
    return found


def node_ids(batch: BatchClient, name: str = "etl") -> list[str]:
    return [node.id for node in batch.list_nodes(name)]


def start_task(command: str) -> models.BatchStartTask:
    return models.BatchStartTask(command_line=command)


def test_patch_changes_what_is_given(batch: BatchClient) -> None:
    metadata = [models.BatchMetadataItem(name="a", value="b")]
    batch.create_pool(pool(nodes=1, start_task=start_task("true"), metadata=metadata))
    before = steady(batch)
    other = [models.BatchMetadataItem(name="c", value="d")]
    batch.update_pool("etl", models.BatchPoolUpdateOptions(metadata=other))
    found = batch.get_pool("etl")
    assert ([item.name for item in found.metadata], found.start_task.command_line) == (["c"], "true")
    assert (found.start_task.wait_for_success, found.etag != before.etag) == (True, True)
    batch.update_pool("etl", models.BatchPoolUpdateOptions(metadata=[], start_task=start_task("false")))
    found = batch.get_pool("etl")
    assert (found.metadata, found.start_task.command_line) == (None, "false")
    assert found.start_task.max_task_retry_count == 0
    node = next(iter(batch.list_nodes("etl")))
    assert node.start_task.command_line == "true", "nodes keep theirs until they are restarted"


def test_patch_of_what_is_fixed_while_there_are_nodes(batch: BatchClient) -> None:
    batch.create_pool(pool(nodes=1))
    steady(batch)
    change = models.BatchPoolUpdateOptions(
        vm_size="Standard_D4s_v5", task_slots_per_node=16, display_name="x"
    )
    assert code_of(lambda: batch.update_pool("etl", change)) == (409, "OperationNotValidOnPool")
    batch.begin_resize_pool(
        "etl", models.BatchPoolResizeOptions(target_dedicated_nodes=0), polling_interval=0
    ).result()
    batch.update_pool("etl", change)
    found = batch.get_pool("etl")
    assert (found.vm_size, found.task_slots_per_node, found.display_name) == ("standard_d4s_v5", 16, "x")
    assert found["taskSchedulingPolicy"] == {"nodeFillType": "Spread", "jobDefaultOrder": "none"}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"taskSlotsPerNode": 9}, (400, "InvalidPropertyValue")),
        ({"startTask": {"commandLine": "x", "maxTaskRetryCount": -2}}, (400, "InvalidPropertyValue")),
        ({"startTask": {}}, (400, "MissingRequiredProperty")),
        ({"metadata": [{"name": "", "value": "x"}]}, (400, "EmptyMetadataKey")),
        ({"targetDedicatedNodes": 1}, (400, "InvalidRequestBody")),
        (
            {"applicationPackageReferences": [{"applicationId": "a"}]},
            (409, "InvalidApplicationPackageReferences"),
        ),
    ],
)
def test_a_wrong_patch_is_refused(
    batch: BatchClient, change: dict[str, object], code: tuple[int, str]
) -> None:
    batch.create_pool(pool(nodes=0))
    before = steady(batch)
    assert code_of(lambda: batch.update_pool("etl", change)) == code
    assert batch.get_pool("etl").etag == before.etag


def test_replace_properties_takes_away_what_is_not_given(batch: BatchClient) -> None:
    metadata = [models.BatchMetadataItem(name="a", value="b")]
    batch.create_pool(pool(nodes=0, start_task=start_task("true"), metadata=metadata))
    other = [models.BatchMetadataItem(name="c", value="d")]
    batch.replace_pool_properties(
        "etl", models.BatchPoolReplaceOptions(application_package_references=[], metadata=other)
    )
    found = batch.get_pool("etl")
    assert (found.start_task, [item.name for item in found.metadata]) == (None, ["c"])
    options = models.BatchPoolReplaceOptions(
        application_package_references=[], metadata=[], start_task=start_task("false")
    )
    batch.replace_pool_properties("etl", options)
    found = batch.get_pool("etl")
    assert (found.start_task.command_line, found.metadata) == ("false", None)
    assert code_of(lambda: batch.replace_pool_properties("etl", {})) == (400, "MissingRequiredProperty")
    assert code_of(lambda: batch.replace_pool_properties("no", options)) == (404, "PoolNotFound")


def test_conditions_of_every_change(batch: BatchClient) -> None:
    batch.create_pool(pool(nodes=1))
    etag = steady(batch).etag
    (node,) = node_ids(batch)
    stale = {"etag": "0x8DDEADBEEF00000", "match_condition": MatchConditions.IfNotModified}
    for action in (
        lambda: batch.update_pool("etl", models.BatchPoolUpdateOptions(metadata=[]), **stale),
        lambda: batch.begin_resize_pool(
            "etl", models.BatchPoolResizeOptions(target_dedicated_nodes=0), **stale
        ),
        lambda: batch.begin_stop_pool_resize("etl", **stale),
        lambda: batch.begin_remove_nodes("etl", models.BatchNodeRemoveOptions(node_ids=[node]), **stale),
        lambda: batch.enable_pool_auto_scale(
            "etl", models.BatchPoolEnableAutoScaleOptions(auto_scale_formula="1"), **stale
        ),
        lambda: batch.begin_delete_pool("etl", **stale),
    ):
        assert code_of(action) == (412, "ConditionNotMet")
    assert batch.get_pool("etl").etag == etag
    fresh = {"etag": etag, "match_condition": MatchConditions.IfNotModified}
    batch.begin_resize_pool("etl", models.BatchPoolResizeOptions(target_dedicated_nodes=0), **fresh)
    assert batch.get_pool("etl").etag != etag


def test_remove_certain_nodes(batch: BatchClient) -> None:
    batch.create_pool(pool(nodes=3))
    steady(batch)
    first, second, third = node_ids(batch)
    options = models.BatchNodeRemoveOptions(node_ids=[first, third])
    batch.begin_remove_nodes("etl", options, polling_interval=0).result()
    found = steady(batch)
    assert (node_ids(batch), found.target_dedicated_nodes) == ([second], 1)
    assert code_of(lambda: batch.begin_remove_nodes("etl", options)) == (404, "NodeNotFound")
    none = models.BatchNodeRemoveOptions(node_ids=[])
    assert code_of(lambda: batch.begin_remove_nodes("etl", none)) == (400, "InvalidPropertyValue")
    many = models.BatchNodeRemoveOptions(node_ids=["x"] * 101)
    assert code_of(lambda: batch.begin_remove_nodes("etl", many)) == (400, "InvalidPropertyValue")
    short = models.BatchNodeRemoveOptions(node_ids=[second], resize_timeout=timedelta(minutes=1))
    assert code_of(lambda: batch.begin_remove_nodes("etl", short)) == (400, "InvalidPropertyValue")


@pytest.mark.parametrize(
    ("option", "state"), [("requeue", "active"), ("terminate", "completed"), ("taskcompletion", "running")]
)
def test_what_becomes_of_the_tasks_of_a_removed_node(batch: BatchClient, option: str, state: str) -> None:
    batch.create_pool(pool(nodes=1))
    batch.create_job(job())
    batch.create_task("daily", task("long", "sleep 60"))
    in_state(lambda: batch.get_task("daily", "long"), "running")
    options = models.BatchNodeRemoveOptions(node_ids=node_ids(batch), node_deallocation_option=option)
    batch.begin_remove_nodes("etl", options, polling_interval=0)
    found = in_state(lambda: batch.get_task("daily", "long"), state)
    if option == "taskcompletion":
        assert code_of(lambda: batch.begin_remove_nodes("etl", options)) == (409, "PoolBeingResized")
        batch.terminate_task("daily", "long")
    else:
        assert found.execution_info.requeue_count == (option == "requeue")
    eventually(lambda: node_ids(batch) == [])


def test_secrets_are_never_given_back(batch: BatchClient) -> None:
    registry = models.ContainerRegistryReference(username="u", password="hush", registry_server="r.example")
    machine = models.VirtualMachineConfiguration(
        image_reference=IMAGE.image_reference,
        node_agent_sku_id=IMAGE.node_agent_sku_id,
        container_configuration=models.BatchContainerConfiguration(
            type="dockerCompatible", container_registries=[registry]
        ),
    )
    mount = models.MountConfiguration(
        azure_file_share_configuration=models.AzureFileShareConfiguration(
            account_name="a",
            account_key="hush",
            azure_file_url="https://a.example/s",
            relative_mount_path="s",
        )
    )
    linux = models.LinuxUserConfiguration(ssh_private_key="hush")
    user = models.UserAccount(name="etl", password="hush", linux_user_configuration=linux)
    batch.create_pool(
        pool(
            nodes=1, virtual_machine_configuration=machine, mount_configuration=[mount], user_accounts=[user]
        )
    )
    steady(batch)
    shown = str(batch.get_pool("etl").as_dict()) + str([node.as_dict() for node in batch.list_nodes("etl")])
    assert "hush" not in shown
    assert "r.example" in shown
    assert "a.example" in shown


def test_the_node_agent_must_be_known(batch: BatchClient) -> None:
    machine = models.VirtualMachineConfiguration(
        image_reference=IMAGE.image_reference, node_agent_sku_id="batch.node.amiga 500"
    )
    assert code_of(lambda: batch.create_pool(pool(virtual_machine_configuration=machine))) == (
        404,
        "NodeAgentSKUNotFound",
    )
    for image in batch.list_supported_images():
        machine = models.VirtualMachineConfiguration(
            image_reference=image.image_reference, node_agent_sku_id=image.node_agent_sku_id
        )
        name = f"p-{image.node_agent_sku_id[11:14]}-{image.image_reference.sku}".replace(".", "").replace(
            " ", ""
        )
        batch.create_pool(pool(name, nodes=0, virtual_machine_configuration=machine))


def test_slots_follow_the_cores(batch: BatchClient) -> None:
    assert code_of(lambda: batch.create_pool(pool(slots=9))) == (400, "InvalidPropertyValue")
    batch.create_pool(pool(slots=8))
    batch.create_pool({"id": "unheard-of", "vmSize": "x", "taskSlotsPerNode": 256})


def test_stats_on_demand(batch: BatchClient, clock: Clock) -> None:
    batch.create_pool(pool(nodes=2))
    assert steady(batch).pool_statistics is None
    clock.shift += timedelta(hours=1)
    stats = batch.get_pool("etl", expand=["stats"]).pool_statistics
    assert timedelta(hours=4) <= stats.usage_statistics.dedicated_core_time < timedelta(hours=4, minutes=1)
    assert stats.start_time < stats.last_update_time
    assert (stats.resource_statistics.avg_cpu_percentage, stats.resource_statistics.disk_read_iops) == (0, 0)
    (listed,) = batch.list_pools(expand=["stats"], select=["id", "stats"])
    assert listed.pool_statistics.usage_statistics is not None
    assert listed.state is None
    assert code_of(lambda: batch.get_pool("etl", expand=["nodes"])) == (400, "InvalidQueryParameterValue")


def test_node_counts(batch: BatchClient) -> None:
    batch.create_pool(pool("first", nodes=2, start_task=start_task("sleep 60")))
    for number in range(11):
        batch.create_pool(pool(f"p{number}", nodes=0))
    options = models.BatchPoolResizeOptions(target_dedicated_nodes=1, target_low_priority_nodes=2)
    steady(batch, "p3")
    batch.begin_resize_pool("p3", options, polling_interval=0).result()
    pages = list(batch.list_pool_node_counts().by_page())
    sizes = [len(list(page)) for page in pages]
    assert sizes[0] == 10, "the default page"
    (found,) = batch.list_pool_node_counts(filter="poolId eq 'P3'")
    assert (found.dedicated.idle, found.dedicated.total, found.low_priority.idle) == (1, 1, 2)
    (waiting,) = batch.list_pool_node_counts(filter="poolId eq 'first'")
    assert (waiting.dedicated.waiting_for_start_task, waiting.dedicated.total) == (2, 2)
    assert set(waiting["dedicated"]) == {
        "creating", "deallocated", "deallocating", "idle", "leavingPool", "offline", "preempted", "rebooting",
        "reimaging", "running", "startTaskFailed", "starting", "total", "unknown", "unusable", "upgradingOS",
        "waitingForStartTask",
    }  # fmt: skip
    assert len(list(batch.list_pool_node_counts(max_results=5))) == 12


def test_supported_images(batch: BatchClient) -> None:
    linux = list(batch.list_supported_images(filter="osType eq 'linux'"))
    assert linux
    assert {image.os_type for image in linux} == {models.OSType.LINUX}
    everything = list(batch.list_supported_images(max_results=2))
    assert len(everything) > len(linux)
    docker = [image for image in everything if "DockerCompatible" in (image.capabilities or [])]
    assert {image.verification_type for image in docker} == {models.ImageVerificationType.VERIFIED}
    assert list(batch.list_supported_images(filter="verificationType eq 'unverified'")) == []


def test_usage_metrics_of_the_past(batch: BatchClient, clock: Clock) -> None:
    batch.create_pool(pool(nodes=2))
    steady(batch)
    start = datetime.now(UTC)
    assert list(batch.list_pool_usage_metrics()) == [], "the latest half hour lies before the pool"
    clock.shift += timedelta(hours=4)
    found = list(batch.list_pool_usage_metrics(start_time=start, end_time=start + timedelta(hours=2)))
    assert 3 <= len(found) <= 4
    assert {(item.pool_id, item.vm_size) for item in found} == {("etl", "standard_d2s_v5")}
    assert found[0].total_core_hours == pytest.approx(2.0)
    assert found[0].end_time - found[0].start_time == timedelta(minutes=30)
    (latest,) = batch.list_pool_usage_metrics()
    assert latest.total_core_hours == pytest.approx(2.0)
    assert list(batch.list_pool_usage_metrics(filter="poolId eq 'other'")) == []
    soon = start + timedelta(hours=2)
    assert code_of(lambda: list(batch.list_pool_usage_metrics(start_time=soon))) == (
        400,
        "OutOfRangeQueryParameterValue",
    )
    swapped = {"start_time": start + timedelta(hours=1), "end_time": start}
    assert code_of(lambda: list(batch.list_pool_usage_metrics(**swapped))) == (
        400,
        "InvalidQueryParameterValue",
    )


def test_there_are_no_applications(batch: BatchClient) -> None:
    assert list(batch.list_applications()) == []
    assert code_of(lambda: batch.get_application("a")) == (404, "ApplicationNotFound")
    references = [models.BatchApplicationPackageReference(application_id="a")]
    assert code_of(lambda: batch.create_pool(pool(application_package_references=references))) == (
        409,
        "InvalidApplicationPackageReferences",
    )


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/certificates"),
        ("POST", "/certificates"),
        ("GET", "/certificates(thumbprintAlgorithm=sha1,thumbprint=ab)"),
        ("DELETE", "/certificates(thumbprintAlgorithm=sha1,thumbprint=ab)"),
        ("POST", "/certificates(thumbprintAlgorithm=sha1,thumbprint=ab)/canceldelete"),
        ("GET", "/lifetimepoolstats"),
        ("GET", "/lifetimejobstats"),
        ("GET", "/pools/p/nodes/n/rdp"),
        ("POST", "/pools/p/upgradeos"),
    ],
)
def test_retired_operations_say_so(server: LocalServer, method: str, path: str) -> None:
    status, _, body = send(server, method, path, query="api-version=2022-10-01.16.0")
    assert (status, body["code"]) == (400, "InvalidUri")
    assert "retired" in body["message"]["value"]


def test_start_tasks_get_resource_files_refused_openly(batch: BatchClient) -> None:
    wrong = models.BatchStartTask(command_line="true", resource_files=[models.ResourceFile(file_path="x")])
    assert code_of(lambda: batch.create_pool(pool(start_task=wrong)))[0] == 400


@pytest.fixture
def limited(tmp_path: Path) -> Iterator[BatchClient]:
    quota = Quota(dedicated_cores=4, pools=2, active_jobs_and_schedules=1)
    with LocalServer(tmp_path / "limited", quota=quota) as server:
        credential = AzureNamedKeyCredential(server.account, server.key)
        with BatchClient(server.endpoint, credential, retry_total=0) as client:
            yield client


def test_a_quota_limits_cores_pools_and_jobs(limited: BatchClient) -> None:
    limited.create_pool(pool(nodes=3))
    found = steady(limited)
    assert (found.current_dedicated_nodes, found.target_dedicated_nodes) == (2, 3)
    assert [error.code for error in found.resize_errors] == ["AccountCoreQuotaReached"]
    limited.create_pool(pool("second", nodes=0))
    assert code_of(lambda: limited.create_pool(pool("third", nodes=0))) == (409, "PoolQuotaReached")
    limited.create_job(job())
    assert code_of(lambda: limited.create_job(job("other"))) == (409, "ActiveJobAndScheduleQuotaReached")
    plan = models.BatchJobScheduleCreateOptions(
        id="s",
        schedule=models.BatchJobScheduleConfiguration(),
        job_specification=models.BatchJobSpecification(pool_info=models.BatchPoolInfo(pool_id="etl")),
    )
    assert code_of(lambda: limited.create_job_schedule(plan)) == (409, "ActiveJobAndScheduleQuotaReached")
    limited.create_task("daily", task("a"))
    assert text_of(limited, "daily", in_state(lambda: limited.get_task("daily", "a"), "completed").id) == ""

"""Faults on demand, as the official SDK meets them."""

import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from azure.batch import BatchClient, models
from azure.core.credentials import AzureNamedKeyCredential
from azure.core.exceptions import HttpResponseError, ServiceResponseError

from batchctl.errors import TargetError, Unreachable
from batchctl.server import LocalServer
from batchctl.server.chaos import remote
from tests.contract.conftest import Clock, code_of, completed, error_of, eventually, job, pool, shell, task


def add(server: LocalServer, fault: str, **more: Any) -> int:
    found: int = remote.add_rule(server, {"fault": fault, **more})["id"]
    return found


def counts(server: LocalServer) -> tuple[int, int]:
    (rule,) = remote.list_rules(server)
    return rule["seen"], rule["struck"]


def pools(batch: BatchClient) -> list[str]:
    return [found.id for found in batch.list_pools()]


def test_a_busy_service_says_when_to_come_again(server: LocalServer, batch: BatchClient) -> None:
    add(server, "throttle", operations=["create_pool"], times=2, seconds=7)
    error = error_of(lambda: batch.create_pool(pool(nodes=0)))
    assert (error.status_code, error.model.code) == (429, "TooManyRequests")  # type: ignore[attr-defined]
    assert error.response is not None
    assert error.response.headers["Retry-After"] == "7"
    assert code_of(lambda: batch.create_pool(pool(nodes=0))) == (429, "TooManyRequests")
    assert pools(batch) == [], "other operations are not struck, and nothing took effect"
    batch.create_pool(pool(nodes=0))
    assert counts(server) == (3, 2)


def test_the_sdk_s_own_retries_get_through(server: LocalServer) -> None:
    add(server, "throttle", times=2, seconds=0)
    credential = AzureNamedKeyCredential(server.account, server.key)
    with BatchClient(server.endpoint, credential, retry_backoff_factor=0.01) as patient:
        patient.create_pool(pool(nodes=0))
        assert pools(patient) == ["etl"]


@pytest.mark.parametrize(("status", "code"), [(500, "InternalError"), (503, "ServerBusy")])
def test_a_broken_service(server: LocalServer, batch: BatchClient, status: int, code: str) -> None:
    add(server, "error", status=status, times=1, operations=["create_pool"])
    assert code_of(lambda: batch.create_pool(pool(nodes=0))) == (status, code)
    assert pools(batch) == []


def test_an_error_after_the_effect(server: LocalServer, batch: BatchClient) -> None:
    add(server, "error", status=500, after_effect=True, operations=["create_pool"])
    assert code_of(lambda: batch.create_pool(pool(nodes=0))) == (500, "InternalError")
    assert pools(batch) == ["etl"]


@pytest.mark.parametrize("after_effect", [False, True])
def test_a_dropped_connection(server: LocalServer, batch: BatchClient, after_effect: bool) -> None:
    add(server, "drop", after_effect=after_effect, operations=["create_*"], times=1)
    with pytest.raises(ServiceResponseError):
        batch.create_pool(pool(nodes=0))
    assert pools(batch) == (["etl"] if after_effect else [])
    assert counts(server) == (1, 1)


def test_latency(server: LocalServer, batch: BatchClient) -> None:
    add(server, "latency", seconds=0.2, operations=["get_*"])
    add(server, "latency", seconds=0.1)
    batch.create_pool(pool(nodes=0))
    start = time.monotonic()
    batch.get_pool("etl")
    assert time.monotonic() - start >= 0.3, "delays add up"


def test_quotas(server: LocalServer, batch: BatchClient) -> None:
    add(server, "quota")
    batch.list_pools()
    assert code_of(lambda: batch.create_pool(pool())) == (409, "PoolQuotaReached")
    assert code_of(lambda: batch.create_job(job())) == (409, "ActiveJobAndScheduleQuotaReached")
    remote.clear_rules(server)
    batch.create_pool(pool(nodes=0))


def test_limits_of_the_account(server: LocalServer, batch: BatchClient) -> None:
    assert remote.set_quota(server, {"pools": 1, "dedicated_cores": 2})["pools"] == 1
    batch.create_pool(pool(nodes=3))
    assert code_of(lambda: batch.create_pool(pool("more"))) == (409, "PoolQuotaReached")
    found = eventually(lambda: batch.get_pool("etl").resize_errors)
    assert found[0].code == "AccountCoreQuotaReached"
    assert set(remote.set_quota(server, {}).values()) == {None}
    batch.create_pool(pool("more", nodes=0))
    with pytest.raises(TargetError, match="cats"):
        remote.set_quota(server, {"cats": 1})
    with pytest.raises(TargetError, match="pools"):
        remote.set_quota(server, {"pools": -1})


def test_a_rule_may_name_ids(server: LocalServer, batch: BatchClient) -> None:
    add(server, "error", match="ETL-*")
    batch.create_pool(pool("other", nodes=0))
    batch.get_pool("other")
    assert code_of(lambda: batch.create_pool(pool("etl-1", nodes=0))) == (503, "ServerBusy"), "in a body"
    assert code_of(lambda: batch.get_job("etl-1")) == (503, "ServerBusy"), "in a path"


def test_a_denied_image(server: LocalServer, batch: BatchClient) -> None:
    add(server, "deny-image", match="*/etl:*")
    image = models.BatchTaskContainerSettings(image_name="registry.example/etl:1")
    batch.create_pool(pool())
    batch.create_job(job())
    batch.create_task("daily", task("a", container_settings=image))
    found = completed(batch, "daily", "a").execution_info
    assert found is not None
    assert found.failure_info is not None
    assert found.failure_info.code == "ContainerInvalidImage"
    assert counts(server) == (1, 1)


def spot_pool(batch: BatchClient, nodes: int) -> None:
    batch.create_pool(
        models.BatchPoolCreateOptions(id="spot", vm_size="Standard_D2s_v5", target_low_priority_nodes=nodes)
    )
    batch.create_job(job(pool_id="spot"))


def test_a_node_is_preempted_under_its_task(server: LocalServer, batch: BatchClient) -> None:
    add(server, "preempt", match="spot", times=1, seconds=0)
    spot_pool(batch, 2)
    batch.create_task(
        "daily", shell("a", "while ! test -e $AZ_BATCH_NODE_SHARED_DIR/../../again; do sleep 0.02; done")
    )
    eventually(lambda: "preempted" in states(batch), "a node is preempted")
    Path(server.state / "nodes" / "again").touch()
    info = completed(batch, "daily", "a").execution_info
    assert info is not None
    assert (info.requeue_count, info.retry_count, info.exit_code) == (1, 0, 0)
    assert counts(server) == (2, 1)


def test_nodes_preempted_by_hand(server: LocalServer, batch: BatchClient) -> None:
    spot_pool(batch, 3)
    eventually(lambda: states(batch) == ["idle"] * 3)
    (taken,) = remote.preempt(server, "spot")
    assert sorted(states(batch)) == ["idle", "idle", "preempted"]
    assert batch.get_node("spot", taken).state == "preempted"
    assert len(remote.preempt(server, "SPOT", nodes=9)) == 2
    assert states(batch) == ["preempted"] * 3
    assert remote.preempt(server, "spot") == []


def states(batch: BatchClient) -> list[str]:
    return [models.BatchNodeState(node.state).value for node in batch.list_nodes("spot")]


def test_a_skipped_firing(server: LocalServer, batch: BatchClient, clock: Clock) -> None:
    add(server, "skip-firing", match="nightly", skip=1, times=1)
    batch.create_job_schedule(
        models.BatchJobScheduleCreateOptions(
            id="nightly",
            schedule=models.BatchJobScheduleConfiguration(recurrence_interval=timedelta(days=1)),
            job_specification=models.BatchJobSpecification(pool_info=models.BatchPoolInfo(pool_id="etl")),
        )
    )

    def jobs() -> list[str]:
        return [found.id for found in batch.list_jobs_from_schedule("nightly")]

    assert jobs() == ["nightly:job-1"]
    batch.begin_terminate_job("nightly:job-1", {"terminateReason": "over"}, polling_interval=0).wait()  # type: ignore[call-overload]
    for day, expected in ((1, 1), (2, 2)):
        clock.shift = timedelta(days=day)
        server.wake()
        eventually(lambda day=day: counts(server)[0] == day + 1, "the occurrence came")  # type: ignore[misc]
        assert len(jobs()) == expected
    assert counts(server) == (3, 1)


def test_rules_survive_a_restart_with_their_counts(tmp_path: Path) -> None:
    with LocalServer(tmp_path) as server:
        add(server, "error", skip=1, times=1, operations=["list_pools"])
        with BatchClient(server.endpoint, AzureNamedKeyCredential(server.account, server.key)) as batch:
            assert pools(batch) == []
    with LocalServer(tmp_path) as server:
        assert counts(server) == (1, 0)
        credential = AzureNamedKeyCredential(server.account, server.key)
        with BatchClient(server.endpoint, credential, retry_total=0) as batch:
            with pytest.raises(HttpResponseError):
                pools(batch)
            assert pools(batch) == []
        assert counts(server) == (3, 1)


def test_the_same_seed_makes_the_same_trouble(server: LocalServer, batch: BatchClient) -> None:
    def story(seed: int) -> list[bool]:
        rule = add(server, "error", probability=0.5, seed=seed, operations=["list_pools"])
        struck = []
        for _ in range(20):
            try:
                pools(batch)
                struck.append(False)
            except HttpResponseError:
                struck.append(True)
        assert remote.clear_rules(server, rule) == 1
        return struck

    first = story(1)
    assert 3 < sum(first) < 17
    assert story(1) == first
    assert story(2) != first


def test_the_control_route_wants_the_key(server: LocalServer) -> None:
    url = f"{server.endpoint}/.batchctl/chaos"
    for method, path in (("GET", ""), ("POST", ""), ("DELETE", ""), ("DELETE", "/1"), ("POST", "/preempt")):
        assert httpx.request(method, url + path).status_code == 401
    wrong = type("Wrong", (), {"port": server.port, "account": server.account, "key": "d3Jvbmc="})()
    with pytest.raises(TargetError) as caught:
        remote.add_rule(wrong, {"fault": "drop"})
    assert caught.value.code == "AuthenticationFailed"
    assert remote.list_rules(server) == []


@pytest.mark.parametrize(
    ("rule", "named"),
    [
        ({"fault": "rain"}, "fault"),
        ({}, "fault"),
        ({"fault": "error", "status": 418}, "status"),
        ({"fault": "error", "probability": 0}, "probability"),
        ({"fault": "error", "times": 0}, "times"),
        ({"fault": "error", "colour": "red"}, "colour"),
        ({"fault": "error", "operations": []}, "operations"),
        ({"fault": "error", "operations": ["create_pol"]}, "create_pol"),
    ],
)
def test_a_wrong_rule_is_refused(server: LocalServer, rule: dict[str, Any], named: str) -> None:
    with pytest.raises(TargetError, match=named) as caught:
        remote.add_rule(server, rule)
    assert caught.value.code == "InvalidPropertyValue"
    assert remote.list_rules(server) == []


def test_rubbish_and_a_missing_pool(server: LocalServer) -> None:
    with pytest.raises(TargetError) as caught:
        remote.preempt(server, "nowhere")
    assert caught.value.code == "PoolNotFound"
    assert remote.clear_rules(server, 99) == 0


def test_nobody_answers(tmp_path: Path) -> None:
    with LocalServer(tmp_path) as server:
        pass
    with pytest.raises(Unreachable):
        remote.list_rules(server)

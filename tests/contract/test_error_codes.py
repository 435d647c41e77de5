"""Error codes that only a moment in between answers with: while something ends, a stubborn task makes it last.

And those of quotas, of a full disk, and of requests that no SDK sends.
"""

import http.client
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from azure.batch import BatchClient, models
from azure.core.credentials import AzureNamedKeyCredential

from batchctl.server import LocalServer
from batchctl.server.batch import app
from batchctl.server.batch.auth import signature, string_to_sign
from batchctl.server.chaos.remote import set_quota
from tests.contract.conftest import Clock, code_of, eventually, has_output, in_state, job, pool, shell, task
from tests.contract.test_protocol import VERSION

STUBBORN = 'trap "" TERM; echo deaf; while true; do sleep 600; done'


@pytest.fixture
def patient(tmp_path: Path) -> Iterator[BatchClient]:
    """A service that never loses patience with a task that does not end."""
    with LocalServer(tmp_path / "state", grace_seconds=600) as server:
        credential = AzureNamedKeyCredential(server.account, server.key)
        with BatchClient(server.endpoint, credential, retry_total=0) as client:
            client.create_pool(pool())
            yield client


def begin(batch: BatchClient, job_id: str) -> None:
    """A task of that job runs that will not end, not even when asked to."""
    batch.create_task(job_id, shell("stubborn", STUBBORN))
    eventually(lambda: has_output(batch, job_id, "stubborn"))


def test_a_job_that_ends(patient: BatchClient) -> None:
    patient.create_job(job())
    begin(patient, "daily")
    change = models.BatchJobUpdateOptions(priority=1)
    patient.begin_terminate_job("daily", {"terminateReason": "x"})  # type: ignore[call-overload]
    assert patient.get_job("daily").state == models.BatchJobState.TERMINATING
    assert code_of(lambda: patient.update_job("daily", change)) == (409, "JobBeingTerminated")
    assert code_of(lambda: patient.create_task("daily", task("a"))) == (409, "JobBeingTerminated")
    patient.begin_delete_job("daily")
    assert code_of(lambda: patient.update_job("daily", change)) == (409, "JobBeingDeleted")
    assert code_of(lambda: patient.begin_delete_job("daily")) == (409, "JobBeingDeleted")


def test_a_schedule_that_ends(patient: BatchClient) -> None:
    patient.create_job_schedule(
        models.BatchJobScheduleCreateOptions(
            id="nightly",
            schedule=models.BatchJobScheduleConfiguration(),
            job_specification=models.BatchJobSpecification(pool_info=models.BatchPoolInfo(pool_id="etl")),
        )
    )
    begin(patient, "nightly:job-1")
    patient.begin_terminate_job_schedule("nightly")
    assert code_of(lambda: patient.disable_job_schedule("nightly")) == (409, "JobScheduleBeingTerminated")
    patient.begin_delete_job_schedule("nightly")
    assert code_of(lambda: patient.disable_job_schedule("nightly")) == (409, "JobScheduleBeingDeleted")
    assert code_of(lambda: patient.begin_delete_job_schedule("nightly")) == (409, "JobScheduleBeingDeleted")


def test_a_node_that_is_set_up_anew(patient: BatchClient) -> None:
    patient.create_job(job())
    begin(patient, "daily")
    (node,) = patient.list_nodes("etl")
    patient.begin_reimage_node("etl", node.id, {"nodeReimageOption": "requeue"})
    again = code_of(lambda: patient.begin_reimage_node("etl", node.id, {"nodeReimageOption": "requeue"}))
    assert again == (409, "NodeBeingReimaged")


def test_too_many_ranges(batch: BatchClient) -> None:
    batch.create_job(job(uses_task_dependencies=True))
    ranges = [models.BatchTaskIdRange(start=n, end=n) for n in range(5000)]
    depends = models.BatchTaskDependencies(task_id_ranges=ranges)
    refused = code_of(lambda: batch.create_task("daily", task("a", depends_on=depends)))
    assert refused == (400, "TaskDependencyRangesTooLong")


def test_quotas_of_pools_that_resize(batch: BatchClient, server: LocalServer, clock: Clock) -> None:
    set_quota(server, {"nodes": 0})
    batch.create_pool(pool())
    clock.shift += timedelta(minutes=16)
    server.wake()

    def error() -> str | None:
        errors = batch.get_pool("etl").resize_errors
        return errors[0].code if errors else None

    assert eventually(error) == "AllocationTimedout"
    set_quota(server, {"dedicated_cores": 1})
    batch.begin_resize_pool("etl", models.BatchPoolResizeOptions(target_dedicated_nodes=1))
    assert eventually(error) == "AccountCoreQuotaReached"


def test_an_auto_pool_beyond_the_quota(batch: BatchClient, server: LocalServer) -> None:
    set_quota(server, {"pools": 0})
    batch.create_job(
        models.BatchJobCreateOptions(
            id="daily",
            pool_info=models.BatchPoolInfo(
                auto_pool_specification=models.BatchAutoPoolSpecification(
                    pool_lifetime_option="job", pool=models.BatchPoolSpecification(vm_size="standard_d2")
                )
            ),
        )
    )
    ended = in_state(lambda: batch.get_job("daily"), "completed")
    assert ended.execution_info.scheduling_error.code == "AutoPoolCreationFailedWithQuotaReached"


def test_no_room_on_the_disk(batch: BatchClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "has_room", lambda _: False)
    assert code_of(lambda: batch.create_pool(pool())) == (403, "IOError")
    assert list(batch.list_pools()) == []


def test_a_request_without_a_date(server: LocalServer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    connection.request("GET", f"/pools?{VERSION}", headers={"Authorization": "SharedKey devaccount:c2ln"})
    response = connection.getresponse()
    assert (response.status, json.loads(response.read())["code"]) == (400, "MissingRequiredHeader")
    connection.close()


def test_a_body_of_unknown_length(server: LocalServer) -> None:
    headers = {"ocp-date": "Thu, 22 Jan 2026 20:18:17 GMT", "transfer-encoding": "chunked"}
    query = VERSION
    text = string_to_sign("POST", "/pools", query, headers, account=server.account, content_length="")
    headers["Authorization"] = f"SharedKey {server.account}:{signature(text, server.key)}"
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    connection.request("POST", f"/pools?{query}", iter([b"{}"]), headers, encode_chunked=True)
    response = connection.getresponse()
    assert (response.status, b"MissingContentLengthHeader" in response.read()) == (411, True)
    connection.close()

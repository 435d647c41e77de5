"""Jobs and job schedules that change: replaced, ended, disabled."""

from datetime import timedelta
from typing import Any

import pytest
from azure.batch import BatchClient, models
from azure.core import MatchConditions

from batchctl.server import LocalServer
from tests.contract.conftest import (
    Clock,
    code_of,
    completed,
    eventually,
    in_state,
    job,
    pool,
    schedule,
    shell,
    task,
)
from tests.contract.test_protocol import VERSION, send

INFINITE = "P10675199DT2H48M5.4775807S"


def test_a_replaced_job_gets_defaults_for_what_is_not_given(batch: BatchClient) -> None:
    constraints = models.BatchJobConstraints(max_task_retry_count=3, max_wall_clock_time=timedelta(hours=1))
    metadata = [models.BatchMetadataItem(name="a", value="b")]
    batch.create_job(
        job(priority=5, max_parallel_tasks=2, constraints=constraints, metadata=metadata, display_name="d")
    )
    before = batch.get_job("daily")
    batch.replace_job("daily", models.BatchJob(pool_info=models.BatchPoolInfo(pool_id="etl")))
    found = batch.get_job("daily")
    assert (found.priority, found.max_parallel_tasks, found.metadata, found.display_name) == (
        0,
        -1,
        None,
        "d",
    )
    assert found["constraints"] == {"maxWallClockTime": INFINITE, "maxTaskRetryCount": 0}
    assert found.etag != before.etag


def test_a_job_as_it_was_read_can_be_written_back(batch: BatchClient) -> None:
    batch.create_job(job(priority=5, constraints=models.BatchJobConstraints(max_task_retry_count=3)))
    found = batch.get_job("daily")
    found.priority = 7
    batch.replace_job("daily", found, etag=found.etag, match_condition=MatchConditions.IfNotModified)
    after = batch.get_job("daily")
    assert (after.priority, after.constraints.max_task_retry_count, after.id) == (7, 3, "daily")
    stale = {"etag": found.etag, "match_condition": MatchConditions.IfNotModified}
    assert code_of(lambda: batch.replace_job("daily", found, **stale)) == (412, "ConditionNotMet")


def test_a_replaced_job_moves_only_while_it_is_disabled(batch: BatchClient) -> None:
    batch.create_job(job())
    other = models.BatchJob(pool_info=models.BatchPoolInfo(pool_id="other"))
    assert code_of(lambda: batch.replace_job("daily", other)) == (409, "OperationInvalidForCurrentState")
    batch.begin_disable_job("daily", {"disableTasks": "wait"}, polling_interval=0).result()
    batch.replace_job("daily", other)
    assert batch.get_job("daily").pool_info.pool_id == "other"


def test_a_replaced_job_keeps_its_auto_pool(batch: BatchClient) -> None:
    specification = models.BatchPoolSpecification(vm_size="x", target_dedicated_nodes=1)
    auto = models.BatchAutoPoolSpecification(pool_lifetime_option="job", pool=specification)
    batch.create_job(
        models.BatchJobCreateOptions(id="daily", pool_info=models.BatchPoolInfo(auto_pool_specification=auto))
    )
    found = batch.get_job("daily")
    batch.replace_job("daily", found)
    found.pool_info.auto_pool_specification.keep_alive = True
    batch.replace_job("daily", found)
    assert batch.get_job("daily").pool_info.auto_pool_specification.keep_alive is True
    plain = models.BatchJob(pool_info=models.BatchPoolInfo())
    assert code_of(lambda: batch.replace_job("daily", plain)) == (400, "InvalidPropertyValue")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 400, "MissingRequiredProperty"),
        ({"poolInfo": {"poolId": "etl"}, "priority": 1001}, 400, "OutOfRangePriority"),
        ({"poolInfo": {"poolId": "etl"}, "nonsense": 1}, 400, "InvalidRequestBody"),
        (
            {"poolInfo": {"poolId": "etl"}, "constraints": {"maxTaskRetryCount": -2}},
            400,
            "InvalidConstraintValue",
        ),
        ({"poolInfo": {"poolId": "etl"}, "metadata": [{"name": "", "value": ""}]}, 400, "EmptyMetadataKey"),
        ({"poolInfo": {"poolId": "etl"}}, 400, "InvalidPropertyValue"),
    ],
)
def test_a_wrong_replacement_is_refused(batch: BatchClient, body: Any, status: int, code: str) -> None:
    batch.create_job(job())
    batch.create_task("daily", task("a"))
    batch.update_job("daily", {"onAllTasksComplete": "terminatejob"})
    assert code_of(lambda: batch.replace_job("daily", body)) == (status, code)
    assert code_of(lambda: batch.replace_job("nope", body))[0] in (400, 404)


def test_a_completed_job_is_not_replaced(batch: BatchClient) -> None:
    batch.create_job(job())
    batch.begin_terminate_job("daily", {"terminateReason": "x"}, polling_interval=0).result()
    again = models.BatchJob(pool_info=models.BatchPoolInfo(pool_id="etl"))
    assert code_of(lambda: batch.replace_job("daily", again)) == (409, "JobCompleted")


def test_a_replaced_schedule_affects_later_jobs_only(
    batch: BatchClient, server: LocalServer, clock: Clock
) -> None:
    batch.create_job_schedule(schedule(metadata=[models.BatchMetadataItem(name="a", value="b")]))
    found = batch.get_job_schedule("nightly")
    found.job_specification.priority = 9
    batch.replace_job_schedule("nightly", found)
    after = batch.get_job_schedule("nightly")
    assert after.job_specification.priority == 9
    assert after.metadata[0].name == "a"
    assert after.execution_info.next_run_time == found.execution_info.next_run_time
    assert batch.get_job("nightly:job-1").priority == 0
    batch.begin_terminate_job("nightly:job-1", {"terminateReason": "x"}, polling_interval=0).result()
    clock.shift = timedelta(days=1, minutes=1)
    server.wake()
    assert eventually(lambda: [j for j in batch.list_jobs() if j.id == "nightly:job-2"])[0].priority == 9


def test_a_schedule_replaced_without_a_plan_has_one_job_only(batch: BatchClient) -> None:
    batch.create_job_schedule(schedule(metadata=[models.BatchMetadataItem(name="a", value="b")]))
    pool_info = models.BatchPoolInfo(pool_id="etl")
    bare = models.BatchJobSchedule(job_specification=models.BatchJobSpecification(pool_info=pool_info))
    batch.replace_job_schedule("nightly", bare)
    found = batch.get_job_schedule("nightly")
    assert (found.schedule, found.metadata, found.execution_info.next_run_time) == (None, None, None)
    assert code_of(lambda: batch.replace_job_schedule("nightly", {"schedule": {}})) == (
        400,
        "MissingRequiredProperty",
    )
    batch.begin_terminate_job("nightly:job-1", {"terminateReason": "x"}, polling_interval=0).result()
    in_state(lambda: batch.get_job_schedule("nightly"), "completed")
    assert code_of(lambda: batch.replace_job_schedule("nightly", bare)) == (409, "JobScheduleCompleted")


def test_a_terminating_schedule_waits_for_its_job(batch: BatchClient, server: LocalServer) -> None:
    batch.create_pool(pool())
    specification = models.BatchJobSpecification(
        pool_info=models.BatchPoolInfo(pool_id="etl"),
        job_preparation_task=models.BatchJobPreparationTask(command_line="true"),
        job_release_task=models.BatchJobReleaseTask(command_line="sleep 60"),
    )
    for name in ("slow", "forced"):
        batch.create_job_schedule(schedule(name, job_specification=specification))
        batch.create_task(f"{name}:job-1", task("a"))
        completed(batch, f"{name}:job-1", "a")
    batch.begin_terminate_job_schedule("slow")
    batch.begin_terminate_job_schedule("forced", force=True)
    in_state(lambda: batch.get_job_schedule("forced"), "completed")
    found = batch.get_job_schedule("slow")
    assert (found.state, found.execution_info.next_run_time) == ("terminating", None)
    assert batch.get_job("slow:job-1").state == "terminating"
    assert code_of(lambda: batch.disable_job_schedule("slow")) == (409, "JobScheduleBeingTerminated")
    # The SDK's own `force` breaks its poller.
    assert send(server, "DELETE", "/jobschedules/forced", query=f"force=true&{VERSION}")[0] == 202
    eventually(lambda: [one.id for one in batch.list_job_schedules()] == ["slow"])


@pytest.mark.parametrize("option", ["requeue", "terminate", "wait"])
def test_what_becomes_of_the_tasks_of_a_disabled_job(batch: BatchClient, option: str) -> None:
    batch.create_pool(pool())
    batch.create_job(job())
    script = 'while ! test -e "$AZ_BATCH_NODE_SHARED_DIR/go"; do sleep 0.01; done'
    batch.create_task("daily", shell("a", script))
    batch.create_task("daily", task("b"))
    in_state(lambda: batch.get_task("daily", "a"), "running")
    batch.begin_disable_job("daily", {"disableTasks": option.upper()})
    batch.create_job(job("other", priority=-1, pool_id="second"))
    batch.create_pool(pool("second"))
    if option == "wait":
        assert batch.get_job("daily").state == "disabling"
        node = batch.get_task("daily", "a").node_info.node_id
        batch.create_task("other", shell("go", f'touch "$AZ_BATCH_NODE_ROOT_DIR/../{node}/shared/go"'))
    found = in_state(lambda: batch.get_job("daily"), "disabled")
    assert (found.previous_state, batch.get_task("daily", "b").state) == ("disabling", "active")
    ended = batch.get_task("daily", "a")
    if option == "requeue":
        assert (ended.state, ended.execution_info.requeue_count) == ("active", 1)
    elif option == "terminate":
        assert (ended.state, ended.execution_info.failure_info.code) == ("completed", "TaskEnded")
    else:
        assert (ended.state, ended.execution_info.exit_code) == ("completed", 0)
    batch.begin_enable_job("daily")
    assert in_state(lambda: batch.get_job("daily"), "active").previous_state == "enabling"

"""Job schedules through the official SDK; the clock is moved, nobody waits."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.batch import BatchClient, models
from azure.core.exceptions import ResourceNotFoundError

from batchctl.server import LocalServer
from tests.contract.conftest import Clock, code_of, eventually, in_state, job, task

HOUR = timedelta(hours=1)


def schedule(name: str = "nightly", *, specification: dict[str, Any] | None = None, **plan: Any) -> Any:
    job_specification = {"poolInfo": {"poolId": "etl"}} | (specification or {})
    return models.BatchJobScheduleCreateOptions(
        id=name,
        schedule=models.BatchJobScheduleConfiguration(**plan),
        job_specification=models.BatchJobSpecification(job_specification),
    )


def jobs_of(batch: BatchClient, name: str = "nightly") -> list[str]:
    return [found.id for found in batch.list_jobs_from_schedule(name)]


def end_job(batch: BatchClient, name: str) -> None:
    batch.begin_terminate_job(name, {"terminateReason": "done"}, polling_interval=0).result()


def move(server: LocalServer, clock: Clock, shift: timedelta) -> None:
    clock.shift += shift
    server.wake()


def test_the_first_job_is_made_at_once(batch: BatchClient) -> None:
    batch.create_job_schedule(schedule(recurrence_interval=HOUR))
    found = batch.get_job_schedule("nightly")
    assert found.state == models.BatchJobScheduleState.ACTIVE
    information = found.execution_info
    assert information.recent_job.id == "nightly:job-1"
    assert information.next_run_time == found.creation_time + HOUR
    assert batch.get_job("nightly:job-1").state == models.BatchJobState.ACTIVE
    assert batch.job_schedule_exists("nightly") is True


def test_one_active_job_and_the_next_when_it_is_due(
    batch: BatchClient, server: LocalServer, clock: Clock
) -> None:
    batch.create_job_schedule(schedule(recurrence_interval=HOUR))
    created = batch.get_job_schedule("nightly").creation_time
    move(server, clock, HOUR * 2.5)
    assert jobs_of(batch) == ["nightly:job-1"]
    end_job(batch, "nightly:job-1")
    eventually(lambda: jobs_of(batch) == ["nightly:job-1", "nightly:job-2"])
    found = batch.get_job_schedule("nightly")
    assert found.execution_info.next_run_time == created + 3 * HOUR, "missed occurrences do not add up"


def test_a_future_start(batch: BatchClient, server: LocalServer, clock: Clock) -> None:
    later = datetime.now(UTC).replace(microsecond=0) + HOUR
    batch.create_job_schedule(schedule(do_not_run_until=later, recurrence_interval=HOUR))
    assert jobs_of(batch) == []
    assert batch.get_job_schedule("nightly").execution_info.next_run_time == later
    move(server, clock, HOUR)
    eventually(lambda: jobs_of(batch) == ["nightly:job-1"])
    assert batch.get_job_schedule("nightly").execution_info.next_run_time == later + HOUR


def test_without_recurrence_there_is_one_job(batch: BatchClient) -> None:
    batch.create_job_schedule(schedule())
    found = batch.get_job_schedule("nightly")
    assert "schedule" not in found
    assert found.execution_info.next_run_time is None
    end_job(batch, "nightly:job-1")
    done = in_state(lambda: batch.get_job_schedule("nightly"), "completed")
    assert done.execution_info.end_time is not None


def test_a_missed_start_window_loses_the_job(batch: BatchClient, server: LocalServer, clock: Clock) -> None:
    batch.create_job_schedule(schedule(recurrence_interval=HOUR, start_window=timedelta(minutes=10)))
    move(server, clock, HOUR * 1.5)
    end_job(batch, "nightly:job-1")
    eventually(lambda: batch.get_job_schedule("nightly").execution_info.next_run_time > clock())
    assert jobs_of(batch) == ["nightly:job-1"]
    move(server, clock, HOUR / 2)
    eventually(lambda: jobs_of(batch) == ["nightly:job-1", "nightly:job-2"])


def test_the_end_of_a_schedule(batch: BatchClient, server: LocalServer, clock: Clock) -> None:
    end = datetime.now(UTC) + HOUR * 1.5
    batch.create_job_schedule(schedule(recurrence_interval=HOUR, do_not_run_after=end))
    end_job(batch, "nightly:job-1")
    move(server, clock, HOUR)
    eventually(lambda: len(jobs_of(batch)) == 2)
    end_job(batch, "nightly:job-2")
    assert batch.get_job_schedule("nightly").state == models.BatchJobScheduleState.ACTIVE
    assert batch.get_job_schedule("nightly").execution_info.next_run_time is None
    move(server, clock, HOUR)
    in_state(lambda: batch.get_job_schedule("nightly"), "completed")
    assert len(jobs_of(batch)) == 2


def test_disable_and_enable(batch: BatchClient, server: LocalServer, clock: Clock) -> None:
    batch.create_job_schedule(schedule(recurrence_interval=HOUR))
    batch.disable_job_schedule("nightly")
    assert batch.get_job_schedule("nightly").state == models.BatchJobScheduleState.DISABLED
    assert batch.get_job("nightly:job-1").state == models.BatchJobState.ACTIVE, "the active job goes on"
    end_job(batch, "nightly:job-1")
    move(server, clock, HOUR * 1.5)
    assert jobs_of(batch) == ["nightly:job-1"]
    batch.enable_job_schedule("nightly")
    eventually(lambda: jobs_of(batch) == ["nightly:job-1", "nightly:job-2"])


def test_terminate_ends_the_active_job(batch: BatchClient) -> None:
    batch.create_job_schedule(schedule(recurrence_interval=HOUR))
    batch.begin_terminate_job_schedule("nightly", polling_interval=0).result()
    in_state(lambda: batch.get_job_schedule("nightly"), "completed")
    ended = batch.get_job("nightly:job-1")
    assert (ended.state, ended.execution_info.termination_reason) == ("completed", "TerminateJobSchedule")
    codes = [
        code_of(lambda: batch.enable_job_schedule("nightly")),
        code_of(lambda: batch.begin_terminate_job_schedule("nightly")),
        code_of(lambda: batch.update_job_schedule("nightly", {"metadata": []})),
    ]
    assert codes == [(409, "JobScheduleCompleted")] * 3


def test_delete_takes_all_its_jobs(batch: BatchClient) -> None:
    batch.create_job_schedule(schedule(recurrence_interval=HOUR))
    batch.create_task("nightly:job-1", task("a"))
    batch.begin_delete_job_schedule("nightly", polling_interval=0).result()
    assert code_of(lambda: batch.get_job_schedule("nightly")) == (404, "JobScheduleNotFound")
    assert list(batch.list_jobs()) == []
    with pytest.raises(ResourceNotFoundError):
        batch.job_schedule_exists("nightly")


def test_patch_changes_later_jobs_only(batch: BatchClient, server: LocalServer, clock: Clock) -> None:
    batch.create_job_schedule(schedule(recurrence_interval=HOUR))
    change = models.BatchJobScheduleUpdateOptions(
        schedule=models.BatchJobScheduleConfiguration(recurrence_interval=2 * HOUR),
        job_specification=models.BatchJobSpecification({"poolInfo": {"poolId": "other"}, "priority": 7}),
    )
    batch.update_job_schedule("nightly", change)
    found = batch.get_job_schedule("nightly")
    assert found.execution_info.next_run_time == found.creation_time + 2 * HOUR
    assert batch.get_job("nightly:job-1").priority == 0
    end_job(batch, "nightly:job-1")
    move(server, clock, 2 * HOUR)
    eventually(lambda: len(jobs_of(batch)) == 2)
    assert batch.get_job("nightly:job-2").priority == 7


def test_a_pool_that_lives_with_the_schedule(batch: BatchClient, server: LocalServer, clock: Clock) -> None:
    specification = {"vmSize": "x", "targetDedicatedNodes": 1}
    auto = {"autoPoolSpecification": {"poolLifetimeOption": "jobSchedule", "pool": specification}}
    batch.create_job_schedule(schedule(recurrence_interval=HOUR, specification={"poolInfo": auto}))
    first = batch.get_job("nightly:job-1").execution_info.pool_id
    end_job(batch, "nightly:job-1")
    move(server, clock, HOUR)
    eventually(lambda: len(jobs_of(batch)) == 2)
    assert batch.get_job("nightly:job-2").execution_info.pool_id == first
    batch.begin_terminate_job_schedule("nightly", polling_interval=0).result()
    eventually(lambda: not list(batch.list_pools()))


def test_a_pool_for_each_job(batch: BatchClient, server: LocalServer, clock: Clock) -> None:
    specification = {"vmSize": "x", "targetDedicatedNodes": 1}
    auto = {"autoPoolSpecification": {"poolLifetimeOption": "job", "pool": specification}}
    batch.create_job_schedule(schedule(recurrence_interval=HOUR, specification={"poolInfo": auto}))
    first = batch.get_job("nightly:job-1").execution_info.pool_id
    end_job(batch, "nightly:job-1")
    move(server, clock, HOUR)
    eventually(lambda: len(jobs_of(batch)) == 2)
    assert batch.get_job("nightly:job-2").execution_info.pool_id != first
    assert len(list(batch.list_pools(filter="state eq 'active'"))) == 1


def test_the_manager_of_each_job_runs_in_the_schedules_folder(batch: BatchClient) -> None:
    auto = {
        "poolLifetimeOption": "job",
        "keepAlive": True,
        "pool": {"vmSize": "x", "targetDedicatedNodes": 1},
    }
    specification = {
        "poolInfo": {"autoPoolSpecification": auto},
        "jobManagerTask": {"id": "manager", "commandLine": "/bin/sh -c 'echo $AZ_BATCH_JOB_ID'"},
    }
    batch.create_job_schedule(schedule(specification=specification))
    in_state(lambda: batch.get_job("nightly:job-1"), "completed")
    ran = batch.get_task("nightly:job-1", "manager")
    assert ran.node_info.task_root_directory == "workitems/nightly/job-1/manager"
    output = b"".join(batch.download_task_file("nightly:job-1", "manager", "stdout.txt"))
    assert output == b"nightly:job-1\n"


@pytest.mark.parametrize("name", ["recurrenceInterval", "startWindow"])
def test_less_than_a_minute_is_refused(batch: BatchClient, name: str) -> None:
    body = {"id": "x", "schedule": {name: "PT59S"}, "jobSpecification": {"poolInfo": {"poolId": "p"}}}
    assert code_of(lambda: batch.create_job_schedule(body)) == (400, "InvalidPropertyValue")


def test_a_plan_beyond_the_end_of_time(batch: BatchClient, server: LocalServer, clock: Clock) -> None:
    ages = timedelta(days=5_000_000)
    batch.create_job_schedule(schedule("now", recurrence_interval=ages, start_window=ages))
    start = datetime.now(UTC) + HOUR
    batch.create_job_schedule(schedule("later", do_not_run_until=start, recurrence_interval=ages))
    batch.create_job_schedule(schedule("once", do_not_run_until=start, start_window=ages))
    end = datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)
    batch.create_job_schedule(schedule("until", do_not_run_after=end, recurrence_interval=ages))
    move(server, clock, 2 * HOUR)
    for name in ("now", "later", "once", "until"):
        eventually(lambda name=name: jobs_of(batch, name) == [f"{name}:job-1"], name)
        assert batch.get_job_schedule(name).execution_info.next_run_time is None
        end_job(batch, f"{name}:job-1")
    change = models.BatchJobScheduleUpdateOptions(
        schedule=models.BatchJobScheduleConfiguration(recurrence_interval=ages)
    )
    batch.update_job_schedule("until", change)
    assert jobs_of(batch, "until") == ["until:job-1"]


def test_jobs_and_schedules_share_their_names(batch: BatchClient) -> None:
    batch.create_job(job("one"))
    assert code_of(lambda: batch.create_job_schedule(schedule("ONE"))) == (409, "JobWithSameIdExists")
    batch.create_job_schedule(schedule("two"))
    assert code_of(lambda: batch.create_job(job("two"))) == (409, "JobScheduleWithSameIdExists")
    assert code_of(lambda: batch.create_job_schedule(schedule("two"))) == (409, "JobScheduleExists")
    assert [found.id for found in batch.list_job_schedules()] == ["two"]

"""What is asked for: statistics, selections, filters, conditions; and what is never told."""

from datetime import UTC, datetime, timedelta
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
    job,
    pool,
    schedule,
    shell,
    task,
)


def test_statistics(daily: BatchClient) -> None:
    burn = "import time; end = time.process_time() + 0.2\nwhile time.process_time() < end: pass"
    limits = models.BatchTaskConstraints(max_task_retry_count=2)
    daily.create_task("daily", task("burn", f"python3 -c '{burn}'"))
    daily.create_task("daily", shell("bad", "exit 1", constraints=limits))
    daily.create_job(job("other", pool_id="nowhere"))
    daily.create_task("other", task("a"))
    completed(daily, "daily", "burn")
    completed(daily, "daily", "bad")
    assert daily.get_job("daily").job_statistics is None
    stats = daily.get_job("daily", expand=["stats"]).job_statistics
    assert (stats.succeeded_tasks_count, stats.failed_tasks_count, stats.task_retries_count) == (1, 1, 2)
    assert stats.user_cpu_time + stats.kernel_cpu_time >= timedelta(seconds=0.2)
    assert stats.wall_clock_time >= timedelta(seconds=0.2)
    assert stats.wait_time > timedelta()
    assert stats["numSucceededTasks"] == "1", "a string on the wire"
    assert stats.start_time <= stats.last_update_time
    one = daily.get_task("daily", "burn", expand=["stats"]).task_statistics
    assert timedelta(seconds=0.2) <= one.wall_clock_time <= stats.wall_clock_time
    assert one.user_cpu_time + one.kernel_cpu_time >= timedelta(seconds=0.2)
    assert daily.get_task("other", "a", expand=["stats"]).task_statistics is None
    listed = {j.id: j.job_statistics for j in daily.list_jobs(expand=["stats"])}
    assert (listed["daily"].failed_tasks_count, listed["other"].failed_tasks_count) == (1, 0)
    assert [t.task_statistics is not None for t in daily.list_tasks("daily", expand=["stats"])] == [
        True,
        True,
    ]
    assert code_of(lambda: daily.get_job("daily", expand=["tasks"])) == (400, "InvalidQueryParameterValue")


def test_statistics_of_a_schedule(batch: BatchClient, server: LocalServer, clock: Clock) -> None:
    batch.create_pool(pool())
    batch.create_job_schedule(schedule())
    for number in (1, 2):
        name = f"nightly:job-{number}"
        eventually(lambda name=name: [j for j in batch.list_jobs() if j.id == name])
        batch.create_task(name, shell("a", f"exit {number - 1}"))
        completed(batch, name, "a")
        batch.begin_terminate_job(name, {"terminateReason": "x"}, polling_interval=0).result()
        clock.shift = timedelta(days=number, minutes=1)
        server.wake()
    stats = batch.get_job_schedule("nightly", expand=["stats"]).job_schedule_statistics
    assert (stats.succeeded_tasks_count, stats.failed_tasks_count) == (1, 1)
    assert stats.url.endswith("/jobschedules/nightly")
    assert (
        next(iter(batch.list_job_schedules(expand=["stats"]))).job_schedule_statistics.failed_tasks_count == 1
    )


def test_nested_selection(daily: BatchClient) -> None:
    daily.create_task("daily", task("a"))
    completed(daily, "daily", "a")
    found = daily.get_task("daily", "a", select=["id", "executionInfo/exitCode", "executionInfo/result"])
    found.pop("odata.metadata", None)
    assert dict(found) == {"id": "a", "executionInfo": {"exitCode": 0, "result": "success"}}
    listed = next(iter(daily.list_tasks("daily", select=["executionInfo/exitCode", "executionInfo"])))
    assert "startTime" in listed["executionInfo"], "all of it was asked for too"
    wrong = (400, "InvalidQueryParameterValue")
    assert code_of(lambda: daily.get_task("daily", "a", select=["executionInfo/nope"])) == wrong


FILTERS = [
    ("tasks", "executionInfo/exitCode eq 0 and executionInfo/retryCount lt 1", 1),
    ("tasks", "nodeInfo/poolId eq 'ETL'", 1),
    ("tasks", "stateTransitionTime gt DateTime'2020-01-01T00:00:00Z' and previousState eq 'running'", 1),
    ("tasks", "creationTime lt DateTime'2020-01-01T00:00:00Z' or startswith(displayName, 'nice')", 1),
    ("tasks", "executionInfo/result eq 'Success' and not (id eq 'b')", 1),
    ("jobs", "state eq 'active' and executionInfo/poolId eq 'etl' and priority ge -5", 1),
    ("jobs", "onAllTasksComplete eq 'terminatejob' or displayName eq 'x'", 0),
    ("jobs", "executionInfo/startTime ge DateTime'2020-01-01T00:00:00.000Z'", 1),
    ("schedules", "startswith(id, 'NIGHT') and state eq 'active'", 1),
    ("schedules", "executionInfo/nextRunTime gt DateTime'2020-01-01T00:00:00Z'", 1),
    ("files", "startswith(name, 'std')", 2),
    ("files", "isDirectory eq true", 1),
]


@pytest.mark.parametrize(("kind", "text", "count"), FILTERS, ids=[text for _, text, _ in FILTERS])
def test_filters(daily: BatchClient, kind: str, text: str, count: int) -> None:
    daily.create_task("daily", task("a", display_name="nice name"))
    daily.create_job_schedule(
        schedule(
            schedule=models.BatchJobScheduleConfiguration(do_not_run_until=datetime(2100, 1, 1, tzinfo=UTC))
        )
    )
    completed(daily, "daily", "a")
    lists: dict[str, Any] = {
        "tasks": lambda: daily.list_tasks("daily", filter=text),
        "jobs": lambda: daily.list_jobs(filter=text),
        "schedules": lambda: daily.list_job_schedules(filter=text),
        "files": lambda: daily.list_task_files("daily", "a", filter=text),
    }
    assert len(list(lists[kind]())) == count


def test_conditions_hold_on_every_verb(daily: BatchClient) -> None:
    daily.create_task("daily", shell("a", "sleep 60"))
    daily.create_job_schedule(schedule())
    stale = {"etag": "0x1", "match_condition": MatchConditions.IfNotModified}
    pool_info = models.BatchPoolInfo(pool_id="etl")
    verbs = [
        lambda: daily.get_job("daily", **stale),
        lambda: daily.update_job("daily", models.BatchJobUpdateOptions(priority=1), **stale),
        lambda: daily.replace_job("daily", models.BatchJob(pool_info=pool_info), **stale),
        lambda: daily.begin_disable_job("daily", {"disableTasks": "wait"}, **stale),
        lambda: daily.begin_enable_job("daily", **stale),
        lambda: daily.begin_terminate_job("daily", {"terminateReason": "x"}, **stale),
        lambda: daily.begin_delete_job("daily", **stale),
        lambda: daily.get_task("daily", "a", **stale),
        lambda: daily.replace_task("daily", "a", models.BatchTask(), **stale),
        lambda: daily.terminate_task("daily", "a", **stale),
        lambda: daily.reactivate_task("daily", "a", **stale),
        lambda: daily.delete_task("daily", "a", **stale),
        lambda: daily.get_job_schedule("nightly", **stale),
        lambda: daily.job_schedule_exists("nightly", **stale),
        lambda: daily.update_job_schedule("nightly", models.BatchJobScheduleUpdateOptions(), **stale),
        lambda: daily.replace_job_schedule("nightly", schedule_body(), **stale),
        lambda: daily.disable_job_schedule("nightly", **stale),
        lambda: daily.enable_job_schedule("nightly", **stale),
        lambda: daily.begin_terminate_job_schedule("nightly", **stale),
        lambda: daily.begin_delete_job_schedule("nightly", **stale),
    ]
    for place, verb in enumerate(verbs):
        assert code_of(verb)[0] == 412, place
    assert daily.get_job("daily").state == "active"
    assert daily.get_job_schedule("nightly").state == "active"


def schedule_body() -> dict[str, Any]:
    return {"jobSpecification": {"poolInfo": {"poolId": "etl"}}}


def test_force_must_be_true_or_false(daily: BatchClient) -> None:
    wrong = {"params": {"force": "perhaps"}}
    assert code_of(lambda: daily.begin_delete_job("daily", **wrong)) == (400, "InvalidQueryParameterValue")


def test_passwords_are_never_echoed(batch: BatchClient) -> None:
    registry = {"username": "u", "password": "hidden", "registryServer": "r"}
    container = {"imageName": "x", "registry": registry}
    work = {"id": "a", "commandLine": "true", "containerSettings": container}
    batch.create_job({"id": "daily", "poolInfo": {"poolId": "etl"}, "jobManagerTask": work})
    batch.create_task("daily", work | {"id": "b"})
    specification = {"poolInfo": {"poolId": "etl"}, "jobManagerTask": work}
    batch.create_job_schedule({"id": "s", "schedule": {}, "jobSpecification": specification})
    found = [batch.get_job("daily"), batch.get_task("daily", "b"), batch.get_job_schedule("s")]
    found += [*batch.list_jobs(), *batch.list_tasks("daily"), *batch.list_job_schedules()]
    assert all("'u'" in str(one) and "hidden" not in str(one) for one in found)

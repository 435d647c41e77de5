"""What is done to tasks once they are there: other constraints, another try, their files removed; and what is refused."""

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
    shell,
    task,
    text_of,
)

INFINITE = "P10675199DT2H48M5.4775807S"


def test_constraints_of_a_task_are_replaced(daily: BatchClient) -> None:
    constraints = models.BatchTaskConstraints(max_task_retry_count=2, retention_time=timedelta(hours=1))
    daily.create_task("daily", shell("a", "sleep 60", constraints=constraints))
    found = in_state(lambda: daily.get_task("daily", "a"), "running")
    daily.replace_task("daily", "a", models.BatchTask(constraints=models.BatchTaskConstraints()))
    after = daily.get_task("daily", "a")
    assert after["constraints"] == {
        "maxWallClockTime": INFINITE,
        "retentionTime": "P7D",
        "maxTaskRetryCount": 0,
    }
    assert after.etag != found.etag
    stale = {"etag": found.etag, "match_condition": MatchConditions.IfNotModified}
    assert code_of(lambda: daily.replace_task("daily", "a", after, **stale)) == (412, "ConditionNotMet")
    wrong = models.BatchTask(constraints=models.BatchTaskConstraints(max_task_retry_count=-2))
    assert code_of(lambda: daily.replace_task("daily", "a", wrong)) == (400, "InvalidConstraintValue")
    assert code_of(lambda: daily.replace_task("daily", "b", after)) == (404, "TaskNotFound")
    daily.terminate_task("daily", "a")
    completed(daily, "daily", "a")
    assert code_of(lambda: daily.replace_task("daily", "a", after)) == (409, "TaskCompleted")


def test_a_new_limit_holds_for_a_running_task(daily: BatchClient, server: LocalServer, clock: Clock) -> None:
    daily.create_task("daily", shell("a", "sleep 60"))
    in_state(lambda: daily.get_task("daily", "a"), "running")
    limit = models.BatchTaskConstraints(max_wall_clock_time=timedelta(minutes=1))
    daily.replace_task("daily", "a", models.BatchTask(constraints=limit))
    clock.shift = timedelta(minutes=2)
    server.wake()
    assert completed(daily, "daily", "a").execution_info.failure_info.code == "TaskEnded"


def test_a_failed_task_runs_again_when_reactivated(daily: BatchClient) -> None:
    script = 'echo run; test -e "$AZ_BATCH_NODE_SHARED_DIR/go"'
    limits = models.BatchTaskConstraints(max_task_retry_count=1)
    daily.create_task("daily", shell("a", script, constraints=limits))
    before = completed(daily, "daily", "a")
    assert (before.execution_info.exit_code, before.execution_info.retry_count) == (1, 1)
    daily.update_job("daily", models.BatchJobUpdateOptions(max_parallel_tasks=1))
    daily.create_task("daily", shell("blocker", "sleep 60"))
    in_state(lambda: daily.get_task("daily", "blocker"), "running")
    daily.reactivate_task("daily", "a")
    waiting = daily.get_task("daily", "a")
    assert (waiting.state, waiting.previous_state) == ("active", "completed")
    assert dict(waiting.execution_info) == {"retryCount": 0, "requeueCount": 0}
    assert waiting.etag != before.etag
    assert daily.get_job_task_counts("daily").task_counts.failed == 0
    daily.create_job(job("other"))
    daily.create_task("other", shell("go", 'touch "$AZ_BATCH_NODE_SHARED_DIR/go"'))
    completed(daily, "other", "go")
    daily.terminate_task("daily", "blocker")
    assert completed(daily, "daily", "a").execution_info.exit_code == 0
    assert text_of(daily, "daily", "a") == "run\n"


def test_what_cannot_be_reactivated(daily: BatchClient, server: LocalServer, clock: Clock) -> None:
    short = models.BatchTaskConstraints(retention_time=timedelta(minutes=1))
    daily.create_task("daily", task("good", constraints=short))
    daily.create_task("daily", shell("busy", "sleep 60"))
    completed(daily, "daily", "good")
    assert code_of(lambda: daily.reactivate_task("daily", "good")) == (409, "TaskSucceeded")
    assert code_of(lambda: daily.reactivate_task("daily", "busy")) == (409, "TaskNotCompleted")
    assert code_of(lambda: daily.reactivate_task("daily", "nope")) == (404, "TaskNotFound")
    clock.shift = timedelta(minutes=2)
    server.wake()
    daily.reactivate_task("daily", "good")
    assert completed(daily, "daily", "good").execution_info.exit_code == 0
    daily.begin_terminate_job("daily", {"terminateReason": "x"}, polling_interval=0).result()
    assert code_of(lambda: daily.reactivate_task("daily", "busy")) == (409, "JobCompleted")


def test_a_terminated_waiting_task_is_reactivated(batch: BatchClient) -> None:
    batch.create_job(job())
    batch.create_task("daily", task("a"))
    batch.terminate_task("daily", "a")
    batch.reactivate_task("daily", "a")
    found = batch.get_task("daily", "a")
    assert (found.state, found.previous_state) == ("active", "completed")


def test_a_reactivated_dependency_counts_once(batch: BatchClient) -> None:
    batch.create_pool(pool())
    batch.create_job(job(uses_task_dependencies=True))
    satisfy = models.ExitConditions(default=models.ExitOptions(dependency_action="satisfy"))
    batch.create_task("daily", shell("1", "exit 1", exit_conditions=satisfy))
    completed(batch, "daily", "1")
    ranges = [models.BatchTaskIdRange(start=1, end=3)]
    batch.create_task("daily", task("last", depends_on=models.BatchTaskDependencies(task_id_ranges=ranges)))
    batch.reactivate_task("daily", "1")
    completed(batch, "daily", "1")
    batch.create_task("daily", task("2"))
    completed(batch, "daily", "2")
    assert batch.get_task("daily", "last").state == "active", "3 is not there yet"
    batch.create_task("daily", task("3"))
    completed(batch, "daily", "last")


def test_subtasks(daily: BatchClient) -> None:
    daily.create_task("daily", task("a"))
    assert list(daily.list_subtasks("daily", "a")) == []
    assert code_of(lambda: list(daily.list_subtasks("daily", "b"))) == (404, "TaskNotFound")


def test_a_multi_instance_task_of_one_instance(daily: BatchClient) -> None:
    one = models.MultiInstanceSettings(
        number_of_instances=1,
        coordination_command_line="/bin/sh -c 'echo first > \"$AZ_BATCH_TASK_SHARED_DIR/x\"'",
    )
    script = (
        'cat "$AZ_BATCH_TASK_SHARED_DIR/x"; echo $AZ_BATCH_IS_CURRENT_NODE_MASTER $AZ_BATCH_HOST_LIST; exit 3'
    )
    daily.create_task("daily", shell("a", script, multi_instance_settings=one))
    assert completed(daily, "daily", "a").execution_info.exit_code == 3
    assert text_of(daily, "daily", "a") == "first\ntrue 127.0.0.1\n"
    one.coordination_command_line = "/bin/sh -c 'exit 5'"
    daily.create_task("daily", shell("b", "echo never", multi_instance_settings=one))
    assert completed(daily, "daily", "b").execution_info.exit_code == 5
    assert text_of(daily, "daily", "b") == ""


def test_more_than_one_instance_is_refused_openly(daily: BatchClient) -> None:
    two = {"numberOfInstances": 2, "coordinationCommandLine": "true"}
    body = {"id": "a", "commandLine": "true", "multiInstanceSettings": two}
    assert code_of(lambda: daily.create_task("daily", body)) == (501, "NotImplemented")
    results = daily.create_tasks("daily", [task("ok")])
    assert results is not None
    found = daily.create_task_collection("daily", {"value": [body]})["value"][0]
    assert (found["status"], found["error"]["code"]) == ("ClientError", "NotImplemented")


@pytest.mark.parametrize("kind", ["task", "manager"])
def test_unknown_application_packages(batch: BatchClient, kind: str) -> None:
    packages = [{"applicationId": "tool", "version": "1"}]
    body = {"id": "a", "commandLine": "true", "applicationPackageReferences": packages}
    refused = (409, "InvalidApplicationPackageReferences")
    if kind == "task":
        batch.create_job(job())
        assert code_of(lambda: batch.create_task("daily", body)) == refused
    else:
        info = {"poolId": "etl"}
        assert (
            code_of(lambda: batch.create_job({"id": "j", "poolInfo": info, "jobManagerTask": body}))
            == refused
        )


def test_files_go_when_their_time_is_over(daily: BatchClient, server: LocalServer, clock: Clock) -> None:
    short = models.BatchTaskConstraints(retention_time=timedelta(minutes=1))
    daily.create_task("daily", task("short", constraints=short))
    daily.create_task("daily", task("long"))
    completed(daily, "daily", "short")
    completed(daily, "daily", "long")
    assert text_of(daily, "daily", "short") == ""
    clock.shift = timedelta(minutes=2)
    server.wake()
    assert code_of_files(daily, "short") == (409, "TaskFilesCleanedup")
    eventually(
        lambda: [path.name for path in server.state.glob("nodes/*/workitems/daily/job-1/*")] == ["long"]
    )
    assert daily.get_task("daily", "short").execution_info.result == "success"
    clock.shift = timedelta(days=8)
    server.wake()
    assert code_of_files(daily, "long") == (409, "TaskFilesCleanedup")


def code_of_files(batch: BatchClient, name: str) -> tuple[int | None, str | None]:
    files = batch.list_task_files("daily", name)
    return code_of(lambda: list(files))


def test_delete_files(daily: BatchClient) -> None:
    daily.create_task("daily", shell("a", "mkdir -p d/e empty; touch d/e/x y; ln -s y link"))
    completed(daily, "daily", "a")

    def delete(name: str, **more: Any) -> None:
        daily.delete_task_file("daily", "a", f"wd/{name}", **more)

    delete("y")
    delete("empty")
    assert code_of(lambda: delete("d")) == (409, "OperationInvalidForCurrentState")
    delete("d", recursive=True)
    assert code_of(lambda: delete("d")) == (404, "FileNotFound")
    assert code_of(lambda: delete("../../b")) == (404, "FileNotFound")
    names = [file.name for file in daily.list_task_files("daily", "a", recursive=True)]
    assert names == ["stderr.txt", "stdout.txt", "wd", "wd/link"]

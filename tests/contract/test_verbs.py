"""The remaining verbs of jobs, job schedules and tasks: replace, reactivate, subtasks, statistics, retention."""

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
    in_state,
    job,
    pool,
    shell,
    task,
    text_of,
)
from tests.contract.test_protocol import VERSION, send

INFINITE = "P10675199DT2H48M5.4775807S"


def schedule(name: str = "nightly", **more: Any) -> models.BatchJobScheduleCreateOptions:
    specification = models.BatchJobSpecification(pool_info=models.BatchPoolInfo(pool_id="etl"))
    recurrence = models.BatchJobScheduleConfiguration(recurrence_interval=timedelta(days=1))
    defaults: dict[str, Any] = {"job_specification": specification, "schedule": recurrence}
    return models.BatchJobScheduleCreateOptions(id=name, **(defaults | more))


@pytest.fixture
def daily(batch: BatchClient) -> BatchClient:
    """A pool of one node of four slots, and a job on it."""
    batch.create_pool(pool(slots=4))
    batch.create_job(job())
    return batch


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

"""Tasks through the official SDK."""

import os
from datetime import timedelta
from pathlib import Path

import pytest
from azure.batch import BatchClient, models

from batchctl.server import LocalServer
from tests.contract.conftest import (
    Clock,
    code_of,
    completed,
    eventually,
    has_output,
    in_state,
    job,
    pool,
    shell,
    task,
    text_of,
)

ACTIVE = models.BatchTaskState.ACTIVE


@pytest.fixture
def daily(batch: BatchClient) -> BatchClient:
    """A pool of one node with one slot and the job `daily` on it, whose tasks may depend on each other."""
    batch.create_pool(pool())
    batch.create_job(job(uses_task_dependencies=True))
    return batch


def test_a_new_task_echoes_defaults(batch: BatchClient) -> None:
    batch.create_job(job(constraints=models.BatchJobConstraints(max_task_retry_count=2)))
    batch.create_task("daily", task("extract", "etl extract", display_name="Extract"))
    found = batch.get_task("daily", "extract")
    assert (found.state, found.command_line, found.display_name) == (ACTIVE, "etl extract", "Extract")
    limits = {
        "maxWallClockTime": "P10675199DT2H48M5.4775807S",
        "retentionTime": "P7D",
        "maxTaskRetryCount": 2,
    }
    assert found["constraints"] == limits
    assert found["userIdentity"] == {"autoUser": {"scope": "pool", "elevationLevel": "nonadmin"}}
    assert found["executionInfo"] == {"retryCount": 0, "requeueCount": 0}
    assert found.url.endswith("/jobs/daily/tasks/extract")
    assert "nodeInfo" not in found


def test_success(daily: BatchClient) -> None:
    daily.create_task("daily", shell("a", "echo out; echo err >&2"))
    found = completed(daily, "daily", "a")
    information = found.execution_info
    assert (information.exit_code, information.result) == (0, "success")
    assert information.failure_info is None
    assert information.start_time <= information.end_time
    assert found.previous_state == models.BatchTaskState.RUNNING
    assert found.node_info.task_root_directory == "workitems/daily/job-1/a"
    assert text_of(daily, "daily", "a") == "out\n"
    assert text_of(daily, "daily", "a", "stderr.txt") == "err\n"


def test_failure(daily: BatchClient) -> None:
    daily.create_task("daily", shell("a", "exit 41"))
    information = completed(daily, "daily", "a").execution_info
    assert (information.exit_code, information.result) == (41, "failure")
    failure = information.failure_info
    assert (failure.category.lower(), failure.code) == ("usererror", "FailureExitCode")
    assert failure.message == "The task exited with an exit code representing a failure"
    assert [detail.name for detail in failure.details] == ["Message", "AdditionalErrorCode"]


def test_death_by_signal(daily: BatchClient) -> None:
    daily.create_task("daily", shell("a", "kill -KILL $$"))
    assert completed(daily, "daily", "a").execution_info.exit_code == 137


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("no-such-program --flag", "CommandProgramNotFound"),
        ("./not-here", "CommandProgramNotFound"),
        ("/etc/passwd", "CommandLaunchFailed"),
        ("echo 'open quote", "CommandLaunchFailed"),
        ("", "CommandLaunchFailed"),
    ],
)
def test_a_command_that_cannot_start(daily: BatchClient, command: str, code: str) -> None:
    daily.create_task(
        "daily", task("a", command, constraints=models.BatchTaskConstraints(max_task_retry_count=5))
    )
    information = completed(daily, "daily", "a").execution_info
    assert (information.exit_code, information.failure_info.code, information.retry_count) == (None, code, 0)


def test_there_is_no_shell(daily: BatchClient) -> None:
    daily.create_task("daily", task("a", "echo $HOME *.txt ; 'two words'"))
    completed(daily, "daily", "a")
    assert text_of(daily, "daily", "a") == "$HOME *.txt ; two words\n"


def test_what_a_process_cannot_have_fails_the_task(daily: BatchClient) -> None:
    daily.create_task(
        "daily", {"id": "a", "commandLine": "true", "containerSettings": {"imageName": "etl:1"}}
    )
    information = completed(daily, "daily", "a").execution_info
    assert information.result == "failure"
    assert "containerSettings" in information.failure_info.details[0].value


def test_environment(daily: BatchClient, server: LocalServer) -> None:
    os.environ["SECRET_OF_THE_SERVICE"] = "x"
    try:
        common = [
            models.EnvironmentSetting(name="WHO", value="job"),
            models.EnvironmentSetting(name="BOTH", value="job"),
        ]
        daily.create_job(job("env", common_environment_settings=common))
        own = [
            models.EnvironmentSetting(name="BOTH", value="task"),
            models.EnvironmentSetting(name="NOTHING"),
        ]
        daily.create_task("env", task("a", "env", environment_settings=own))
        place = completed(daily, "env", "a").node_info
    finally:
        del os.environ["SECRET_OF_THE_SERVICE"]
    seen = dict(line.split("=", 1) for line in text_of(daily, "env", "a").splitlines())
    root = str(server.state / "nodes" / place.node_id)
    folder = f"{root}/workitems/env/job-1/a"
    expected = {
        "AZ_BATCH_ACCOUNT_NAME": "devaccount",
        "AZ_BATCH_ACCOUNT_URL": server.endpoint,
        "AZ_BATCH_CERTIFICATES_DIR": f"{folder}/certs",
        "AZ_BATCH_JOB_ID": "env",
        "AZ_BATCH_NODE_ID": place.node_id,
        "AZ_BATCH_NODE_IS_DEDICATED": "true",
        "AZ_BATCH_NODE_MOUNTS_DIR": f"{root}/fsmounts",
        "AZ_BATCH_NODE_ROOT_DIR": root,
        "AZ_BATCH_NODE_SHARED_DIR": f"{root}/shared",
        "AZ_BATCH_NODE_STARTUP_DIR": f"{root}/startup",
        "AZ_BATCH_NODE_STARTUP_WORKING_DIR": f"{root}/startup/wd",
        "AZ_BATCH_POOL_ID": "etl",
        "AZ_BATCH_TASK_DIR": folder,
        "AZ_BATCH_TASK_ID": "a",
        "AZ_BATCH_TASK_RESERVED_EPHEMERAL_DISK_SPACE_BYTES": "1000000000",
        "AZ_BATCH_TASK_WORKING_DIR": f"{folder}/wd",
    }
    assert {name: value for name, value in seen.items() if name.startswith("AZ_")} == expected
    rest = {name: value for name, value in seen.items() if not name.startswith("AZ_")}
    assert (rest.pop("WHO"), rest.pop("BOTH"), rest.pop("NOTHING")) == ("job", "task", "")
    assert set(rest) <= {"PATH", "HOME", "LANG", "BATCHCTL_LOCAL_RUN"}


def test_the_directories_of_a_node(daily: BatchClient, server: LocalServer) -> None:
    daily.create_task("daily", task("a", "pwd"))
    place = completed(daily, "daily", "a").node_info
    root = server.state / "nodes" / place.node_id
    names = ["applications", "fsmounts", "shared", "startup", "volatile", "workitems"]
    assert sorted(path.name for path in root.iterdir()) == names
    assert Path(text_of(daily, "daily", "a").strip()) == root / "workitems" / "daily" / "job-1" / "a" / "wd"


def test_retries(daily: BatchClient) -> None:
    script = (
        "echo x >> $AZ_BATCH_NODE_SHARED_DIR/tries; test $(wc -l < $AZ_BATCH_NODE_SHARED_DIR/tries) -ge 3"
    )
    daily.create_task(
        "daily", shell("a", script, constraints=models.BatchTaskConstraints(max_task_retry_count=5))
    )
    information = completed(daily, "daily", "a").execution_info
    assert (information.retry_count, information.exit_code, information.result) == (2, 0, "success")
    assert information.last_retry_time is not None


def test_retries_end(daily: BatchClient) -> None:
    daily.create_task(
        "daily", task("a", "false", constraints=models.BatchTaskConstraints(max_task_retry_count=2))
    )
    information = completed(daily, "daily", "a").execution_info
    assert (information.retry_count, information.exit_code) == (2, 1)


def test_a_retry_starts_in_an_empty_folder(daily: BatchClient) -> None:
    script = "ls; touch left; test -e $AZ_BATCH_NODE_SHARED_DIR/f || { touch $AZ_BATCH_NODE_SHARED_DIR/f; exit 1; }"
    daily.create_task(
        "daily", shell("a", script, constraints=models.BatchTaskConstraints(max_task_retry_count=1))
    )
    assert completed(daily, "daily", "a").execution_info.retry_count == 1
    assert text_of(daily, "daily", "a") == ""


def test_wall_clock_limit(daily: BatchClient, server: LocalServer, clock: Clock) -> None:
    limits = models.BatchTaskConstraints(max_wall_clock_time=timedelta(minutes=5), max_task_retry_count=3)
    daily.create_task("daily", task("a", "sleep 60", constraints=limits))
    in_state(lambda: daily.get_task("daily", "a"), "running")
    clock.shift = timedelta(minutes=6)
    server.wake()
    information = completed(daily, "daily", "a").execution_info
    assert (information.failure_info.code, information.retry_count) == ("TaskEnded", 0)
    assert "maxWallClockTime" in information.failure_info.details[0].value


def test_a_task_that_ignores_sigterm_is_killed(daily: BatchClient) -> None:
    script = 'trap "" TERM; echo ready; while :; do sleep 0.05; done'
    daily.create_task("daily", shell("a", script))
    eventually(lambda: has_output(daily, "daily", "a"))
    daily.terminate_task("daily", "a")
    assert completed(daily, "daily", "a").execution_info.failure_info.code == "TaskEnded"


def test_nothing_of_a_task_outlives_it(daily: BatchClient) -> None:
    daily.create_task("daily", shell("a", "sleep 300 & echo $!"))
    completed(daily, "daily", "a")
    orphan = int(text_of(daily, "daily", "a"))
    eventually(lambda: not _is_running(orphan), "the background process ends")


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_terminate(daily: BatchClient) -> None:
    daily.create_task("daily", task("runs", "sleep 60"))
    in_state(lambda: daily.get_task("daily", "runs"), "running")
    daily.create_task("daily", task("waits"))
    daily.terminate_task("daily", "waits")
    waited = daily.get_task("daily", "waits")
    assert (waited.state, waited.previous_state) == ("completed", "active")
    assert waited.execution_info.failure_info.code == "TaskEnded"
    assert waited.execution_info.start_time is None
    daily.terminate_task("daily", "runs")
    assert completed(daily, "daily", "runs").execution_info.result == "failure"
    assert code_of(lambda: daily.terminate_task("daily", "runs")) == (409, "TaskCompleted")
    assert code_of(lambda: daily.terminate_task("daily", "nope")) == (404, "TaskNotFound")


def test_delete(daily: BatchClient, server: LocalServer) -> None:
    daily.create_task("daily", shell("a", "echo $$; exec sleep 60"))
    eventually(lambda: has_output(daily, "daily", "a"))
    pid = int(text_of(daily, "daily", "a"))
    folder = (
        server.state / "nodes" / daily.get_task("daily", "a").node_info.node_id / "workitems/daily/job-1/a"
    )
    daily.delete_task("daily", "a")
    assert code_of(lambda: daily.get_task("daily", "a")) == (404, "TaskNotFound")
    eventually(lambda: not _is_running(pid) and not folder.exists())
    daily.create_task("daily", task("a"))
    assert completed(daily, "daily", "a").execution_info.exit_code == 0
    daily.delete_task("daily", "a")
    eventually(lambda: not folder.exists())
    assert daily.get_job_task_counts("daily").task_counts.completed == 0


def test_a_new_task_of_a_deleted_ones_name_keeps_its_files(batch: BatchClient) -> None:
    batch.create_pool(pool(slots=2))
    batch.create_job(job())
    batch.create_task("daily", shell("a", 'trap "" TERM; echo old; while :; do sleep 0.02; done'))
    eventually(lambda: has_output(batch, "daily", "a"))
    batch.delete_task("daily", "a")
    batch.create_task("daily", shell("a", "echo new; sleep 0.5"))
    completed(batch, "daily", "a")
    assert text_of(batch, "daily", "a") == "new\n"
    for _ in range(10):
        batch.delete_task("daily", "a")
        batch.create_task("daily", shell("a", "echo newer"))
        completed(batch, "daily", "a")
        assert text_of(batch, "daily", "a") == "newer\n"


def test_dependencies_by_id_and_range(daily: BatchClient) -> None:
    wishes = models.BatchTaskDependencies(
        task_ids=["A"], task_id_ranges=[models.BatchTaskIdRange(start=1, end=3)]
    )
    daily.create_task("daily", task("join", depends_on=wishes))
    for name in ("a", "01", "2"):
        daily.create_task("daily", task(name))
        completed(daily, "daily", name)
    assert daily.get_task("daily", "join").state == ACTIVE
    daily.create_task("daily", task("3"))
    last = completed(daily, "daily", "3")
    join = completed(daily, "daily", "join")
    assert join.execution_info.start_time >= last.execution_info.end_time
    daily.create_task("daily", task("late", depends_on=wishes))
    completed(daily, "daily", "late")


def test_a_failed_dependency_blocks_for_ever(daily: BatchClient) -> None:
    wish = models.BatchTaskDependencies(task_ids=["bad"])
    daily.create_task("daily", task("blocked", depends_on=wish))
    daily.create_task("daily", task("bad", "false"))
    completed(daily, "daily", "bad")
    daily.create_task("daily", task("other"))
    completed(daily, "daily", "other")
    assert daily.get_task("daily", "blocked").state == ACTIVE
    daily.update_job("daily", {"onAllTasksComplete": "terminatejob"})
    assert daily.get_job("daily").state == models.BatchJobState.ACTIVE


def test_a_failure_may_satisfy(daily: BatchClient) -> None:
    satisfy = models.ExitOptions(dependency_action="satisfy")
    conditions = models.ExitConditions(
        exit_code_ranges=[models.ExitCodeRangeMapping(start=1, end=3, exit_options=satisfy)]
    )
    block = models.ExitConditions(
        exit_codes=[
            models.ExitCodeMapping(code=0, exit_options=models.ExitOptions(dependency_action="block"))
        ]
    )
    for name, command, exit_conditions in (("soft", "false", conditions), ("hard", "true", block)):
        daily.create_task("daily", task(name, command, exit_conditions=exit_conditions))
        wish = models.BatchTaskDependencies(task_ids=[name])
        daily.create_task("daily", task(f"after-{name}", depends_on=wish))
    completed(daily, "daily", "after-soft")
    completed(daily, "daily", "hard")
    assert daily.get_task("daily", "after-hard").state == ACTIVE


def test_a_failure_before_the_start_has_its_own_condition(daily: BatchClient) -> None:
    conditions = models.ExitConditions(
        pre_processing_error=models.ExitOptions(dependency_action="satisfy"),
        default=models.ExitOptions(dependency_action="block"),
    )
    daily.create_task("daily", task("broken", "no-such-program", exit_conditions=conditions))
    daily.create_task("daily", task("next", depends_on=models.BatchTaskDependencies(task_ids=["broken"])))
    completed(daily, "daily", "next")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"id": "no/slash"}, "InvalidPropertyValue"),
        ({"commandLine": None}, "MissingRequiredProperty"),
        ({"dependsOn": {"taskIdRanges": [{"start": 4, "end": 3}]}}, "InvalidPropertyValue"),
        ({"dependsOn": {"taskIds": ["x" * 64_001]}}, "TaskDependencyListTooLong"),
        ({"resourceFiles": [{"filePath": "x"}]}, "InvalidPropertyValue"),
        ({"resourceFiles": [{"httpUrl": "h", "filePath": "../x"}]}, "InvalidPropertyValue"),
        ({"constraints": {"maxTaskRetryCount": -2}}, "InvalidConstraintValue"),
        ({"requiredSlots": 0}, "InvalidPropertyValue"),
        ({"userIdentity": {"username": "etl", "autoUser": {"scope": "pool"}}}, "InvalidPropertyValue"),
        (
            {"exitConditions": {"exitCodeRanges": [{"start": 9, "end": 1, "exitOptions": {}}]}},
            "InvalidPropertyValue",
        ),
        ({"environmentSettings": [{"value": "x"}]}, "MissingRequiredProperty"),
        ({"environmentSettings": [{"name": "", "value": "x"}]}, "InvalidPropertyValue"),
        ({"environmentSettings": {"name": "x"}}, "InvalidRequestBody"),
    ],
)
def test_a_wrong_task_is_refused(daily: BatchClient, changes: dict[str, object], code: str) -> None:
    assert code_of(lambda: daily.create_task("daily", {"id": "a", "commandLine": "x"} | changes)) == (
        400,
        code,
    )
    assert list(daily.list_tasks("daily")) == []


def test_dependencies_need_a_job_that_uses_them(batch: BatchClient) -> None:
    batch.create_job(job())
    wish = models.BatchTaskDependencies(task_ids=["a"])
    refused = code_of(lambda: batch.create_task("daily", task("b", depends_on=wish)))
    assert refused == (400, "TaskDependenciesNotSpecifiedOnJob")


def test_every_task_of_a_collection_has_its_verdict(batch: BatchClient) -> None:
    batch.create_job(job())
    batch.create_task("daily", task("there"))
    wish = models.BatchTaskDependencies(task_ids=["a"])
    group = models.BatchTaskGroup(
        task_values=[task("ok"), task("OK"), task("THERE"), task("bad id"), task("wish", depends_on=wish)]
    )
    results = batch.create_task_collection("daily", group)["value"]
    verdicts = [(r["taskId"], r["status"], r["error"]["code"] if "error" in r else None) for r in results]
    assert verdicts == [
        ("ok", "Success", None),
        ("OK", "ClientError", "TaskExists"),
        ("THERE", "ClientError", "TaskExists"),
        ("bad id", "ClientError", "InvalidPropertyValue"),
        ("wish", "ClientError", "TaskDependenciesNotSpecifiedOnJob"),
    ]
    assert results[0]["location"].endswith("/jobs/daily/tasks/ok")
    assert results[1]["error"]["message"]["value"].startswith(
        "The specified task already exists.\nRequestId:"
    )
    assert sorted(found.id for found in batch.list_tasks("daily")) == ["ok", "there"]


def test_a_collection_has_limits(batch: BatchClient) -> None:
    batch.create_job(job())
    many = models.BatchTaskGroup(task_values=[task(str(number)) for number in range(101)])
    assert code_of(lambda: batch.create_task_collection("daily", many)) == (413, "RequestBodyTooLarge")
    large = models.BatchTaskGroup(task_values=[task("a", "x" * 2**20)])
    assert code_of(lambda: batch.create_task_collection("daily", large)) == (413, "RequestBodyTooLarge")
    assert list(batch.list_tasks("daily")) == []


def test_the_sdk_halves_what_is_too_large(batch: BatchClient) -> None:
    batch.create_job(job())
    results = batch.create_tasks("daily", [task(str(number), "x" * 30_000) for number in range(250)])["value"]
    assert {result["status"] for result in results} == {"Success"}
    assert len(results) == 250
    assert batch.get_job_task_counts("daily").task_counts.active == 250


def test_slots_limit_what_runs_together(batch: BatchClient) -> None:
    batch.create_pool(pool(nodes=1, slots=4))
    batch.create_job(job())
    for name, slots in (("three", 3), ("two", 2), ("one", 1), ("impossible", 5)):
        batch.create_task("daily", task(name, "sleep 60", required_slots=slots))
    for name in ("three", "one"):
        in_state(lambda name=name: batch.get_task("daily", name), "running")
    assert {batch.get_task("daily", name).state for name in ("two", "impossible")} == {ACTIVE}
    batch.terminate_task("daily", "three")
    in_state(lambda: batch.get_task("daily", "two"), "running")
    assert batch.get_task("daily", "impossible").state == ACTIVE


def test_max_parallel_tasks(batch: BatchClient) -> None:
    batch.create_pool(pool(nodes=1, slots=8))
    batch.create_job(job(max_parallel_tasks=2))
    batch.create_tasks("daily", [task(str(number), "sleep 60") for number in range(4)])
    eventually(lambda: batch.get_job_task_counts("daily").task_counts.running == 2)
    batch.update_job("daily", {"maxParallelTasks": 3})
    eventually(lambda: batch.get_job_task_counts("daily").task_counts.running == 3)


def test_priority_goes_first(batch: BatchClient) -> None:
    for name, priority in (("low", -5), ("high", 5), ("middle", 0)):
        batch.create_job(job(name, priority=priority))
        batch.create_task(name, task("a"))
    batch.create_pool(pool(nodes=1))
    ends = {name: completed(batch, name, "a").execution_info.end_time for name in ("low", "high", "middle")}
    assert sorted(ends, key=lambda name: ends[name]) == ["high", "middle", "low"]


def test_a_wished_node(batch: BatchClient) -> None:
    batch.create_pool(pool(nodes=3, slots=4))
    batch.create_job(job())
    eventually(lambda: len(list(batch.list_nodes("etl"))) == 3)
    wished = list(batch.list_nodes("etl"))[-1]
    for name in ("a", "b"):
        wish = models.BatchAffinityInfo(affinity_id=wished.affinity_id)
        batch.create_task("daily", task(name, affinity_info=wish))
        assert completed(batch, "daily", name).node_info.node_id == wished.id

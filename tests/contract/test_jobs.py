"""Jobs through the official SDK."""

import re

import pytest
from azure.batch import BatchClient, models
from azure.core import MatchConditions
from azure.core.exceptions import ResourceModifiedError

from tests.contract.conftest import code_of, completed, eventually, in_state, job, pool, shell, task

TERMINATE = {"terminateReason": "enough"}  # 15.1.0 cannot terminate a job without options


def manager(command: str = "true", **more: object) -> models.BatchJobManagerTask:
    return models.BatchJobManagerTask(id="manager", command_line=command, **more)


def auto(**more: object) -> models.BatchPoolInfo:
    specification = models.BatchPoolSpecification(vm_size="x", target_dedicated_nodes=1)
    option = more.pop("lifetime", "job")
    return models.BatchPoolInfo(
        auto_pool_specification=models.BatchAutoPoolSpecification(
            pool_lifetime_option=option, pool=specification, **more
        )
    )


def test_defaults_are_echoed(batch: BatchClient) -> None:
    batch.create_job(job())
    found = batch.get_job("daily")
    assert found.state == models.BatchJobState.ACTIVE
    assert (found.priority, found.max_parallel_tasks, found.uses_task_dependencies) == (0, -1, False)
    assert found["constraints"] == {"maxWallClockTime": "P10675199DT2H48M5.4775807S", "maxTaskRetryCount": 0}
    assert found["onAllTasksComplete"] == found["onTaskFailure"] == "noaction"
    assert found.execution_info.pool_id == "etl"
    assert found.url.endswith("/jobs/daily")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"priority": 1001}, "OutOfRangePriority"),
        ({"maxParallelTasks": 0}, "InvalidPropertyValue"),
        ({"constraints": {"maxTaskRetryCount": -2}}, "InvalidConstraintValue"),
        ({"constraints": {"maxWallClockTime": "PT0S"}}, "InvalidConstraintValue"),
        ({"poolInfo": {}}, "InvalidPropertyValue"),
        ({"poolInfo": None}, "MissingRequiredProperty"),
        (
            {"poolInfo": {"poolId": ""}},
            "InvalidPropertyValue",
        ),
        (
            {"poolInfo": {"poolId": "a", "autoPoolSpecification": {"poolLifetimeOption": "job"}}},
            "InvalidPropertyValue",
        ),
        ({"poolInfo": {"autoPoolSpecification": {"poolLifetimeOption": "job"}}}, "MissingRequiredProperty"),
        ({"jobManagerTask": {"id": "m"}}, "MissingRequiredProperty"),
        ({"commonEnvironmentSettings": [{"name": "", "value": "x"}]}, "InvalidPropertyValue"),
        ({"jobManagerTask": {"id": "m m", "commandLine": "true"}}, "InvalidPropertyValue"),
    ],
)
def test_a_wrong_job_is_refused(batch: BatchClient, changes: dict[str, object], code: str) -> None:
    body = {"id": "daily", "poolInfo": {"poolId": "etl"}} | changes
    assert code_of(lambda: batch.create_job(body)) == (400, code)


def test_ids_are_unique_in_any_case(batch: BatchClient) -> None:
    batch.create_job(job("Daily"))
    assert code_of(lambda: batch.create_job(job("daily"))) == (409, "JobExists")
    assert code_of(lambda: batch.get_job("other")) == (404, "JobNotFound")


def test_terminate_kills_what_runs_and_leaves_what_waits(batch: BatchClient) -> None:
    batch.create_pool(pool(nodes=1))
    batch.create_job(job())
    batch.create_task("daily", task("runs", "sleep 60"))
    batch.create_task("daily", task("waits", "sleep 60"))
    in_state(lambda: batch.get_task("daily", "runs"), "running")
    assert batch.begin_terminate_job("daily", TERMINATE, polling_interval=0).result() is None
    found = batch.get_job("daily")
    assert (found.state, found.execution_info.termination_reason) == (
        models.BatchJobState.COMPLETED,
        "enough",
    )
    assert found.execution_info.end_time is not None
    assert found.previous_state == models.BatchJobState.TERMINATING
    ended = batch.get_task("daily", "runs")
    assert (ended.state, ended.execution_info.failure_info.code) == ("completed", "TaskEnded")
    assert batch.get_task("daily", "waits").state == models.BatchTaskState.ACTIVE
    assert code_of(lambda: batch.create_task("daily", task("late"))) == (409, "JobCompleted")
    assert code_of(lambda: batch.begin_terminate_job("daily", TERMINATE)) == (409, "JobCompleted")
    assert code_of(lambda: batch.update_job("daily", {"priority": 1})) == (409, "JobCompleted")


def test_all_tasks_complete_ends_the_job_once_asked_to(batch: BatchClient) -> None:
    batch.create_pool(pool())
    batch.create_job(job())
    batch.create_tasks("daily", [task("a"), task("b", "false")])
    for name in ("a", "b"):
        completed(batch, "daily", name)
    assert batch.get_job("daily").state == models.BatchJobState.ACTIVE
    batch.update_job("daily", models.BatchJobUpdateOptions(all_tasks_complete_mode="terminatejob"))
    ended = in_state(lambda: batch.get_job("daily"), "completed")
    assert ended.execution_info.termination_reason == "AllTasksComplete"


def test_an_empty_job_that_ends_with_its_tasks_ends_at_once(batch: BatchClient) -> None:
    batch.create_job(job(all_tasks_complete_mode="terminatejob"))
    in_state(lambda: batch.get_job("daily"), "completed")
    batch.create_job(job("later", all_tasks_complete_mode="noaction"))
    batch.update_job("later", {"onAllTasksComplete": "TerminateJob"})
    in_state(lambda: batch.get_job("later"), "completed")


def test_terminatejob_cannot_be_taken_back(batch: BatchClient) -> None:
    batch.create_job(job())
    batch.create_task("daily", task("waits"))
    batch.update_job("daily", {"onAllTasksComplete": "terminatejob"})
    change = {"onAllTasksComplete": "noaction"}
    assert code_of(lambda: batch.update_job("daily", change)) == (400, "InvalidPropertyValue")


def test_patch_replaces_whole_properties(batch: BatchClient) -> None:
    batch.create_job(job(constraints=models.BatchJobConstraints(max_task_retry_count=3)))
    before = batch.get_job("daily")
    batch.update_job("daily", {"constraints": {"maxWallClockTime": "PT01M00S"}, "priority": "5"})
    after = batch.get_job("daily")
    assert after["constraints"] == {"maxWallClockTime": "PT1M", "maxTaskRetryCount": 0}
    assert after.priority == 5
    assert after.etag != before.etag
    assert code_of(lambda: batch.update_job("daily", {"poolInfo": {"poolId": "x"}}))[0] == 409


def test_a_failed_task_ends_the_job_when_told_to(batch: BatchClient) -> None:
    batch.create_pool(pool(slots=4))
    batch.create_job(job(task_failure_mode="performexitoptionsjobaction"))
    batch.create_tasks("daily", [task("long", "sleep 60")])
    in_state(lambda: batch.get_task("daily", "long"), "running")
    batch.create_task("daily", shell("bad", "exit 4"))
    ended = in_state(lambda: batch.get_job("daily"), "completed")
    assert ended.execution_info.termination_reason == "TaskFailed"
    assert batch.get_task("daily", "bad").execution_info.exit_code == 4
    assert batch.get_task("daily", "long").execution_info.failure_info.code == "TaskEnded"


def test_exit_conditions_choose_the_job_action(batch: BatchClient) -> None:
    batch.create_pool(pool())
    batch.create_job(job(task_failure_mode="performexitoptionsjobaction"))
    none = models.ExitOptions(job_action="none")
    conditions = models.ExitConditions(
        exit_codes=[models.ExitCodeMapping(code=4, exit_options=none)],
        exit_code_ranges=[
            models.ExitCodeRangeMapping(start=5, end=9, exit_options=models.ExitOptions(job_action="disable"))
        ],
    )
    batch.create_task("daily", shell("tolerated", "exit 4", exit_conditions=conditions))
    completed(batch, "daily", "tolerated")
    assert batch.get_job("daily").state == models.BatchJobState.ACTIVE
    batch.create_task("daily", shell("pausing", "exit 7", exit_conditions=conditions))
    in_state(lambda: batch.get_job("daily"), "disabled")


def test_a_job_action_needs_a_job_that_acts(batch: BatchClient) -> None:
    batch.create_job(job())
    conditions = models.ExitConditions(default=models.ExitOptions(job_action="terminate"))
    action = lambda: batch.create_task("daily", task("a", exit_conditions=conditions))  # noqa: E731
    assert code_of(action) == (400, "InvalidPropertyValue")


def test_the_manager_ends_its_job(batch: BatchClient) -> None:
    batch.create_pool(pool(slots=2, nodes=2))
    script = "while [ ! -e $AZ_BATCH_NODE_SHARED_DIR/../go ]; do sleep 0.02; done"
    batch.create_job(job(job_manager_task=manager(f"/bin/sh -c '{script}'")))
    batch.create_task("daily", task("long", "sleep 60"))
    for name in ("manager", "long"):
        in_state(lambda name=name: batch.get_task("daily", name), "running")
    found = batch.get_job("daily").job_manager_task
    assert (found.run_exclusive, found.kill_job_on_completion, found.required_slots) == (True, True, 1)
    nodes = {batch.get_task("daily", name).node_info.node_id for name in ("manager", "long")}
    assert len(nodes) == 2, "the manager has a node for itself"
    batch.terminate_task("daily", "manager")
    ended = in_state(lambda: batch.get_job("daily"), "completed")
    assert ended.execution_info.termination_reason == "JMComplete"
    assert batch.get_task("daily", "long").execution_info.failure_info.code == "TaskEnded"


def test_a_manager_that_only_adds_tasks(batch: BatchClient) -> None:
    batch.create_pool(pool())
    more = {"kill_job_on_completion": False}
    batch.create_job(job(job_manager_task=manager(**more), all_tasks_complete_mode="terminatejob"))
    ended = in_state(lambda: batch.get_job("daily"), "completed")
    assert ended.execution_info.termination_reason == "AllTasksComplete"


def test_wall_clock_limit_of_a_job(batch: BatchClient, server: object, clock: object) -> None:
    from datetime import timedelta

    limits = models.BatchJobConstraints(max_wall_clock_time=timedelta(hours=1))
    batch.create_job(job(constraints=limits))
    clock.shift = timedelta(minutes=59)  # type: ignore[attr-defined]
    server.wake()  # type: ignore[attr-defined]
    assert batch.get_job("daily").state == models.BatchJobState.ACTIVE
    clock.shift = timedelta(minutes=61)  # type: ignore[attr-defined]
    server.wake()  # type: ignore[attr-defined]
    ended = in_state(lambda: batch.get_job("daily"), "completed")
    assert ended.execution_info.termination_reason == "MaxWallClockTimeExpiry"


def test_disable_and_enable(batch: BatchClient) -> None:
    batch.create_pool(pool())
    batch.create_job(job())
    batch.create_task("daily", task("long", "sleep 60"))
    in_state(lambda: batch.get_task("daily", "long"), "running")
    batch.begin_disable_job(
        "daily", models.BatchJobDisableOptions(disable_tasks="requeue"), polling_interval=0
    ).result()
    assert batch.get_job("daily").state == models.BatchJobState.DISABLED
    assert batch.get_task("daily", "long").state == models.BatchTaskState.ACTIVE
    again = models.BatchJobDisableOptions(disable_tasks="wait")
    assert code_of(lambda: batch.begin_disable_job("daily", again)) == (409, "JobDisabled")
    batch.begin_enable_job("daily", polling_interval=0).result()
    assert batch.get_job("daily").state == models.BatchJobState.ACTIVE
    in_state(lambda: batch.get_task("daily", "long"), "running")


def test_delete_removes_tasks_and_files(batch: BatchClient, server: object) -> None:
    batch.create_pool(pool())
    batch.create_job(job())
    batch.create_task("daily", task("done"))
    batch.create_task("daily", task("long", "sleep 60"))
    folder = completed(batch, "daily", "done").node_info
    path = server.state / "nodes" / folder.node_id / "workitems" / "daily"  # type: ignore[attr-defined]
    assert path.is_dir()
    batch.begin_delete_job("daily", polling_interval=0).result()
    assert code_of(lambda: batch.get_job("daily")) == (404, "JobNotFound")
    eventually(lambda: not path.exists())
    batch.create_job(job())
    assert list(batch.list_tasks("daily")) == []


def test_task_counts(batch: BatchClient) -> None:
    batch.create_pool(pool(slots=4))
    batch.create_job(job(uses_task_dependencies=True))
    wait = models.BatchTaskDependencies(task_ids=["none"])
    tasks = [
        task("ok", required_slots=2),
        task("bad", "false"),
        task("blocked", depends_on=wait, required_slots=3),
    ]
    batch.create_tasks("daily", tasks)
    for name in ("ok", "bad"):
        completed(batch, "daily", name)
    counts = batch.get_job_task_counts("daily")
    tasks_seen, slots = counts.task_counts, counts.task_slot_counts
    assert (tasks_seen.active, tasks_seen.running, tasks_seen.completed) == (1, 0, 2)
    assert (tasks_seen.succeeded, tasks_seen.failed) == (1, 1)
    assert (slots.active, slots.succeeded, slots.failed, slots.completed) == (3, 2, 1, 3)


def test_an_auto_pool_lives_with_its_job(batch: BatchClient) -> None:
    batch.create_job(models.BatchJobCreateOptions(id="daily", pool_info=auto(auto_pool_id_prefix="etl")))
    found = batch.get_job("daily")
    assert "poolId" not in found["poolInfo"]
    name = found.execution_info.pool_id
    assert re.fullmatch(r"etl_[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}", name)
    batch.create_task("daily", task("a"))
    assert completed(batch, "daily", "a").node_info.pool_id == name
    batch.begin_terminate_job("daily", TERMINATE, polling_interval=0).result()
    eventually(lambda: not list(batch.list_pools()))


def test_an_auto_pool_may_be_kept(batch: BatchClient) -> None:
    batch.create_job(models.BatchJobCreateOptions(id="daily", pool_info=auto(keep_alive=True)))
    batch.begin_terminate_job("daily", TERMINATE, polling_interval=0).result()
    assert [found.state for found in batch.list_pools()] == [models.BatchPoolState.ACTIVE]


def test_a_pool_for_a_schedule_needs_a_schedule(batch: BatchClient) -> None:
    body = models.BatchJobCreateOptions(id="daily", pool_info=auto(lifetime="jobschedule"))
    assert code_of(lambda: batch.create_job(body)) == (400, "InvalidPropertyValue")


def test_a_job_waits_for_its_pool(batch: BatchClient) -> None:
    batch.create_job(job(pool_id="Later"))
    batch.create_task("daily", task("a"))
    assert batch.get_task("daily", "a").state == models.BatchTaskState.ACTIVE
    batch.create_pool(pool("later"))
    completed(batch, "daily", "a")


def test_a_stale_etag_changes_nothing(batch: BatchClient) -> None:
    batch.create_job(job())
    stale = batch.get_job("daily").etag
    batch.update_job("daily", {"priority": 1})
    condition = {"etag": stale, "match_condition": MatchConditions.IfNotModified}
    with pytest.raises(ResourceModifiedError) as caught:
        batch.update_job("daily", {"priority": 2}, **condition)
    assert (caught.value.status_code, caught.value.model.code) == (412, "ConditionNotMet")
    assert batch.get_job("daily").priority == 1

"""Job preparation and release tasks through the official SDK."""

from datetime import timedelta
from typing import Any

import pytest
from azure.batch import BatchClient, models

from batchctl.server import LocalServer
from tests.contract.conftest import (
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


def prepared(name: str = "daily", script: str = "true", **more: Any) -> models.BatchJobCreateOptions:
    preparation = {"command_line": f"/bin/sh -c '{script}'"} | more.pop("preparation", {})
    return job(name, job_preparation_task=models.BatchJobPreparationTask(**preparation), **more)


def release(script: str = "true", **more: Any) -> models.BatchJobReleaseTask:
    return models.BatchJobReleaseTask(command_line=f"/bin/sh -c '{script}'", **more)


def statuses(batch: BatchClient, name: str = "daily") -> list[Any]:
    return list(batch.list_job_preparation_and_release_task_status(name))


def test_defaults_are_echoed(batch: BatchClient) -> None:
    batch.create_job(prepared(job_release_task=release()))
    found = batch.get_job("daily")
    first, last = found.job_preparation_task, found.job_release_task
    assert (first.id, first.wait_for_success, first.rerun_on_node_reboot_after_success) == (
        "jobpreparation",
        True,
        True,
    )
    assert first["constraints"]["retentionTime"] == "P7D"
    assert (last.id, last["maxWallClockTime"], last["retentionTime"]) == ("jobrelease", "PT15M", "P7D")


def test_once_per_node_before_the_first_task(batch: BatchClient, server: LocalServer) -> None:
    batch.create_pool(pool(nodes=2, slots=2))
    batch.create_job(
        prepared(script='echo x >> "$AZ_BATCH_NODE_SHARED_DIR/prepared"', job_release_task=release())
    )
    assert statuses(batch) == []
    for number in range(8):
        batch.create_task("daily", shell(str(number), 'test -s "$AZ_BATCH_NODE_SHARED_DIR/prepared"'))
    for number in range(8):
        assert completed(batch, "daily", str(number)).execution_info.exit_code == 0
    found = statuses(batch)
    assert len({one.node_id for one in found}) == 2
    for one in found:
        info = one.job_preparation_task_execution_info
        assert (info.state, info.exit_code, info.result, info.retry_count) == ("completed", 0, "success", 0)
        assert info.task_root_directory == "workitems/daily/job-1/jobpreparation"
        assert one.node_url.endswith(f"/pools/etl/nodes/{one.node_id}")
        assert one.job_release_task_execution_info is None
        assert (server.state / "nodes" / one.node_id / "shared" / "prepared").read_text() == "x\n"


def test_tasks_wait_as_preparing_and_know_the_directory(batch: BatchClient, server: LocalServer) -> None:
    batch.create_pool(pool(slots=2))
    batch.create_job(prepared(script="echo data > x; while ! test -e go; do sleep 0.01; done"))
    batch.create_task(
        "daily", shell("a", 'cat "$AZ_BATCH_JOB_PREP_WORKING_DIR/x"; echo $AZ_BATCH_JOB_PREP_DIR')
    )
    batch.create_task("daily", task("b"))
    found = in_state(lambda: batch.get_task("daily", "a"), "preparing")
    in_state(lambda: batch.get_task("daily", "b"), "preparing")
    assert found.node_info.node_id
    assert found.execution_info.start_time is None
    assert batch.get_job_task_counts("daily").task_counts.running == 2
    folder = server.state / "nodes" / found.node_info.node_id / "workitems/daily/job-1/jobpreparation"
    eventually(lambda: (folder / "wd" / "x").exists())
    (folder / "wd" / "go").touch()
    assert completed(batch, "daily", "a").previous_state == "running"
    assert completed(batch, "daily", "b").execution_info.exit_code == 0
    assert text_of(batch, "daily", "a") == f"data\n{folder}\n"


def test_a_failed_preparation_bars_the_node_for_this_job_only(batch: BatchClient) -> None:
    batch.create_pool(pool())
    constraints = models.BatchTaskConstraints(max_task_retry_count=1)
    batch.create_job(prepared(script="exit 3", preparation={"constraints": constraints}))
    batch.create_task("daily", task("a"))
    info = eventually(
        lambda: next(
            (
                one.job_preparation_task_execution_info
                for one in statuses(batch)
                if one.job_preparation_task_execution_info.state == "completed"
            ),
            None,
        )
    )
    assert (info.exit_code, info.result, info.retry_count) == (3, "failure", 1)
    assert info.failure_info.code == "FailureExitCode"
    found = batch.get_task("daily", "a")
    assert (found.state, found.previous_state) == ("active", "preparing")
    batch.create_job(job("other"))
    batch.create_task("other", task("a"))
    assert completed(batch, "other", "a").execution_info.exit_code == 0
    assert batch.get_task("daily", "a").state == "active"
    batch.begin_resize_pool("etl", {"targetDedicatedNodes": 2})
    eventually(lambda: len(statuses(batch)) == 2)


def test_a_preparation_nobody_waits_for(batch: BatchClient) -> None:
    batch.create_pool(pool())
    batch.create_job(prepared(script="sleep 60", preparation={"wait_for_success": False}))
    batch.create_task("daily", task("a"))
    assert completed(batch, "daily", "a").execution_info.exit_code == 0
    assert statuses(batch)[0].job_preparation_task_execution_info.state == "running"


@pytest.mark.parametrize("how", ["terminate", "delete"])
def test_release_runs_where_the_job_was_prepared(batch: BatchClient, server: LocalServer, how: str) -> None:
    batch.create_pool(pool(nodes=2))
    script = 'cp "$AZ_BATCH_JOB_PREP_WORKING_DIR/x" "$AZ_BATCH_NODE_SHARED_DIR/released"'
    batch.create_job(prepared(script="echo p > x", job_release_task=release(script)))
    batch.create_task("daily", shell("a", "sleep 60"))
    node = in_state(lambda: batch.get_task("daily", "a"), "running").node_info.node_id
    if how == "terminate":
        batch.begin_terminate_job("daily", {"terminateReason": "done"})
        in_state(lambda: batch.get_job("daily"), "completed")
        info = statuses(batch)[0].job_release_task_execution_info
        assert (info.state, info.exit_code, info.result) == ("completed", 0, "success")
        assert batch.get_task("daily", "a").execution_info.failure_info.code == "TaskEnded"
    else:
        batch.begin_delete_job("daily")
        eventually(lambda: not list(batch.list_jobs()))
    found = [path.parent.parent.name for path in server.state.glob("nodes/*/shared/released")]
    assert found == [node]


def test_the_job_waits_for_its_release_and_survives_its_failure(batch: BatchClient) -> None:
    batch.create_pool(pool())
    script = "while ! test -e $AZ_BATCH_NODE_SHARED_DIR/go; do sleep 0.01; done; exit 4"
    batch.create_job(prepared(job_release_task=release(script)))
    batch.create_task("daily", task("a"))
    completed(batch, "daily", "a")
    batch.begin_terminate_job("daily", {"terminateReason": "done"})
    eventually(lambda: statuses(batch)[0].job_release_task_execution_info)
    assert batch.get_job("daily").state == "terminating"
    # It takes no slot: another job's task runs meanwhile.
    batch.create_job(job("other"))
    batch.create_task("other", shell("a", "touch $AZ_BATCH_NODE_SHARED_DIR/go"))
    in_state(lambda: batch.get_job("daily"), "completed")
    info = statuses(batch)[0].job_release_task_execution_info
    assert (info.exit_code, info.result) == (4, "failure")


def test_force_leaves_the_release_out(batch: BatchClient) -> None:
    batch.create_pool(pool())
    batch.create_job(prepared(job_release_task=release("sleep 60")))
    batch.create_task("daily", task("a"))
    completed(batch, "daily", "a")
    batch.begin_terminate_job("daily", {"terminateReason": "done"}, force=True)
    in_state(lambda: batch.get_job("daily"), "completed")
    assert statuses(batch)[0].job_release_task_execution_info is None


def test_a_task_deleted_or_ended_while_it_waits(batch: BatchClient) -> None:
    batch.create_pool(pool(slots=3))
    batch.create_job(prepared(script="sleep 60"))
    for name in "abc":
        batch.create_task("daily", task(name))
        in_state(lambda name=name: batch.get_task("daily", name), "preparing")
    batch.terminate_task("daily", "a")
    assert completed(batch, "daily", "a").execution_info.failure_info.code == "TaskEnded"
    batch.delete_task("daily", "b")
    batch.begin_disable_job("daily", {"disableTasks": "requeue"})
    in_state(lambda: batch.get_job("daily"), "disabled")
    found = batch.get_task("daily", "c")
    assert (found.state, found.execution_info.requeue_count) == ("active", 1)
    assert statuses(batch) == [], "it was cut off, so it has not run"
    batch.begin_enable_job("daily")
    in_state(lambda: batch.get_task("daily", "c"), "preparing")


def test_a_reboot_prepares_again_if_wished(batch: BatchClient, server: LocalServer) -> None:
    batch.create_pool(pool())
    script = 'echo x >> "$AZ_BATCH_NODE_SHARED_DIR/$AZ_BATCH_JOB_ID"'
    batch.create_job(prepared("again", script=script))
    batch.create_job(
        prepared("once", script=script, preparation={"rerun_on_node_reboot_after_success": False})
    )
    for name in ("again", "once"):
        batch.create_task(name, task("a"))
        completed(batch, name, "a")
    node = next(iter(batch.list_nodes("etl"))).id
    batch.begin_reboot_node("etl", node, {"nodeRebootOption": "requeue"})
    in_state(lambda: batch.get_node("etl", node), "idle")
    for name in ("again", "once"):
        batch.create_task(name, task("b"))
        completed(batch, name, "b")
    shared = server.state / "nodes" / node / "shared"
    assert (shared / "again").read_text() == "x\nx\n"
    assert (shared / "once").read_text() == "x\n"


def test_a_restart_of_the_service_begins_the_wait_again(batch: BatchClient, server: LocalServer) -> None:
    batch.create_pool(pool())
    batch.create_job(prepared(script="test -e $AZ_BATCH_NODE_SHARED_DIR/go || sleep 60"))
    batch.create_task("daily", task("a"))
    node = in_state(lambda: batch.get_task("daily", "a"), "preparing").node_info.node_id
    server.stop()
    (server.state / "nodes" / node / "shared" / "go").touch()
    server.start()
    assert completed(batch, "daily", "a").execution_info.exit_code == 0


def test_what_a_preparation_leaves_running_stays(batch: BatchClient) -> None:
    """Unlike what a task leaves: that has been ended when the last task looks."""
    batch.create_pool(pool())
    leave = 'setsid sh -c "echo \\$\\$ > $AZ_BATCH_NODE_SHARED_DIR/%s; exec sleep 60" & '
    leave += "while ! test -s $AZ_BATCH_NODE_SHARED_DIR/%s; do sleep 0.01; done"
    batch.create_job(prepared(script=leave.replace("%s", "prepared")))
    batch.create_task("daily", shell("a", leave.replace("%s", "task")))
    completed(batch, "daily", "a")
    script = "cd $AZ_BATCH_NODE_SHARED_DIR; while kill -0 $(cat task); do sleep 0.01; done; kill -0 $(cat prepared)"
    batch.create_task("daily", shell("b", script))
    assert completed(batch, "daily", "b").execution_info.exit_code == 0


def test_the_list(batch: BatchClient) -> None:
    batch.create_pool(pool(nodes=3))
    batch.create_job(prepared())
    for number in range(3):
        batch.create_task("daily", shell(str(number), "sleep 60"))
        in_state(lambda number=number: batch.get_task("daily", str(number)), "running")
    listed = batch.list_job_preparation_and_release_task_status
    assert len(list(listed("daily", max_results=1))) == 3
    one = statuses(batch)[1].node_id
    assert [found.node_id for found in listed("daily", filter=f"nodeId eq '{one}'")] == [one]
    part = next(iter(listed("daily", select=["nodeId", "jobPreparationTaskExecutionInfo/exitCode"])))
    assert dict(part) == {"nodeId": part.node_id, "jobPreparationTaskExecutionInfo": {"exitCode": 0}}


def test_refusals(batch: BatchClient) -> None:
    batch.create_job(job("plain"))
    missing = (409, "JobPreparationTaskOrReleaseTaskNotSpecified")
    assert code_of(lambda: statuses(batch, "plain")) == missing
    assert code_of(lambda: statuses(batch, "nope")) == (404, "JobNotFound")
    assert code_of(lambda: batch.create_job(job(job_release_task=release()))) == (400, "InvalidPropertyValue")
    long = release(max_wall_clock_time=timedelta(minutes=16))
    assert code_of(lambda: batch.create_job(prepared(job_release_task=long))) == (
        400,
        "InvalidConstraintValue",
    )
    batch.create_job(prepared(preparation={"id": "before"}, job_release_task=release(id="after")))
    for name, code in (
        ("BEFORE", "TaskIdSameAsJobPreparationTask"),
        ("after", "TaskIdSameAsJobReleaseTask"),
    ):
        assert code_of(lambda name=name: batch.create_task("daily", task(name))) == (409, code)
    manager = models.BatchJobManagerTask(id="jobpreparation", command_line="true")
    assert code_of(lambda: batch.create_job(prepared("x", job_manager_task=manager)))[0] == 409

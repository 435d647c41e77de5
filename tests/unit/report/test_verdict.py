"""Success is judged from the tasks and the conductor, never from the job's state alone."""

from typing import Any

import pytest

from batchctl.report import RunState, judge, judge_counts, run_report
from batchctl.report.verdict import failure_text

DONE = {
    "state": "completed",
    "executionInfo": {"exitCode": 0, "result": "success", "endTime": "2026-01-01T00:00:02Z"},
}


def job(
    state: str = "completed", reason: str = "AllTasksComplete", tasks: int | None = None, **more: Any
) -> dict[str, Any]:
    metadata = [{"name": "batchctl:pipeline", "value": "p"}]
    if tasks is not None:
        metadata.append({"name": "batchctl:tasks", "value": str(tasks)})
    return {
        "id": "r",
        "state": state,
        "executionInfo": {"terminateReason": reason},
        "metadata": metadata,
        **more,
    }


def task(id: str, **more: Any) -> dict[str, Any]:
    return {"id": id, **DONE, **more}


def failed(
    id: str, code: int | None = 3, at: str = "2026-01-01T00:00:01Z", failure: str = "FailureExitCode"
) -> dict[str, Any]:
    info: dict[str, Any] = {
        "result": "failure",
        "endTime": at,
        "failureInfo": {"code": failure, "category": "UserError"},
    }
    if code is not None:
        info["exitCode"] = code
    return task(id, executionInfo=info)


def waiting(id: str) -> dict[str, Any]:
    return task(id, state="active", executionInfo={"retryCount": 0})


def skipped() -> dict[str, Any]:
    found = job(jobManagerTask={"id": "conductor"})
    found["metadata"].append({"name": "batchctl:skipped", "value": "p-1 was still going"})
    return found


CONDUCTOR = task("conductor")


@pytest.mark.parametrize(
    ("the_job", "tasks", "state", "why"),
    [
        (job("active", ""), [], RunState.RUNNING, ""),
        (job("active", ""), [failed("a")], RunState.RUNNING, ""),
        (job("terminating", "TaskFailed"), [failed("a")], RunState.RUNNING, "ending"),
        (job("active", "", tasks=3, onAllTasksComplete="noaction"), [task("a")], RunState.RUNNING,
         "1 of its 3 tasks were added: is it still being submitted? if not, batchctl cancel r"),
        (job(reason="MaxWallClockTimeExpiry"), [failed("a", 143, failure="TaskEnded")], RunState.FAILED,
         "it took longer than max_wall_clock_time"),
        (job(reason="SubmissionInterrupted", tasks=9), [failed("a", 143, failure="TaskEnded")], RunState.FAILED,
         "its submission was interrupted: 1 of its 9 tasks were added"),
        (job(reason="TaskFailed"), [failed("a", 143, failure="MaxWallClockTimeExceeded")], RunState.FAILED,
         "a failed: MaxWallClockTimeExceeded"),
        (job(tasks=1), [task("a")], RunState.SUCCEEDED, ""),
        (job(), [], RunState.FAILED, "no tasks were added to it"),
        (job(), [CONDUCTOR], RunState.FAILED, "no tasks were added to it"),
        (job(tasks=2), [CONDUCTOR, task("a")], RunState.FAILED, "only 1 of its 2 tasks were added"),
        (job(tasks=1), [CONDUCTOR, task("a")], RunState.SUCCEEDED, ""),
        (job(), [failed("conductor", 5), task("a")], RunState.FAILED, "conductor failed: exit code 5"),
        (skipped(), [CONDUCTOR], RunState.SKIPPED, "p-1 was still going"),
        (job(reason="ConductorFailed"), [failed("conductor", None, failure="TaskEnded")], RunState.FAILED,
         "its conductor could not add its tasks"),
        (job(reason="TaskFailed"), [failed("b", at="2026-01-01T00:00:09Z"), failed("a"), waiting("c")], RunState.FAILED,
         "a failed: exit code 3"),
        (job(reason="TaskFailed"), [failed("z", -9, at="2026-01-01T00:00:00Z", failure="TaskEnded"), failed("a")], RunState.FAILED,
         "a failed: exit code 3"),
        (job(reason="UserTerminate"), [failed("a", None, failure="TaskEnded"), waiting("b")], RunState.CANCELLED,
         "a user ended it"),
        (job(reason="MaxWallClockTimeExpiry"), [waiting("a")], RunState.FAILED, "it took longer than max_wall_clock_time"),
        (job(reason="SubmissionInterrupted"), [waiting("a")], RunState.FAILED,
         "its submission was interrupted: 1 of its 0 tasks were added"),
        (job(executionInfo={"schedulingError": {"code": "AutoPoolCreationFailedWithQuotaReached", "message": "no room"}}), [],
         RunState.FAILED, "AutoPoolCreationFailedWithQuotaReached: no room"),
    ],
)  # fmt: skip
def test_verdicts(the_job: dict[str, Any], tasks: list[dict[str, Any]], state: RunState, why: str) -> None:
    verdict = judge(the_job, tasks)
    assert (verdict.state, verdict.why) == (state, why)


@pytest.mark.parametrize(
    ("the_job", "counts", "state"),
    [
        (job("active", ""), {"active": 1}, RunState.RUNNING),
        (job(tasks=2), {"completed": 2, "succeeded": 2}, RunState.SUCCEEDED),
        (job(tasks=2), {"completed": 2, "succeeded": 1, "failed": 1}, RunState.FAILED),
        (job(tasks=2), {"completed": 1, "succeeded": 1, "active": 1}, RunState.FAILED),
        (job(tasks=2), {"completed": 1, "succeeded": 1}, RunState.FAILED),
        (job(), {}, RunState.FAILED),
        (job(jobManagerTask={"id": "conductor"}), {"completed": 1, "succeeded": 1}, RunState.FAILED),
        (
            job(jobManagerTask={"id": "conductor"}, tasks=1),
            {"completed": 2, "succeeded": 2},
            RunState.SUCCEEDED,
        ),
        (job(jobManagerTask={"id": "keeper"}), {"completed": 1, "succeeded": 1}, RunState.SUCCEEDED),
        (skipped(), {"completed": 1, "succeeded": 1}, RunState.SKIPPED),
        (job(reason="UserTerminate", tasks=2), {"completed": 2, "failed": 1}, RunState.CANCELLED),
        (
            job(reason="ConductorFailed", jobManagerTask={"id": "conductor"}),
            {"completed": 1, "failed": 1},
            RunState.FAILED,
        ),
    ],
)
def test_the_same_from_counts(the_job: dict[str, Any], counts: dict[str, int], state: RunState) -> None:
    assert judge_counts(the_job, counts) is state


def test_a_report_names_stages_and_rows() -> None:
    tasks = [task("each-a", displayName="each"), failed("b"), waiting("c")]
    found = run_report(
        job(reason="TaskFailed"),
        tasks,
        {"each-a": {"report": {"rows_read": 9, "rows_written": 7}}, "b": {"report": 3}},
    )
    assert [(t.id, t.stage, t.state, t.rows) for t in found.tasks] == [
        ("each-a", "each", "succeeded", 7), ("b", "b", "failed", None), ("c", "c", "not run", None),
    ]  # fmt: skip
    assert found.is_over
    assert found.as_json()["why"] == "b failed: exit code 3"


def test_tasks_that_were_ended_with_their_run_have_not_failed() -> None:
    tasks = [task("a"), failed("b"), failed("c", 143, failure="TaskEnded"), waiting("d")]
    found = run_report(job(reason="TaskFailed"), tasks, {})
    assert [t.state for t in found.tasks] == ["succeeded", "failed", "stopped", "not run"]
    cancelled = run_report(job(reason="UserTerminate"), tasks[2:], {})
    assert [t.state for t in cancelled.tasks] == ["stopped", "not run"]


def test_the_task_that_a_run_failed_by_has_failed_however_it_was_ended() -> None:
    found = run_report(
        job(reason="MaxWallClockTimeExpiry"), [failed("a", 143, failure="TaskEnded"), waiting("b")], {}
    )
    assert [t.state for t in found.tasks] == ["failed", "not run"]


@pytest.mark.parametrize(
    ("more", "why"),
    [({"containerInfo": {}}, "its image has no stage-run"), ({}, "stage-run is not installed on its node")],
)
def test_no_stage_run(more: dict[str, Any], why: str) -> None:
    failure = {"code": "CommandProgramNotFound", "message": "no such program: stage-run"}
    info = {"result": "failure", "failureInfo": failure, "endTime": "2026-01-01T00:00:01Z", **more}
    found = judge(job(reason="TaskFailed"), [task("a", executionInfo=info)])
    assert found.why.startswith(f"a failed: {why}")


def test_a_failure_without_an_exit_code_is_told_in_the_service_s_words() -> None:
    failure = {"code": "CommandProgramNotFound", "details": [{"name": "Message", "value": "not found: etl"}]}
    assert failure_text(failure) == "CommandProgramNotFound: not found: etl"

"""Did a run succeed? Judged from its tasks and its conductor, never from the job's state alone.

A job whose conductor added nothing still ends "completed"; so does one whose tasks failed. Pure: wire bodies in, a verdict out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from batchctl.plan.bodies import CONDUCTOR_FAILED, SUBMISSION_INTERRUPTED
from batchctl.plan.pipeline import METADATA_SKIPPED, METADATA_TASKS, metadata_of
from batchctl.spec.references import CONDUCTOR as CONDUCTOR_ID

_STAGE_RUN_FAILED = 125
"""images/runtime/CONTRACT.md."""
CANCELLED_REASONS = {
    "UserTerminate": "a user ended it",
    "TerminateJobSchedule": "it was ended with its job schedule",
    "ReplacedByLaterRun": "a later run replaced it",
}
"""terminateReason of a run that did not fail, and what it means."""


class RunState(StrEnum):
    """How a run stands."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"
    """A scheduled run that did not begin, because another one was going."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """How a run stands, why in a sentence, and the task to look at first."""

    state: RunState
    why: str = ""
    task: str = ""
    exit_code: int | None = None


def judge(job: Mapping[str, Any], tasks: Sequence[Mapping[str, Any]]) -> Verdict:
    """The verdict on a job (wire body) from all its tasks (wire bodies with at least id, state and executionInfo)."""
    info, told = job.get("executionInfo") or {}, metadata_of(job)
    reason, state = str(info.get("terminateReason", "")), str(job.get("state", "")).lower()
    conductor = next((t for t in tasks if t["id"] == CONDUCTOR_ID), None)
    work = [t for t in tasks if t is not conductor]
    expected = int(told[METADATA_TASKS]) if told.get(METADATA_TASKS, "").isdigit() else 0
    if state not in ("completed", "deleting"):
        return Verdict(state=RunState.RUNNING, why=_while_running(job, state, len(work), expected))
    if info.get("schedulingError"):
        error = info["schedulingError"]
        return Verdict(state=RunState.FAILED, why=f"{error.get('code')}: {error.get('message')}")
    failed = sorted((t for t in tasks if has_failed(t)), key=_ended_at)
    if reason in CANCELLED_REASONS:
        return Verdict(state=RunState.CANCELLED, why=CANCELLED_REASONS[reason])
    if METADATA_SKIPPED in told and not failed:
        return Verdict(state=RunState.SKIPPED, why=told[METADATA_SKIPPED])
    if reason == CONDUCTOR_FAILED:
        why = "its conductor could not add its tasks"
        return Verdict(state=RunState.FAILED, why=why, task=CONDUCTOR_ID if conductor else "")
    own = [t for t in failed if not was_ended_with_the_job(t, reason)]
    if own:
        return _failed(own[0])
    if reason == SUBMISSION_INTERRUPTED:
        return Verdict(
            state=RunState.FAILED, why=f"its submission was interrupted: {_of(len(work), expected)}"
        )
    if reason == "MaxWallClockTimeExpiry":
        return Verdict(
            state=RunState.FAILED,
            why="it took longer than max_wall_clock_time",
            task=failed[0]["id"] if failed else "",
        )
    if failed:
        return _failed(failed[0])
    waiting = [t["id"] for t in tasks if str(t["state"]).lower() != "completed"]
    if waiting:
        return Verdict(
            state=RunState.FAILED, why=f"it ended ({reason or 'no reason given'}) before {waiting[0]} ran"
        )
    if not work:
        return Verdict(state=RunState.FAILED, why="no tasks were added to it")
    if expected > len(work):
        return Verdict(state=RunState.FAILED, why=f"only {_of(len(work), expected)}")
    return Verdict(state=RunState.SUCCEEDED)


def _while_running(job: Mapping[str, Any], state: str, tasks: int, expected: int) -> str:
    if state == "terminating":
        return "ending"
    if tasks < expected and "jobManagerTask" not in job and job.get("onAllTasksComplete") == "noaction":
        return f"{_of(tasks, expected)}: is it still being submitted? if not, batchctl cancel {job['id']}"
    return ""


def _of(tasks: int, expected: int) -> str:
    return f"{tasks:,} of its {expected:,} tasks were added"


def judge_counts(job: Mapping[str, Any], counts: Mapping[str, int]) -> RunState:
    """`judge` from the task counts alone, for lists of runs: the same state, without the reason."""
    info = job.get("executionInfo") or {}
    if str(job.get("state", "")).lower() not in ("completed", "deleting"):
        return RunState.RUNNING
    if info.get("terminateReason") in CANCELLED_REASONS:
        return RunState.CANCELLED
    if METADATA_SKIPPED in metadata_of(job) and not counts.get("failed", 0):
        return RunState.SKIPPED
    expected = metadata_of(job).get(METADATA_TASKS, "")
    own = counts.get("completed", 0) - ((job.get("jobManagerTask") or {}).get("id") == CONDUCTOR_ID)
    missing = own < (int(expected) if expected.isdigit() else 1)
    unfinished = counts.get("active", 0) + counts.get("running", 0)
    if info.get("schedulingError") or counts.get("failed", 0) or unfinished or missing:
        return RunState.FAILED
    return RunState.SUCCEEDED


def has_failed(task: Mapping[str, Any]) -> bool:
    """Whether a task has completed without success."""
    info = task.get("executionInfo") or {}
    if str(task["state"]).lower() != "completed":
        return False
    return (
        str(info.get("result", "")).lower() == "failure"
        or "failureInfo" in info
        or info.get("exitCode", 0) != 0
    )


def was_ended_with_the_job(task: Mapping[str, Any], reason: str) -> bool:
    """Whether the service ended it along with its job, for a reason that lies elsewhere."""
    code = ((task.get("executionInfo") or {}).get("failureInfo") or {}).get("code", "")
    return code in ("TaskEnded", "JobTerminated") and bool(reason)


def _ended_at(task: Mapping[str, Any]) -> str:
    return str((task.get("executionInfo") or {}).get("endTime", "9999"))


def _failed(task: Mapping[str, Any]) -> Verdict:
    info = task.get("executionInfo") or {}
    code = info.get("exitCode")
    failure = info.get("failureInfo") or {}
    told = failure.get("code") not in (None, "FailureExitCode")  # then it is not the program's own exit
    cause = failure_text(failure) if told or code is None else f"exit code {code}"
    if "stage-run" in cause and failure.get("code") == "CommandProgramNotFound":
        cause = (
            "its image has no stage-run: images.NAME.stage_run: false says so"
            if "containerInfo" in info
            else "stage-run is not installed on its node: pip install images/runtime of batchctl's source"
        )
    elif code == _STAGE_RUN_FAILED and not told:
        cause += ": stage-run itself failed, at a secret or at writing to the lake"
    if said := (info.get("containerInfo") or {}).get("error"):
        cause += f" ({said})" if said not in cause else ""
    return Verdict(
        state=RunState.FAILED, why=f"{task['id']} failed: {cause}", task=str(task["id"]), exit_code=code
    )


def failure_text(failure: Mapping[str, Any]) -> str:
    """`CommandProgramNotFound: The specified command program is not found` from a failureInfo."""
    details = "; ".join(
        d["value"] for d in failure.get("details") or [] if d.get("name") == "Message" and d.get("value")
    )
    text = details or failure.get("message", "")
    return f"{failure.get('code', 'unknown')}: {text}" if text else str(failure.get("code", "unknown"))

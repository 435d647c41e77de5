"""A run as people and programs read it: its stages, their tasks, times and rows. Pure: wire bodies and run records in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from batchctl.plan.pipeline import METADATA_PIPELINE, METADATA_SCHEDULED_AT, metadata_of
from batchctl.report.verdict import RunState, Verdict, has_failed, judge, was_ended_with_the_job


@dataclass(frozen=True, kw_only=True)
class TaskReport:
    """One task of a run."""

    id: str
    stage: str
    state: str
    """`waiting`, `running`, `succeeded`, `failed`; `stopped` if it was ended with its run, for a reason that lies elsewhere; a
    task that waits in a run that has ended is `not run`."""
    exit_code: int | None
    started_at: datetime | None
    finished_at: datetime | None
    retries: int
    rows: int | None

    def seconds(self, now: datetime) -> float | None:
        """How long it ran, or has been running at `now`."""
        if self.started_at is None:
            return None
        return ((self.finished_at or now) - self.started_at).total_seconds()


@dataclass(frozen=True, kw_only=True)
class RunReport:
    """One run."""

    run: str
    pipeline: str
    scheduled_at: str
    verdict: Verdict
    tasks: tuple[TaskReport, ...]

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen."""
        return self.verdict.state is not RunState.RUNNING

    def as_json(self) -> dict[str, Any]:
        """Plain JSON data, as `status -o json` prints it."""
        return {
            "run": self.run,
            "pipeline": self.pipeline,
            "scheduled_at": self.scheduled_at,
            "state": self.verdict.state,
            "why": self.verdict.why,
            "tasks": [
                {
                    "id": task.id,
                    "stage": task.stage,
                    "state": task.state,
                    "exit_code": task.exit_code,
                    "started_at": instant(task.started_at),
                    "finished_at": instant(task.finished_at),
                    "retries": task.retries,
                    "rows": task.rows,
                }
                for task in self.tasks
            ],
        }


def run_report(
    job: Mapping[str, Any], tasks: Sequence[Mapping[str, Any]], records: Mapping[str, Mapping[str, Any]]
) -> RunReport:
    """The report of a job (wire body) with its tasks (wire bodies) and the run records found for them, by task id."""
    verdict = judge(job, tasks)
    own = metadata_of(job)
    over = verdict.state is not RunState.RUNNING
    reason = str((job.get("executionInfo") or {}).get("terminateReason", ""))
    stopped = {
        task["id"] for task in tasks if was_ended_with_the_job(task, reason) and task["id"] != verdict.task
    }
    return RunReport(
        run=str(job["id"]),
        pipeline=own.get(METADATA_PIPELINE, ""),
        scheduled_at=own.get(METADATA_SCHEDULED_AT, ""),
        verdict=verdict,
        tasks=tuple(
            _task_report(task, records.get(task["id"], {}), over, task["id"] in stopped) for task in tasks
        ),
    )


def _task_report(task: Mapping[str, Any], record: Mapping[str, Any], over: bool, stopped: bool) -> TaskReport:
    info = task.get("executionInfo") or {}
    state = str(task["state"]).lower()
    words = {
        "completed": "stopped" if stopped else "failed" if has_failed(task) else "succeeded",
        "active": "not run" if over else "waiting",
    }
    report = record.get("report") or {}
    rows = report.get("rows_written", report.get("rows_read")) if isinstance(report, Mapping) else None
    return TaskReport(
        id=str(task["id"]),
        stage=str(task.get("displayName") or task["id"]),
        state=words.get(state, "running"),
        exit_code=info.get("exitCode"),
        started_at=wire_moment(info.get("startTime")),
        finished_at=wire_moment(info.get("endTime")),
        retries=int(info.get("retryCount", 0)),
        rows=rows if isinstance(rows, int) else None,
    )


def wire_moment(text: Any) -> datetime | None:
    """A moment as the service writes it; None if there is none."""
    return datetime.fromisoformat(text) if text else None


def instant(moment: datetime | None) -> str | None:
    """When something began or ended, as runs are told in JSON: UTC, in milliseconds."""
    return (
        moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z") if moment else None
    )

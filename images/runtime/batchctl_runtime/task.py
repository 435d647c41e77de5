"""Who this attempt is: the identity that batchctl and Batch pass in environment variables.

Pure: it reads a mapping and a moment, never `os.environ` or the clock.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from batchctl_runtime.errors import StageError


class Task(NamedTuple):
    """One attempt of one task; `None` where the variable is absent."""

    pipeline: str | None
    run: str
    task: str
    scheduled_at: str | None
    node: str | None
    pool: str | None


def task_from(environ: Mapping[str, str]) -> Task:
    """Read the variables of CONTRACT.md. Raises `StageError` when the task has no id: its folder would have
    no name."""
    task = environ.get("AZ_BATCH_TASK_ID")
    if not task:
        raise StageError("AZ_BATCH_TASK_ID is not set, though BATCHCTL_RUNS_URL is: set both, or neither")
    if "/" in task or task in {".", ".."}:
        raise StageError(
            f"AZ_BATCH_TASK_ID {task!r} cannot name a folder: Batch allows letters, digits, - and _"
        )
    run = environ.get("BATCHCTL_RUN") or environ.get("AZ_BATCH_JOB_ID")
    if not run or "/" in run or run in {".", ".."}:
        raise StageError(
            "AZ_BATCH_JOB_ID does not name the run, though BATCHCTL_RUNS_URL is set: set both, or neither"
        )
    return Task(
        pipeline=environ.get("BATCHCTL_PIPELINE"),
        run=run,
        task=task,
        scheduled_at=environ.get("BATCHCTL_SCHEDULED_AT"),
        node=environ.get("AZ_BATCH_NODE_ID"),
        pool=environ.get("AZ_BATCH_POOL_ID"),
    )


def run_url(runs_url: str, task: Task) -> str:
    """The folder of the task's run, below the one of all runs."""
    if runs_url.startswith("az://") and not runs_url[5:].strip("/").partition("/")[2]:
        return runs_url  # it names no container, and must be refused as it is: the run would pass for one
    return f"{runs_url.rstrip('/')}/{task.run}/"


def attempt_name(began: datetime) -> str:
    """The folder of an attempt, `20260131T060000.123456Z`: in order of name is in order of time."""
    return began.strftime("%Y%m%dT%H%M%S.%fZ")


def next_moment(began: datetime) -> datetime:
    """One microsecond later: the name to try when another attempt began in the same microsecond."""
    return began + timedelta(microseconds=1)


def iso(moment: datetime) -> str:
    """ISO 8601 in UTC with a `Z`; `moment` must be in UTC."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")

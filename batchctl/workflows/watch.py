"""Looking at runs: which there are, how one stands, and waiting for its end."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import orjson

from batchctl.errors import NotFound, RunFailed, TargetError, UsageError
from batchctl.plan.pipeline import METADATA_PIPELINE, METADATA_RUN, METADATA_SCHEDULED_AT, metadata_of
from batchctl.report import RunReport, RunState, judge_counts, pool_trouble, run_report
from batchctl.report.run_report import instant, wire_moment
from batchctl.targets.batch import Batch
from batchctl.targets.lake import Lake

_FIELDS = ("id", "displayName", "state", "executionInfo", "creationTime", "requiredSlots")
_FIRST_WAIT, _LONG_WAIT, _LONGEST_WAIT = 0.1, 0.5, 5.0
_RECENTLY = timedelta(days=2)
_MOST_RECORDS = 300
RUN_OR_PIPELINE = re.compile(r"[A-Za-z0-9_-]+(:job-[0-9]+)?")


@dataclass(frozen=True, kw_only=True)
class RunLine:
    """A run in a list of runs."""

    run: str
    pipeline: str
    state: RunState
    scheduled_at: str
    started_at: datetime | None
    finished_at: datetime | None
    tasks: int
    failed: int

    def as_json(self) -> dict[str, Any]:
        """Plain JSON data."""
        moments = {"started_at": instant(self.started_at), "finished_at": instant(self.finished_at)}
        return {name: getattr(self, name) for name in self.__dataclass_fields__} | moments


def list_runs(batch: Batch, pipeline: str | None, last: int, *, now: datetime) -> list[RunLine]:
    """The `last` runs of a pipeline, or of all, the latest first."""
    jobs = _latest_jobs(batch, pipeline, last, now)
    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(lambda job: batch.task_counts(job["id"]), jobs))
    return [_run_line(job, count) for job, count in zip(jobs, counts, strict=True)]


def _latest_jobs(batch: Batch, pipeline: str | None, last: int, now: datetime) -> list[dict[str, Any]]:
    """Batch lists jobs in an order of its own: so ask for the last two days, and for all only if these are too few."""
    for since in (now - _RECENTLY, None):
        found = batch.jobs(pipeline, created_after=since)
        runs = [job for job in found if METADATA_RUN not in metadata_of(job)]  # those only started a run
        if len(runs) >= last:
            break
    return sorted(runs, key=lambda job: str(job["creationTime"]), reverse=True)[:last]


def _run_line(job: dict[str, Any], counts: dict[str, int]) -> RunLine:
    info, own = job.get("executionInfo") or {}, metadata_of(job)
    return RunLine(
        run=job["id"],
        pipeline=own.get(METADATA_PIPELINE, ""),
        state=judge_counts(job, counts),
        scheduled_at=own.get(METADATA_SCHEDULED_AT, ""),
        started_at=wire_moment(info.get("startTime")),
        finished_at=wire_moment(info.get("endTime")),
        tasks=counts.get("active", 0) + counts.get("running", 0) + counts.get("completed", 0),
        failed=counts.get("failed", 0),
    )


def find_run(batch: Batch, name: str, *, now: datetime) -> str:
    """The id of a run: `name` itself, or the latest run of the pipeline `name`. Raises UsageError if it is neither."""
    if RUN_OR_PIPELINE.fullmatch(name):
        try:
            return str(batch.job(name)["id"])
        except NotFound:
            runs = _latest_jobs(batch, name, 1, now)
        if runs:
            return str(runs[0]["id"])
    raise UsageError(f"there is no run or pipeline {name}", hint="batchctl runs")


def report(batch: Batch, lake: Lake | None, run: str, *, look_at_pool: bool = True) -> RunReport:
    """How a run stands now; rows from the run records if there is a lake to read them from. Where tasks wait and none runs, its
    pool is asked why."""
    job, tasks = batch.job(run), batch.tasks(run, _FIELDS)
    records: dict[str, dict[str, Any]] = {}
    if (
        lake is not None and len(tasks) <= _MOST_RECORDS
    ):  # a record is a request; with so many, rows are not told
        with suppress(TargetError):  # they tell no more than rows
            records = {task["id"]: last_record(lake, run, task["id"]) for task in tasks}
    found = run_report(job, tasks, records)
    if (
        look_at_pool
        and not found.is_over
        and {task.state for task in found.tasks} & {"waiting"}
        and not any(task.state == "running" for task in found.tasks)
    ):
        waiting = [task for task in tasks if str(task["state"]).lower() == "active"]
        return _with_trouble(batch, job, found, waiting)
    return found


def stuck_runs(
    batch: Batch, jobs: Iterable[Mapping[str, Any]], *, now: datetime, max_late: timedelta
) -> Iterator[tuple[str, str]]:
    """(run, why) of each job that was made over `max_late` ago and of which nothing has run yet."""
    for job in jobs:
        if (
            str(job["state"]).lower() != "active"
            or now - datetime.fromisoformat(job["creationTime"]) <= max_late
        ):
            continue
        found = report(batch, None, str(job["id"]))
        if found.tasks and {task.state for task in found.tasks} == {"waiting"}:
            yield found.run, found.verdict.why or f"its tasks wait for a node since {job['creationTime']}"


def _with_trouble(
    batch: Batch, job: Mapping[str, Any], found: RunReport, waiting: Sequence[Mapping[str, Any]]
) -> RunReport:
    pool = (job.get("executionInfo") or {}).get("poolId")
    body = batch.pool(pool) if pool else None
    trouble = pool_trouble(body, batch.nodes(str(pool)), waiting) if body is not None else ""
    return replace(found, verdict=replace(found.verdict, why=trouble)) if trouble else found


def last_record(lake: Lake, run: str, task: str) -> dict[str, Any]:
    """The run record of the last attempt of a task; empty if there is none."""
    attempts = lake.names(f"{run}/{task}")
    data = lake.read(f"{run}/{task}/{attempts[-1]}/record.json") if attempts else None
    try:
        record = orjson.loads(data) if data else {}
    except orjson.JSONDecodeError:
        return {}
    return record if isinstance(record, dict) else {}


def watch(batch: Batch, run: str, *, sleep: Callable[[float], None]) -> Iterator[RunReport]:
    """Reports on a run, one after another until it is over; between two, `sleep` is called with a growing wait in seconds."""
    wait = _FIRST_WAIT
    while True:
        found = report(batch, None, run, look_at_pool=wait > _LONG_WAIT)
        yield found
        if found.is_over:
            return
        sleep(wait)
        wait = min(wait * 1.3, _LONGEST_WAIT if found.tasks else 1.0)


def raise_unless_succeeded(found: RunReport, log_tail: str) -> None:
    """Raise RunFailed for a run that is over and did not succeed; `log_tail` is the end of the failed task's output."""
    verdict = found.verdict
    if verdict.state in (RunState.SUCCEEDED, RunState.SKIPPED):
        return
    verb = "logs" if verdict.exit_code is not None else "status"
    hint = f"batchctl {verb} {found.run} {verdict.task if verb == 'logs' else ''}".rstrip()
    message = f"run {found.run} {verdict.state}" + (f": {verdict.why}" if verdict.why else "")
    raise RunFailed(
        message,
        run=found.run,
        task=verdict.task,
        task_exit_code=verdict.exit_code,
        log_tail=log_tail,
        hint=hint,
    )

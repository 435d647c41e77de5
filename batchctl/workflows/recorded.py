"""A run that the service has forgotten, as its records in the lake tell.

They outlive the service's store, and know less: not what never began, nor who ended it.
"""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

from batchctl.report import RunReport, RunState, TaskReport, Verdict
from batchctl.targets.lake import Lake
from batchctl.workflows.watch import RUN_OR_PIPELINE, last_record

FORGOTTEN = "the service has forgotten this run, so it is told from its records in the lake"
_AT_ONCE = 16


def find_recorded(lake: Lake, name: str) -> str | None:
    """The id of a run in the lake: `name` itself, or the latest run of the pipeline `name`; None if it is neither."""
    if not RUN_OR_PIPELINE.fullmatch(name):
        return None
    if lake.names(name):
        return name
    runs = [run for run in lake.names("") if run.startswith(f"{name}-")]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        began = dict(zip(runs, pool.map(lambda run: _began(lake, run), runs), strict=True))
    latest_first = sorted(runs, key=lambda run: began[run], reverse=True)
    return next((run for run in latest_first if _pipeline(lake, run) == name), None)


def recorded_report(lake: Lake, run: str) -> RunReport:
    """The report of a run from its records alone. Why it stands so says that they are all that is known."""
    names = lake.names(run)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        records = list(pool.map(lambda task: last_record(lake, run, task), names))
        attempts = list(pool.map(lambda task: len(lake.names(f"{run}/{task}")), names))
    tasks = tuple(_task_report(*found) for found in zip(names, records, attempts, strict=True))
    verdict = _verdict(tasks)
    return RunReport(
        run=run,
        pipeline=next((str(r["pipeline"]) for r in records if r.get("pipeline")), ""),
        scheduled_at=next((str(r["scheduled_at"]) for r in records if r.get("scheduled_at")), ""),
        verdict=verdict,
        tasks=tuple(sorted(tasks, key=lambda task: task.started_at.isoformat() if task.started_at else "~")),
    )


def _verdict(tasks: tuple[TaskReport, ...]) -> Verdict:
    """As `report.verdict.judge`, as far as records tell."""
    failed = [task for task in tasks if task.state == "failed"]
    if failed:
        first = min(failed, key=lambda task: task.finished_at.isoformat() if task.finished_at else "~")
        why = f"{first.id} failed: exit code {first.exit_code}"
        return Verdict(
            state=RunState.FAILED, why=f"{why}; {FORGOTTEN}", task=first.id, exit_code=first.exit_code
        )
    stopped = [task.id for task in tasks if task.state != "succeeded"]
    if stopped:
        return Verdict(state=RunState.FAILED, why=f"{stopped[0]} began, and did not end; {FORGOTTEN}")
    return Verdict(state=RunState.SUCCEEDED, why=FORGOTTEN)


def _task_report(name: str, record: dict[str, Any], attempts: int) -> TaskReport:
    code = record.get("exit_code")
    code = code if isinstance(code, int) else None
    report = record.get("report")
    rows = report.get("rows_written", report.get("rows_read")) if isinstance(report, dict) else None
    return TaskReport(
        id=name,
        stage=name,
        state="stopped" if code is None else "failed" if code else "succeeded",
        exit_code=code,
        started_at=_moment(record.get("started_at")),
        finished_at=_moment(record.get("finished_at")),
        retries=max(attempts - 1, 0),
        rows=rows if isinstance(rows, int) else None,
    )


def _began(lake: Lake, run: str) -> str:
    """About when a run began: the moment that names the last attempt of one of its tasks; empty if it has none."""
    for task in lake.names(run):
        attempts = lake.names(f"{run}/{task}")
        if attempts:
            return attempts[-1]
    return ""


def _pipeline(lake: Lake, run: str) -> str:
    for task in lake.names(run):
        record = last_record(lake, run, task)
        if record:
            return str(record.get("pipeline"))
    return ""


def _moment(text: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if text else None
    except (TypeError, ValueError):
        return None

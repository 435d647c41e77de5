"""`batchctl schedule list` and `show PIPELINE`"""

import contextlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from batchctl.cli import console
from batchctl.cli.options import Form, Output, Pipeline, Target, settings_for

if TYPE_CHECKING:
    from batchctl.report.occurrences import Occurrence
    from batchctl.targets.batch import Batch
    from batchctl.workflows.schedules import Deployed

MAX_LATE = timedelta(minutes=15)


def list_schedules(target: Target = None, output: Output = Form.TABLE) -> None:
    """List scheduled pipelines: next firing, last run and its verdict, and what was missed or skipped in seven days."""
    from concurrent.futures import ThreadPoolExecutor

    from batchctl.workflows.schedules import deployed
    from batchctl.workflows.target import open_batch

    now = datetime.now(UTC)
    with open_batch(settings_for(target), console.story) as batch:
        found = deployed(batch, None, now=now)
        with ThreadPoolExecutor(4) as pool:
            rows = list(pool.map(lambda one: _row(batch, one, now), found))
    if output is not Form.TABLE:
        console.structured(rows, output)
    elif not rows:
        console.story("there are no schedules")
    else:
        console.table(list(rows[0]), [["-" if v is None else str(v) for v in row.values()] for row in rows])


def _row(batch: "Batch", found: "Deployed", now: datetime) -> dict[str, Any]:
    from batchctl.plan.compile import METADATA_CRON, METADATA_TIMEZONE
    from batchctl.plan.pipeline import metadata_of
    from batchctl.report import judge_counts
    from batchctl.report.occurrences import Fate
    from batchctl.workflows.schedules import history

    occurrences, jobs = history(batch, found, now=now, max_late=MAX_LATE)
    fates = [occurrence.fate for occurrence in occurrences]
    last = jobs[0] if jobs else _recent_job(batch, found)
    upcoming = [t for t in (_service_next(body) for body in found.live if body["state"] == "active") if t]
    told = metadata_of(found.latest)
    return {
        "pipeline": found.name,
        "cron": told.get(METADATA_CRON, ""),
        "timezone": told.get(METADATA_TIMEZONE, ""),
        "state": "paused" if found.is_paused else "active" if found.live else "ended",
        "next": min(upcoming) if upcoming else None,
        "last run": last["id"] if last else None,
        "verdict": judge_counts(last, batch.task_counts(last["id"])) if last else None,
        "missed": fates.count(Fate.MISSED),
        "skipped": fates.count(Fate.SKIPPED),
    }


def _recent_job(batch: "Batch", found: "Deployed") -> dict[str, Any] | None:
    """The last job that any of its schedules tells of, however long ago."""
    from batchctl.errors import NotFound

    ids = [((body.get("executionInfo") or {}).get("recentJob") or {}).get("id") for body in found.schedules]
    jobs = []
    for id in filter(None, ids):
        with contextlib.suppress(NotFound):
            jobs.append(batch.job(id))
    return max(jobs, key=lambda job: str(job["creationTime"]), default=None)


def show(pipeline: Pipeline, target: Target = None, output: Output = Form.TABLE) -> None:
    """Show a pipeline's job schedules, what the service says fires next and what should, and its last occurrences."""
    from batchctl.plan.compile import METADATA_CRON, METADATA_TIMEZONE, METADATA_TZDATA
    from batchctl.plan.pipeline import metadata_of
    from batchctl.workflows.schedules import deployed, history
    from batchctl.workflows.target import open_batch

    now = datetime.now(UTC)
    with open_batch(settings_for(target), console.story) as batch:
        (found,) = deployed(batch, pipeline, now=now)
        occurrences, _ = history(batch, found, now=now, max_late=MAX_LATE)
    told = metadata_of(found.latest)
    parts = [_part(body, now) for body in found.live]
    data = {
        "pipeline": found.name,
        "cron": told.get(METADATA_CRON, ""),
        "timezone": told.get(METADATA_TIMEZONE, ""),
        "tzdata": told.get(METADATA_TZDATA, ""),
        "horizon_end": _iso(found.horizon_end),
        "schedules": parts,
        "occurrences": [_occurrence(one) for one in occurrences],
    }
    if output is not Form.TABLE:
        console.structured(data, output)
        return
    console.answer(f"{found.name}: {data['cron']} {data['timezone']}, tzdata {data['tzdata']}")
    console.answer(f"ends by itself: {data['horizon_end'] or 'never'}\n")
    _print(("id", "state", "start", "interval", "end", "service_next", "our_next", "agree"), parts)
    if occurrences:
        console.answer("")
        _print(("at", "fate", "run", "why"), [_occurrence(one) for one in occurrences[-10:]])


def _part(body: dict[str, Any], now: datetime) -> dict[str, Any]:
    """One job schedule: the service's nextRunTime beside ours. They must agree; how the service counts on after a job that
    came late is not documented."""
    from batchctl.plan.diff import recurrence_of
    from batchctl.report.occurrences import next_firing

    times = body["schedule"]
    ours = next_firing(recurrence_of(body), now)
    theirs = _service_next(body)
    agree = "paused" if body["state"] == "disabled" else "yes" if theirs == _iso(ours) else "no"
    return {
        "id": body["id"],
        "state": body["state"],
        "start": _told(times.get("doNotRunUntil")),
        "interval": times.get("recurrenceInterval"),
        "end": _told(times.get("doNotRunAfter")),
        "service_next": theirs,
        "our_next": _iso(ours),
        "agree": agree,
    }


def _service_next(body: dict[str, Any]) -> str | None:
    return _told((body.get("executionInfo") or {}).get("nextRunTime"))


def _told(moment: str | None) -> str | None:
    """A moment of the service's, as we write it."""
    return _iso(datetime.fromisoformat(moment)) if moment else None


def _occurrence(one: "Occurrence") -> dict[str, Any]:
    return {
        "at": _iso(one.at),
        "fate": str(one.fate),
        "run": one.run or None,
        "started_at": _iso(one.started_at),
        "why": one.why or None,
    }


def _print(head: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    console.table(head, [["-" if row[name] is None else str(row[name]) for name in head] for row in rows])


def _iso(moment: datetime | None) -> str | None:
    return console.utc(moment) if moment else None

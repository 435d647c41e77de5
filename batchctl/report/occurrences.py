"""What a pipeline's schedules should have done, against what was done. Pure: wire bodies in.

What should have fired is worked out from the job schedules themselves (start, interval, end; when created, ended, paused), so a
jobspec that changed since does not rewrite history.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import orjson

from batchctl.plan.diff import recurrence_of
from batchctl.plan.pipeline import METADATA_RUN, METADATA_SCHEDULED_AT, METADATA_SKIPPED, metadata_of
from batchctl.schedule import Recurrence, Window, firings
from batchctl.spec.model import parse_iso_duration

_NO_WINDOW = "P36500D"
METADATA_PAUSES = "batchctl:pauses"
"""JSON list of [from, to]: when a job schedule was disabled; `to` is null while it is."""


class Fate(StrEnum):
    """What became of an occurrence."""

    RUN = "run"
    LATE = "late"
    """It has a run that began too late."""
    SKIPPED = "skipped"
    MISSED = "missed"
    PENDING = "pending"
    """It has no run yet, and is not late yet."""


@dataclass(frozen=True, kw_only=True)
class Occurrence:
    """A moment at which a schedule should have fired, and what became of it."""

    at: datetime
    fate: Fate
    run: str = ""
    started_at: datetime | None = None
    why: str = ""


def occurrences_so_far(
    schedules: Sequence[Mapping[str, Any]],
    jobs: Sequence[Mapping[str, Any]],
    *,
    since: datetime,
    now: datetime,
    max_late: timedelta,
) -> list[Occurrence]:
    """Every occurrence from `since` to `now` of a pipeline, sorted, with its fate.

    `schedules` and `jobs` are all of the pipeline's, whatever their state.
    """
    runs = _runs_by_occurrence(schedules, jobs)
    expected: dict[datetime, timedelta] = {}
    for schedule in schedules:
        patience = min(max_late, parse_iso_duration(schedule["schedule"].get("startWindow", _NO_WINDOW)))
        expected |= dict.fromkeys(_expected(schedule, since, now), patience)
    return [
        _occurrence(at, runs.get(at), now, max_late, patience) for at, patience in sorted(expected.items())
    ]


def _occurrence(
    at: datetime, job: Mapping[str, Any] | None, now: datetime, max_late: timedelta, patience: timedelta
) -> Occurrence:
    """`patience`: without a run for so long, it will have none: its start window is over, or it would be late anyway."""
    if job is None:
        return Occurrence(at=at, fate=Fate.PENDING if now - at <= patience else Fate.MISSED)
    told = metadata_of(job)
    started = datetime.fromisoformat(job["creationTime"])
    run = told.get(METADATA_RUN, str(job["id"]))
    if METADATA_SKIPPED in told:
        return Occurrence(at=at, fate=Fate.SKIPPED, run=run, started_at=started, why=told[METADATA_SKIPPED])
    late = ":" in str(job["id"]) and started - at > max_late
    return Occurrence(at=at, fate=Fate.LATE if late else Fate.RUN, run=run, started_at=started)


def _expected(schedule: Mapping[str, Any], since: datetime, now: datetime) -> Iterable[datetime]:
    """When a job schedule should have fired. It cannot before it was created, after it ended, or while it was paused."""
    begin = max(since, datetime.fromisoformat(schedule["creationTime"]))
    end = now
    if schedule["state"] in ("completed", "terminating", "deleting"):
        ended = (schedule.get("executionInfo") or {}).get("endTime") or schedule.get("stateTransitionTime")
        end = min(end, datetime.fromisoformat(ended)) if ended else end
    if end < begin:
        return []
    window = Window(start=_floor(begin), end=_floor(end) + timedelta(minutes=1))
    pauses = pauses_of(schedule)
    return [
        at
        for at in firings(recurrence_of(schedule), window)
        if begin <= at <= end
        and not any(start <= at and (stop is None or at < stop) for start, stop in pauses)
    ]


def pauses_of(schedule: Mapping[str, Any]) -> list[tuple[datetime, datetime | None]]:
    """When a job schedule of ours was disabled, from its metadata."""
    told = orjson.loads(metadata_of(schedule).get(METADATA_PAUSES, "[]"))
    return [
        (datetime.fromisoformat(start), datetime.fromisoformat(stop) if stop else None)
        for start, stop in told
    ]


def _runs_by_occurrence(
    schedules: Sequence[Mapping[str, Any]], jobs: Sequence[Mapping[str, Any]]
) -> dict[datetime, Mapping[str, Any]]:
    """The first job of each occurrence; one that was skipped counts only if there is no other."""
    recurrences = {schedule["id"]: recurrence_of(schedule) for schedule in schedules}
    found: dict[datetime, Mapping[str, Any]] = {}
    for job in sorted(jobs, key=lambda job: (METADATA_SKIPPED in metadata_of(job), str(job["creationTime"]))):
        schedule, separator, _ = str(job["id"]).partition(":")
        told = metadata_of(job).get(METADATA_SCHEDULED_AT)
        if told:  # also one that was started by hand for this occurrence, by a backfill
            found.setdefault(datetime.fromisoformat(told), job)
        elif separator and schedule in recurrences:  # its conductor has not got so far
            at = latest_firing(recurrences[schedule], datetime.fromisoformat(job["creationTime"]))
            if at is not None:
                found.setdefault(at, job)
    return found


def latest_firing(recurrence: Recurrence, at: datetime) -> datetime | None:
    """The last grid point of a recurrence that is not after `at`; None before the first."""
    if at < recurrence.start:
        return None
    if recurrence.interval is None:
        return recurrence.start
    last = recurrence.start + (at - recurrence.start) // recurrence.interval * recurrence.interval
    while recurrence.end is not None and last > recurrence.end:
        last -= recurrence.interval
    return last


def next_firing(recurrence: Recurrence, after: datetime) -> datetime | None:
    """The first grid point after `after`; None if there is none."""
    if after < recurrence.start:
        return recurrence.start
    if recurrence.interval is None:
        return None
    following = (
        recurrence.start + ((after - recurrence.start) // recurrence.interval + 1) * recurrence.interval
    )
    return None if recurrence.end is not None and following > recurrence.end else following


def _floor(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)

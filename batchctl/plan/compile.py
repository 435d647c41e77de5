"""A pipeline -> what should be there: its pool and its job schedules. Pure: `now` is an argument."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from batchctl.plan.bodies import job_specification
from batchctl.plan.pipeline import METADATA_DIGEST, METADATA_PIPELINE, Pipeline, digest, metadata_items
from batchctl.plan.pool_bodies import lifetime, pool_body
from batchctl.schedule import Decomposition, Recurrence, decompose
from batchctl.spec import Lifetime
from batchctl.spec.model import iso_duration
from batchctl.spec.templates import iso

METADATA_CRON = "batchctl:cron"
METADATA_TIMEZONE = "batchctl:timezone"
METADATA_TZDATA = "batchctl:tzdata"
METADATA_HORIZON = "batchctl:horizon"
METADATA_PART = "batchctl:part"
METADATA_START = "batchctl:start"
"""A job schedule's first moment: an end that is given to it later may cost it its doNotRunUntil."""
METADATA_RETIRED = "batchctl:retired"
"""On a job schedule that was ended on purpose: since when it is to fire no more."""

_TIME_TO_APPLY = timedelta(seconds=30)


@dataclass(frozen=True, kw_only=True)
class Desired:
    """What a pipeline wants to have on the target while nothing runs."""

    pool: dict[str, Any] | None
    """Wire body of the pipeline's own pool; None if it has none between runs."""
    content: str
    """Digest of what the schedules run and when: schedules with this digest need not be renewed while they still cover."""
    decomposition: Decomposition | None
    """When it fires from now on; None without a schedule."""
    job_schedules: tuple[dict[str, Any], ...]
    """Wire bodies, one for each recurrence."""


def compile_pipeline(pipeline: Pipeline, *, now: datetime, taken: frozenset[str] = frozenset()) -> Desired:
    """What should be there from `now` (aware, UTC) on. `taken` are ids of job schedules that have ended: they stay, and cannot
    be used again. Raises Refused if the cron line does not fit in the budget."""
    own_pool = pipeline.spec.pool.id is None and lifetime(pipeline) is Lifetime.IDLE
    pool = pool_body(pipeline, pipeline.spec.name) if own_pool else None
    schedule = pipeline.spec.schedule
    if schedule is None:
        return Desired(pool=pool, content="", decomposition=None, job_schedules=())
    start = first_minute(now)
    decomposition = decompose(
        schedule.line, schedule.zone, schedule.dst_rule, after=start, budget=schedule.budget
    )
    specification = job_specification(pipeline)
    content = digest([specification, schedule.model_dump(mode="json")])
    parts = decomposition.recurrences
    bodies = tuple(
        _job_schedule_body(
            pipeline, specification, content, decomposition, recurrence, f"{i} of {len(parts)}", taken
        )
        for i, recurrence in enumerate(parts, 1)
    )
    return Desired(pool=pool, content=content, decomposition=decomposition, job_schedules=bodies)


def content_id(name: str, content: Any, taken: frozenset[str]) -> str:
    """`name-<hash>`: the same for the same content, unless that id is taken by one that has ended; then the next one."""
    generation = 0
    while True:
        id = f"{name}-{digest([content, generation] if generation else content)[:12]}"
        if id not in taken:
            return id
        generation += 1


def first_minute(now: datetime) -> datetime:
    """The first minute that new schedules may fire at: a start that is past when the schedule is created makes Batch fire
    at once and count from then, off the grid, so there must be time to create it."""
    return (now + _TIME_TO_APPLY).replace(second=0, microsecond=0) + timedelta(minutes=1)


def _job_schedule_body(
    pipeline: Pipeline,
    specification: dict[str, Any],
    content: str,
    decomposition: Decomposition,
    recurrence: Recurrence,
    part: str,
    taken: frozenset[str],
) -> dict[str, Any]:
    schedule = pipeline.spec.schedule
    assert schedule is not None
    times: dict[str, Any] = {
        "doNotRunUntil": iso(recurrence.start),
        "startWindow": iso_duration(schedule.start_window),
    }
    if recurrence.end is not None:
        times["doNotRunAfter"] = iso(recurrence.end)
    if recurrence.interval is not None:
        times["recurrenceInterval"] = iso_duration(recurrence.interval)
    return {
        "id": content_id(pipeline.spec.name, [content, times], taken),
        "schedule": times,
        "jobSpecification": specification,
        "metadata": metadata_items(
            {
                METADATA_PIPELINE: pipeline.spec.name,
                METADATA_DIGEST: content,
                METADATA_CRON: schedule.cron,
                METADATA_TIMEZONE: schedule.timezone,
                METADATA_TZDATA: decomposition.tzdata,
                METADATA_HORIZON: iso(decomposition.horizon_end) if decomposition.horizon_end else "none",
                METADATA_PART: part,
                METADATA_START: iso(recurrence.start),
            }
        ),
    }

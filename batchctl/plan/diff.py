"""What is wanted against what is there. Pure: the plan, with the reason of each change."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from batchctl.errors import UnsafePlan
from batchctl.plan.change import Action, Change, Kind
from batchctl.plan.changed import pipeline_changes
from batchctl.plan.compile import (
    METADATA_HORIZON,
    METADATA_PART,
    METADATA_START,
    METADATA_TZDATA,
    Desired,
    first_minute,
)
from batchctl.plan.expand import Run
from batchctl.plan.order import in_order
from batchctl.plan.pipeline import METADATA_DIGEST, METADATA_PIPELINE, Pipeline, metadata_of
from batchctl.schedule import Recurrence, Window, covers
from batchctl.spec.model import parse_iso_duration

_IN_PLACE = frozenset(
    {
        "targetDedicatedNodes",
        "targetLowPriorityNodes",
        "resizeTimeout",
        "enableAutoScale",
        "autoScaleFormula",
        "autoScaleEvaluationInterval",
    }
)
"""Properties of a pool that Batch changes without deleting it (resize, enableautoscale, disableautoscale)."""

_UNBOUNDED_LOOK = timedelta(days=14)


@dataclass(frozen=True, kw_only=True)
class Observed:
    """What is on the target, as the service tells it: wire bodies."""

    pool: dict[str, Any] | None = None
    """The pool that has the pipeline's name, whoever made it."""
    job_schedules: tuple[dict[str, Any], ...] = ()
    """The pipeline's own schedules that can still fire: active or disabled."""
    ended: frozenset[str] = frozenset()
    """Ids of its schedules that have ended or are about to; they cannot be used again."""


def diff(pipeline: Pipeline, desired: Desired, observed: Observed, *, now: datetime) -> tuple[Change, ...]:
    """The changes that make `observed` what is `desired`. Raises UnsafePlan if that would touch what is not ours."""
    return in_order(
        [*_pool_changes(pipeline, desired, observed), *_schedule_changes(pipeline, desired, observed, now)]
    )


def run_changes(pipeline: Pipeline, run: Run, pool: dict[str, Any] | None = None) -> tuple[Change, ...]:
    """What `batchctl run` would create: the run's own pool if it has one, its job and its tasks."""
    create = Action.CREATE
    changes = [
        Change(action=create, kind=Kind.JOB, id=run.id, body=run.job, why=(f"a run of {pipeline.spec.name}",))
    ]
    if pool is not None:
        changes.append(
            Change(
                action=create,
                kind=Kind.POOL,
                id=pool["id"],
                body=pool,
                why=("made for this run, deleted after it",),
            )
        )
    for task in run.tasks:
        waits = task.get("dependsOn", {}).get("taskIds", [])
        why = (
            f"after {', '.join(waits)}"
            if 0 < len(waits) <= 5
            else f"after {len(waits)} tasks"
            if waits
            else "at once"
        )
        changes.append(
            Change(action=create, kind=Kind.TASK, id=task["id"], body=task, why=(why,), within=run.id)
        )
    return in_order(changes)


def _pool_changes(pipeline: Pipeline, desired: Desired, observed: Observed) -> Iterator[Change]:
    wanted, there = desired.pool, observed.pool
    ours = there is not None and metadata_of(there).get(METADATA_PIPELINE) == pipeline.spec.name
    if wanted is None:
        if there is not None and ours:
            gone = "the jobspec no longer asks for a pool between runs"
            yield Change(action=Action.DELETE, kind=Kind.POOL, id=there["id"], body={}, why=(gone,))
        return
    if there is None:
        yield Change(
            action=Action.CREATE, kind=Kind.POOL, id=wanted["id"], body=wanted, why=("there is no such pool",)
        )
        return
    if not ours:
        raise UnsafePlan(
            f"the pool {wanted['id']} is there already and is not this pipeline's: it has no metadata {METADATA_PIPELINE}",
            hint=f"to use it as it is: pool: {{id: {wanted['id']}}}",
        )
    differences = list(_differences(wanted, there))
    if differences:
        fixed = [text for name, text in differences if name not in _IN_PLACE]
        action = Action.REPLACE if fixed else Action.UPDATE
        why = tuple(
            f"{text} (cannot be changed in place)" if name not in _IN_PLACE else text
            for name, text in differences
        )
        yield Change(action=action, kind=Kind.POOL, id=wanted["id"], body=wanted, why=why)


def _differences(wanted: Mapping[str, Any], there: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(property, text) for each property of the pool `wanted` whose value is another one `there`."""
    if not wanted.get("enableAutoScale") and there.get("enableAutoScale"):
        yield "enableAutoScale", "enableAutoScale: true -> false"
    for name, value in wanted.items():
        if name in ("id", "metadata") or (name == "resizeTimeout" and "targetDedicatedNodes" in wanted):
            continue  # the service answers with the resize timeout of the last resize, whoever asked for it
        for path, before, after in _leaves(name, _answered(value), _answered(there.get(name))):
            yield name, f"{path}: {_shown(before)} -> {_shown(after)}"


def _answered(value: Any) -> Any:
    """What the service answers where that is set: it tells no password."""
    if isinstance(value, Mapping):
        return {key: _answered(inner) for key, inner in value.items() if key != "password"}
    return [_answered(inner) for inner in value] if isinstance(value, list) else value


def _leaves(path: str, wanted: Any, there: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(wanted, Mapping):
        for key, value in wanted.items():
            yield from _leaves(f"{path}.{key}", value, there.get(key) if isinstance(there, Mapping) else None)
    elif not _same(wanted, there):
        yield path, there, wanted


def _same(a: Any, b: Any) -> bool:
    """Batch answers words in its own case and durations in canonical form."""
    if isinstance(a, str) and isinstance(b, str):
        if a.casefold() == b.casefold():
            return True
        try:
            return a[:1] == "P" and b[:1] == "P" and parse_iso_duration(a) == parse_iso_duration(b)
        except ValueError:
            return False
    return bool(a == b)


def _shown(value: Any) -> str:
    if value is None:
        return "not set"
    return str(value).lower() if isinstance(value, bool) else " ".join(str(value).split())


def _schedule_changes(
    pipeline: Pipeline, desired: Desired, observed: Observed, now: datetime
) -> Iterator[Change]:
    current = [s for s in observed.job_schedules if metadata_of(s).get(METADATA_DIGEST) == desired.content]
    if desired.decomposition is not None and _still_covers(pipeline, desired, current, now):
        kept, wanted = {s["id"] for s in current}, []
    else:
        kept = {s["id"] for s in desired.job_schedules}
        there = {s["id"] for s in observed.job_schedules}
        wanted = [s for s in desired.job_schedules if s["id"] not in there]
    for body in wanted:
        why = (*_reasons(pipeline, observed, current), _when(pipeline, body))
        yield Change(action=Action.CREATE, kind=Kind.JOB_SCHEDULE, id=body["id"], body=body, why=why)
    for body in observed.job_schedules:
        if body["id"] not in kept:
            gone = (
                "the jobspec has no schedule"
                if desired.decomposition is None
                else "replaced by the new schedules"
            )
            yield Change(
                action=Action.DELETE,
                kind=Kind.JOB_SCHEDULE,
                id=body["id"],
                body={},
                why=(f"{gone}; its runs stay listed",),
            )


def _reasons(pipeline: Pipeline, observed: Observed, current: list[dict[str, Any]]) -> tuple[str, ...]:
    if current:
        return ("the schedules that are there end too soon, or no longer fire when they should",)
    if observed.job_schedules:
        return ("the pipeline has changed", *pipeline_changes(pipeline, observed.job_schedules))
    return ("the pipeline is not scheduled yet",)


def _when(pipeline: Pipeline, body: Mapping[str, Any]) -> str:
    schedule = pipeline.spec.schedule
    assert schedule is not None
    times = body["schedule"]
    every = f" every {times['recurrenceInterval']}" if "recurrenceInterval" in times else " once"
    until = f" until {times['doNotRunAfter']}" if "doNotRunAfter" in times else ""
    told = metadata_of(body)
    zone = f"{schedule.timezone} (tzdata {told[METADATA_TZDATA]})"
    return f"{schedule.cron} {zone}, part {told[METADATA_PART]}: from {times['doNotRunUntil']}{every}{until}"


def _still_covers(pipeline: Pipeline, desired: Desired, current: list[dict[str, Any]], now: datetime) -> bool:
    """Whether the schedules that are there fire exactly when they should, for at least half of what new ones could promise."""
    schedule, decomposition = pipeline.spec.schedule, desired.decomposition
    assert schedule is not None
    assert decomposition is not None
    if not current:
        return False
    start = first_minute(now)
    horizons = {metadata_of(s).get(METADATA_HORIZON, "") for s in current}
    bounded = {datetime.fromisoformat(h) for h in horizons if h not in ("", "none")}
    if decomposition.horizon_end is None and bounded:
        return False
    if decomposition.horizon_end is not None and (
        not bounded or min(bounded) - start < (decomposition.horizon_end - start) / 2
    ):
        return False
    end = min(bounded) if bounded else start + _UNBOUNDED_LOOK
    window = Window(start=start, end=end)
    return covers(map(recurrence_of, current), schedule.line, schedule.zone, schedule.dst_rule, window)


def recurrence_of(body: Mapping[str, Any]) -> Recurrence:
    """When a job schedule of ours fires, from its wire body."""
    times = body["schedule"]
    interval, end = times.get("recurrenceInterval"), times.get("doNotRunAfter")
    start = datetime.fromisoformat(times.get("doNotRunUntil") or metadata_of(body)[METADATA_START])
    return Recurrence(
        start=start,
        interval=parse_iso_duration(interval) if interval else None,
        end=max(start, datetime.fromisoformat(end))
        if end
        else None,  # one that was ended early may end before it began
    )

"""`apply`: a plan, made true. What is new is created before what is old is taken away, so a crash in between costs nothing:
the next apply finds the new there and takes the old away."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from batchctl.errors import Conflict, StalePlan
from batchctl.plan import Action, Change, Kind, Plan, refuse_unsafe
from batchctl.plan.compile import METADATA_RETIRED, first_minute
from batchctl.plan.pipeline import metadata_items, metadata_of
from batchctl.spec.templates import iso
from batchctl.targets.batch import Batch


def apply(
    batch: Batch,
    plan: Plan,
    *,
    now: datetime,
    clock: Callable[[], datetime],
    replace_pool: bool,
    story: Callable[[str], None],
) -> None:
    """Make every change of the plan that was made at `now`, in its order. Raises UnsafePlan before the first one, TargetError at
    the one that fails, StalePlan at a job schedule that by `clock` would begin in the past."""
    pools = [
        c.id for c in plan.changes if c.kind is Kind.POOL and c.action in (Action.REPLACE, Action.DELETE)
    ]
    busy = sum(node.get("runningTasksCount", 0) for pool in pools for node in batch.nodes(pool))
    refuse_unsafe(plan.changes, replace_pool=replace_pool, busy_tasks=busy)
    for change in plan.changes:
        story(f"{change.action} {change.kind} {change.id}")
        if change.kind is Kind.JOB_SCHEDULE and change.action is Action.CREATE:
            _refuse_past_start(change, clock())
        _apply(batch, change, now)


def _refuse_past_start(change: Change, now: datetime) -> None:
    """Batch would fire at once, and count from then."""
    start = change.body["schedule"]["doNotRunUntil"]
    if datetime.fromisoformat(start) <= now:
        raise StalePlan(
            f"{change.id} was to begin at {start}, and it took until after that to get there",
            hint="the same command again: what was there before has not been ended",
        )


def _apply(batch: Batch, change: Change, now: datetime) -> None:
    match change.kind, change.action:
        case Kind.POOL, Action.CREATE:
            create_pool(batch, change.body)
        case Kind.POOL, Action.UPDATE:
            _update_pool(batch, change)
        case Kind.POOL, Action.REPLACE:
            batch.delete_pool(change.id, wait=True)
            create_pool(batch, change.body)
        case Kind.POOL, Action.DELETE:
            batch.delete_pool(change.id)
        case Kind.JOB_SCHEDULE, Action.CREATE:
            batch.create_job_schedule(change.body)
        case Kind.JOB_SCHEDULE, Action.DELETE:
            end_job_schedule(batch, change.id, at=first_minute(now))
        case _:
            raise AssertionError(f"a plan does not {change.action} a {change.kind}")


def end_job_schedule(batch: Batch, id: str, *, at: datetime) -> None:
    """Let a job schedule fire no more from `at` on. It is marked as ended on purpose, and gets an end, so that what it still
    has to do is done: a run that is going, a firing before `at`. One that has not begun is terminated; none is deleted."""
    body = batch.job_schedule(id)
    times = body["schedule"]
    last_second = at - timedelta(seconds=1)
    start = times.get("doNotRunUntil")
    retired = {"metadata": metadata_items({**metadata_of(body), METADATA_RETIRED: iso(at)})}
    has_fired = "recentJob" in (
        body.get("executionInfo") or {}
    )  # by the service's clock, which may be ahead of ours
    if start and not has_fired and datetime.fromisoformat(start) > last_second:
        batch.update_job_schedule(id, retired)
        batch.terminate_job_schedule(id)
        return
    end = times.get("doNotRunAfter")
    if end and datetime.fromisoformat(end) <= last_second:
        batch.update_job_schedule(id, retired)
        return
    # What has not fired yet keeps its beginning: without one it would fire now.
    kept = {key: value for key, value in times.items() if key != "doNotRunUntil" or not has_fired}
    batch.update_job_schedule(id, {**retired, "schedule": {**kept, "doNotRunAfter": iso(last_second)}})


def create_pool(batch: Batch, body: Mapping[str, Any]) -> None:
    """Create a pool; one that another operator made of the same jobspec in the meantime is the same."""
    try:
        batch.create_pool(body)
    except Conflict as error:
        if error.code != "PoolExists":
            raise


def _update_pool(batch: Batch, change: Change) -> None:
    body = change.body
    if body.get("enableAutoScale"):
        formula = ("autoScaleFormula", "autoScaleEvaluationInterval")
        batch.enable_autoscale(change.id, {name: body[name] for name in formula})
        return
    if any(reason.startswith("enableAutoScale") for reason in change.why):
        batch.disable_autoscale(change.id)
    names = ("targetDedicatedNodes", "targetLowPriorityNodes", "resizeTimeout")
    batch.resize_pool(change.id, {name: body[name] for name in names if name in body})

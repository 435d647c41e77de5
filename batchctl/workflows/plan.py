"""`plan`: what is there, what should be, and the difference."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from batchctl.plan import Observed, Pipeline, Plan, expand, make_plan, run_changes
from batchctl.plan.compile import METADATA_RETIRED
from batchctl.plan.pipeline import metadata_of
from batchctl.plan.pool_bodies import lifetime, pool_body
from batchctl.spec import Lifetime
from batchctl.targets.batch import Batch


def observe(batch: Batch, pipeline: Pipeline, *, now: datetime) -> Observed:
    """What the target has of the pipeline; of its schedules, those that can still fire at `now`."""
    found = batch.job_schedules(pipeline.spec.name)
    live = tuple(s for s in found if can_fire(s, now))
    ended = frozenset(s["id"] for s in found if not can_fire(s, now))
    return Observed(pool=batch.pool(pipeline.spec.name), job_schedules=live, ended=ended)


def can_fire(body: Mapping[str, Any], now: datetime) -> bool:
    """Whether a job schedule may still fire after `now`, and nobody has ended it."""
    end = body["schedule"].get("doNotRunAfter") if body.get("schedule") else None
    if body.get("state") not in ("active", "disabled") or METADATA_RETIRED in metadata_of(body):
        return False
    return (
        end is None or datetime.fromisoformat(end).replace(second=0) > now
    )  # schedules fire on whole minutes


def plan_pipeline(batch: Batch, pipeline: Pipeline, *, now: datetime) -> Plan:
    """What `schedule apply` would do."""
    return make_plan(pipeline, observe(batch, pipeline, now=now), now=now)


def plan_run(pipeline: Pipeline, given: dict[str, str], scheduled_at: datetime, *, run: str) -> Plan:
    """What `run` would create; it needs no target to be there."""
    expanded = expand(pipeline, given, scheduled_at, run=run)
    return Plan(changes=run_changes(pipeline, expanded, run_pool(pipeline, run)))


def run_pool(pipeline: Pipeline, run: str) -> dict[str, Any] | None:
    """The wire body of the pool that is made for this run, if its lifetime is `run`."""
    own = pipeline.spec.pool.id is None and lifetime(pipeline) is Lifetime.RUN
    return pool_body(pipeline, run) if own else None

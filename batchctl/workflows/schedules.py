"""Pipelines that run by themselves, as they are on the target: found, looked at, renewed, paused, started, ended.

A job schedule of ours carries the whole pipeline for its conductor, so none of this needs the jobspec's file.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from pydantic import ValidationError

from batchctl.errors import Conflict, QuotaExceeded, Refused, UnsafePlan, UsageError
from batchctl.plan import Action, Kind, Pipeline, Plan, make_plan
from batchctl.plan.bodies import CONDUCTOR_VARIABLE
from batchctl.plan.changed import loses_containers
from batchctl.plan.compile import METADATA_HORIZON, METADATA_RETIRED
from batchctl.plan.pipeline import METADATA_PIPELINE, metadata_items, metadata_of
from batchctl.plan.pool_bodies import lifetime
from batchctl.report.occurrences import METADATA_PAUSES, Occurrence, occurrences_so_far, pauses_of
from batchctl.spec import Lifetime
from batchctl.spec.references import nearest
from batchctl.spec.templates import iso
from batchctl.targets.batch import Batch
from batchctl.workflows.apply import apply, end_job_schedule
from batchctl.workflows.plan import can_fire, observe

LOOK_BACK = timedelta(days=7)
_LEAST_AHEAD = timedelta(days=7)


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """A pipeline's job schedules on the target: those that can fire, and those that have ended."""

    name: str
    live: tuple[dict[str, Any], ...]
    ended: tuple[dict[str, Any], ...]

    @property
    def schedules(self) -> tuple[dict[str, Any], ...]:
        """All of them, the live ones first."""
        return self.live + self.ended

    @property
    def latest(self) -> dict[str, Any]:
        """The one that says best what the pipeline is."""
        return self.live[0] if self.live else max(self.ended, key=lambda body: str(body["creationTime"]))

    @property
    def is_paused(self) -> bool:
        """Whether none of its live schedules may fire."""
        return bool(self.live) and all(body["state"] == "disabled" for body in self.live)

    @property
    def is_deleted(self) -> bool:
        """Whether somebody ended it on purpose; otherwise, without live schedules, it has stopped by itself."""
        return not self.live and METADATA_RETIRED in metadata_of(self.latest)

    @property
    def horizon_end(self) -> datetime | None:
        """When its schedules end by themselves; None if they do not."""
        ends = {metadata_of(body).get(METADATA_HORIZON, "none") for body in self.live or (self.latest,)} - {
            "none"
        }
        return min(map(datetime.fromisoformat, ends)) if ends else None

    @property
    def least_ahead(self) -> timedelta:
        """If less than this is left before `horizon_end`, nobody renews them: `sync` does when half of it is gone."""
        if self.horizon_end is None:
            return timedelta(0)
        made = max(datetime.fromisoformat(body["creationTime"]) for body in self.schedules)
        return min(_LEAST_AHEAD, (self.horizon_end - made) / 4)

    @property
    def pipeline(self) -> Pipeline | None:
        """What its conductor runs; None for a schedule that is not a pipeline's (the keeper). Raises Refused for a jobspec that
        this version of batchctl does not know."""
        manager = self.latest["jobSpecification"].get("jobManagerTask") or {}
        settings = {item["name"]: item.get("value", "") for item in manager.get("environmentSettings") or []}
        carried = settings.get(CONDUCTOR_VARIABLE)
        try:
            return Pipeline.from_json(orjson.loads(carried)) if carried else None
        except (ValidationError, KeyError, TypeError) as error:
            raise Refused(
                f"what {self.name} runs was written by another version of batchctl",
                hint="batchctl schedule apply SPEC",
            ) from error


def deployed(batch: Batch, name: str | None, *, now: datetime) -> list[Deployed]:
    """The pipelines that have job schedules, by name. With `name`, that one; raises UsageError if there is none."""
    found: dict[str, list[dict[str, Any]]] = {}
    for body in batch.job_schedules(name):
        found.setdefault(metadata_of(body)[METADATA_PIPELINE], []).append(body)
    if name is not None and name not in found:
        others = {metadata_of(body)[METADATA_PIPELINE] for body in batch.job_schedules()}
        raise UsageError(
            f"{name} has no schedules", hint=nearest(name, others) or "batchctl schedule apply SPEC"
        )
    return [
        Deployed(
            name=pipeline,
            live=tuple(body for body in bodies if can_fire(body, now)),
            ended=tuple(body for body in bodies if not can_fire(body, now)),
        )
        for pipeline, bodies in sorted(found.items())
    ]


def history(
    batch: Batch, of: Deployed, *, now: datetime, max_late: timedelta, look_back: timedelta = LOOK_BACK
) -> tuple[list[Occurrence], list[dict[str, Any]]]:
    """The pipeline's occurrences of the last time with their fates, and its jobs of that time, the latest first."""
    since = now - look_back
    jobs = batch.jobs(of.name, created_after=since)
    jobs.sort(key=lambda job: str(job["creationTime"]), reverse=True)
    return occurrences_so_far(of.schedules, jobs, since=since, now=now, max_late=max_late), jobs


def apply_pipeline(
    batch: Batch,
    pipeline: Pipeline,
    *,
    clock: Callable[[], datetime],
    replace_pool: bool,
    quota: int | None,
    story: Callable[[str], None],
    may_lose_containers: bool = True,
) -> Plan:
    """Make the target what the pipeline says; the plan that was carried out. Where a pool must be replaced, which takes minutes,
    the schedules are planned when that is done.

    Raises QuotaExceeded before the first change if the new job schedules would not fit into the account's `quota`, and UnsafePlan
    if runs would come out of their containers and nobody asked for that (`may_lose_containers`).
    """
    now = clock()
    observed = observe(batch, pipeline, now=now)
    if not may_lose_containers and loses_containers(pipeline, observed.job_schedules):
        raise UnsafePlan(
            f"{pipeline.spec.name} runs in containers, and would run as plain processes from now on",
            hint='--runtime docker, or runtime = "docker" in batchctl.toml; or, if that is meant, --runtime process',
        )
    plan = make_plan(pipeline, observed, now=now)
    new = sum(1 for c in plan.changes if c.kind is Kind.JOB_SCHEDULE and c.action is Action.CREATE)
    if new and quota is not None:
        active = batch.count_active()
        if active + new > quota:
            raise QuotaExceeded(
                f"{pipeline.spec.name} needs {new} more job schedules and {active} jobs and schedules are active; "
                f"the account holds {quota}",
                hint="ask Azure for a higher quota, lower schedule.budget, or end what is not needed",
            )
    replaced = tuple(c for c in plan.changes if c.kind is Kind.POOL and c.action is Action.REPLACE)
    if replaced:
        apply(batch, Plan(changes=replaced), now=now, clock=clock, replace_pool=replace_pool, story=story)
        now = clock()
        plan = make_plan(pipeline, observe(batch, pipeline, now=now), now=now)
    apply(batch, plan, now=now, clock=clock, replace_pool=replace_pool, story=story)
    # Any: an apply that was interrupted leaves new ones that are active beside the paused old ones.
    if plan.changes and any(body["state"] == "disabled" for body in observed.job_schedules):
        story(f"{pipeline.spec.name} stays paused")
        for body in observe(batch, pipeline, now=now).job_schedules:
            if body["state"] == "active":
                _disable(batch, body, now)
    return Plan(changes=(*replaced, *plan.changes), warnings=plan.warnings)


def sync(
    batch: Batch,
    name: str | None,
    *,
    clock: Callable[[], datetime],
    story: Callable[[str], None],
    quota: int | None = None,
) -> list[Plan]:
    """Renew the schedules whose end comes near, or has passed, of one pipeline or of all; the plans that changed something.

    What keeps one pipeline from being renewed does not keep the others: Refused, at the end, names those that were not.
    """
    plans, not_renewed = [], []
    for found in deployed(batch, name, now=clock()):
        if found.is_deleted:
            continue
        try:
            pipeline = found.pipeline
            if pipeline is None:
                continue
            plan = apply_pipeline(batch, pipeline, clock=clock, replace_pool=False, quota=quota, story=story)
        except (Refused, Conflict, QuotaExceeded) as error:
            if name is not None:
                raise
            story(f"{found.name} is not renewed: {error.message}")
            not_renewed.append(found.name)
            continue
        if plan.changes:
            plans.append(plan)
    if not_renewed:
        raise Refused(
            f"not renewed: {', '.join(not_renewed)}", hint=f"batchctl schedule sync {not_renewed[0]}"
        )
    return plans


def pause(batch: Batch, found: Deployed, *, now: datetime) -> int:
    """Disable every live schedule; how many were not yet. Their active runs go on. Raises UsageError if all have ended."""
    _require_live(found)
    active = [body for body in found.live if body["state"] == "active"]
    for body in active:
        _disable(batch, body, now)
    for body in found.live:  # of a pause that was interrupted before it was on record
        if body["state"] == "disabled" and all(stop for _, stop in pauses_of(body)):
            _tell_pause(batch, body, now)
    return len(active)


def resume(batch: Batch, found: Deployed, *, now: datetime) -> int:
    """Enable every disabled schedule; how many there were. Batch makes up for what it missed only within startWindow.
    Raises UsageError if all have ended."""
    _require_live(found)
    disabled = [body for body in found.live if body["state"] == "disabled"]
    for body in disabled:
        pauses = [[iso(start), iso(stop or now)] for start, stop in pauses_of(body)]
        _tell_pauses(batch, body, pauses)
        batch.enable_job_schedule(body["id"])
    return len(disabled)


def _require_live(found: Deployed) -> None:
    if not found.live:
        raise UsageError(f"the schedules of {found.name} have ended", hint="batchctl schedule apply SPEC")


def _own_pool(batch: Batch, found: Deployed) -> bool:
    """Whether the pipeline has a pool of its own on the target."""
    pipeline = found.pipeline
    if pipeline is None or pipeline.spec.pool.id is not None or lifetime(pipeline) is not Lifetime.IDLE:
        return False
    pool = batch.pool(found.name)
    return pool is not None and metadata_of(pool).get(METADATA_PIPELINE) == found.name


def _disable(batch: Batch, body: dict[str, Any], now: datetime) -> None:
    batch.disable_job_schedule(body["id"])
    _tell_pause(batch, body, now)


def _tell_pause(batch: Batch, body: dict[str, Any], now: datetime) -> None:
    pauses = [[iso(start), iso(stop) if stop else None] for start, stop in pauses_of(body)]
    _tell_pauses(batch, body, [*pauses, [iso(now.replace(microsecond=0)), None]])


def _tell_pauses(batch: Batch, body: dict[str, Any], pauses: Sequence[Sequence[str | None]]) -> None:
    told = {**metadata_of(body), METADATA_PAUSES: orjson.dumps(pauses).decode()}
    batch.update_job_schedule(body["id"], {"metadata": metadata_items(told)})


def delete(
    batch: Batch, found: Deployed, *, now: datetime, history: bool, story: Callable[[str], None]
) -> None:
    """End every live schedule and delete the pipeline's own pool. With `history`, delete the schedules too, with all their runs.

    Raises UnsafePlan, before anything is done, if a run is going that would lose its pool or its record.
    """
    own_pool = _own_pool(batch, found)
    if own_pool or history:
        jobs = batch.jobs(found.name, going_or_ended_after=now)
        # Also one of which no task runs at the moment: it waits for nodes, or for its next task.
        going = [job for job in jobs if job["state"] not in ("completed", "deleting")]
        if going:
            lost = "be deleted with the history" if history else f"lose its pool {found.name}"
            raise UnsafePlan(
                f"{going[0]['id']} is going, and would {lost}",
                hint=f"batchctl schedule pause {found.name}, batchctl wait {going[0]['id']}, and delete it then",
            )
    for body in found.live:
        story(f"end job_schedule {body['id']}")
        end_job_schedule(batch, body["id"], at=now.replace(second=0, microsecond=0) + timedelta(minutes=1))
    if own_pool:
        story(f"delete pool {found.name}")
        batch.delete_pool(found.name)
    if history:
        for body in found.schedules:
            story(f"delete job_schedule {body['id']} with its runs")
            batch.delete_job_schedule(body["id"])

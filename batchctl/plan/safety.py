"""What a plan costs in safety: warnings to read before, and refusals with their evidence. Pure."""

from collections.abc import Iterator, Sequence

from batchctl.errors import UnsafePlan
from batchctl.plan.change import Action, Change, Kind
from batchctl.plan.compile import Desired
from batchctl.plan.pipeline import Pipeline
from batchctl.plan.pool_bodies import lifetime
from batchctl.plan.sourcemart import stages
from batchctl.spec import Lifetime
from batchctl.spec.schedule import Overlap


def warnings(pipeline: Pipeline, desired: Desired) -> Iterator[str]:
    """What a reader of the plan should know."""
    spec, site = pipeline.spec, pipeline.site
    if spec.pool.id is None:
        kind = lifetime(pipeline)
        if kind is Lifetime.AUTO and not site.on_this_machine:
            yield "pool.lifetime auto: an auto pool has no managed identity, so credentials travel in plain settings"
        if kind is Lifetime.IDLE and not site.autoscale:
            yield (
                "pool.lifetime idle: pools here do not follow a formula; "
                f"{spec.pool.nodes} nodes stay until the pool is deleted"
            )
        slots = spec.pool.nodes * spec.pool.task_slots_per_node
        queues = spec.schedule is not None and spec.schedule.overlap is Overlap.QUEUE
        if kind is Lifetime.IDLE and queues and slots == 1:
            yield (
                "schedule.overlap queue: a run that waits keeps a task slot, and the pool has one, so the run that it waits "
                "for could not go on: pool.task_slots_per_node: 2"
            )
    if spec.schedule is not None and spec.pool.id is None and not site.on_this_machine:
        yield (
            "the conductor of a scheduled run signs in to Batch as the identity of its pool's nodes, and this pool has none, "
            "so it could add no tasks: make a pool that has one, and name it, pool: {id: …}"
        )
    if site.containers and not spec.images:
        for stage in stages(spec):
            if stage.task.image is None:
                yield f"{stage.task.id} has no image: stage-run and its program must be installed on the nodes"
    if (
        spec.schedule is not None
        and desired.decomposition is not None
        and desired.decomposition.horizon_end is not None
    ):
        end = desired.decomposition.horizon_end
        if not desired.job_schedules:
            yield f"{spec.schedule.cron} does not fire before {end:%Y-%m-%d}, so nothing is scheduled yet: apply again by then"
            return
        yield f"the schedules end on {end:%Y-%m-%d}: batchctl schedule sync or keeper renews them before then"


def refuse_unsafe(changes: Sequence[Change], *, replace_pool: bool, busy_tasks: int) -> None:
    """Raise UnsafePlan if the changes would end running work that nobody asked to end.

    `busy_tasks` counts the tasks that run in the pool now; `replace_pool` is the user's word that the pool may go.
    """
    if replace_pool:
        return
    for change in changes:
        if change.kind is Kind.POOL and change.action in (Action.REPLACE, Action.DELETE) and busy_tasks:
            noun = "task is" if busy_tasks == 1 else "tasks are"
            raise UnsafePlan(
                f"the pool {change.id} would be deleted while {busy_tasks} {noun} running in it: {'; '.join(change.why)}",
                hint="wait for the runs, or say --replace-pool",
            )

"""`run`: one run of a pipeline. It gets all of its tasks, or is ended."""

from collections.abc import Callable, Mapping
from typing import Any

from batchctl.errors import BatchctlError, Conflict, NotFound, RunFailed, TargetError, Unreachable
from batchctl.plan import Pipeline, Run
from batchctl.plan.bodies import SUBMISSION_INTERRUPTED
from batchctl.plan.pipeline import (
    METADATA_PARAMETERS,
    METADATA_PIPELINE,
    METADATA_SCHEDULED_AT,
    METADATA_TASKS,
    metadata_of,
)
from batchctl.plan.pool_bodies import lifetime, pool_body
from batchctl.spec import Lifetime
from batchctl.targets.batch import Batch
from batchctl.targets.submit import submit
from batchctl.workflows.apply import create_pool
from batchctl.workflows.plan import run_pool

_ENDED = ("JobBeingTerminated", "JobTerminating", "JobCompleted")


def start_run(
    batch: Batch, pipeline: Pipeline, run: Run, on_accepted: Callable[[int], None] | None = None
) -> None:
    """Create the job of `run` and add all its tasks; they may start before the last one is there. Whatever stops it half-way, the
    job is ended before the error goes on. A run that was begun before is finished, one that was submitted whole is left alone.

    Raises TargetError, TasksRejected; RunFailed if a task failed before the last one was added; Conflict if the id belongs to
    a run of something else.
    """
    own_pool = run_pool(pipeline, run.id)
    try:
        if not _create(batch, pipeline, run, own_pool):
            return
    except (KeyboardInterrupt, TargetError) as error:
        if not isinstance(error, Unreachable):
            _take_back(batch, run, own_pool is not None)
        raise
    try:
        submit(batch, run.id, run.tasks, on_accepted)
        # Only now: a job that ends by itself must not be empty, or its first task the last to be there.
        batch.update_job(run.id, {"onAllTasksComplete": "terminatejob"})
    except BaseException as error:
        _end(batch, run.id, own_pool is not None)
        if isinstance(error, TargetError) and error.code in _ENDED:
            raise RunFailed(
                f"run {run.id} failed while its tasks were being added",
                run=run.id,
                hint=f"batchctl status {run.id}",
            ) from error
        raise


def _create(batch: Batch, pipeline: Pipeline, run: Run, own_pool: Mapping[str, Any] | None) -> bool:
    """Create the job, and the pool that it needs; False if the run was submitted whole before."""
    if own_pool is not None:
        create_pool(batch, own_pool)
    elif (
        pipeline.spec.pool.id is None
        and lifetime(pipeline) is Lifetime.IDLE
        and batch.pool(pipeline.spec.name) is None
    ):
        create_pool(batch, pool_body(pipeline, pipeline.spec.name))
    if batch.create_job(run.job):
        return True
    there = batch.job(run.id)
    if _identity(there) != _identity(run.job):
        raise Conflict(
            f"{run.id} is the id of another run", code="JobExists", hint=f"batchctl status {run.id}"
        )
    return not _is_whole(there)


def _take_back(batch: Batch, run: Run, own_pool: bool) -> None:
    """End what a creation that did not come to its end may have left: the service may have done what we were not told.

    Another run of the same id stays, and one that was submitted whole.
    """
    try:
        there = batch.job(run.id)
    except NotFound:
        pass
    except BatchctlError:
        return
    else:
        if _identity(there) != _identity(run.job) or _is_whole(there):
            return
    _end(batch, run.id, own_pool)


def _is_whole(job: Mapping[str, Any]) -> bool:
    """Whether all of its tasks were added: only then it ends by itself."""
    return bool(job["onAllTasksComplete"] == "terminatejob")


def _identity(job: Mapping[str, Any]) -> tuple[str | None, ...]:
    """What a run is for: two jobs of one id that agree in this are the same run."""
    told = metadata_of(job)
    return tuple(
        told.get(key)
        for key in (METADATA_PIPELINE, METADATA_SCHEDULED_AT, METADATA_PARAMETERS, METADATA_TASKS)
    )


def _end(batch: Batch, run: str, own_pool: bool) -> None:
    """Leave nothing running of a run that could not be submitted; the error that brought us here is the one to tell."""
    try:
        batch.terminate_job(run, SUBMISSION_INTERRUPTED)
    except NotFound:
        pass
    except BatchctlError:
        return
    if own_pool:
        try:
            batch.delete_pool(run)
        except BatchctlError:
            return


def remove_run_pool(batch: Batch, run: str) -> None:
    """Delete the pool that was made for `run`, if there is one and it is ours."""
    pool = batch.pool(run)
    if pool is not None and METADATA_PIPELINE in metadata_of(pool):
        batch.delete_pool(run)

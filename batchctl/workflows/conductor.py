"""The job manager task of a scheduled run: works out which occurrence this is, expands the run, and adds its tasks.

Azure Batch schedules know no tasks, only a job manager task. It may be run again at any moment, so everything here may be
repeated. It exits 0 only when every task was accepted, or when the run was skipped and that is on record; if it cannot add the
tasks, it ends the job, so that the run is seen to have failed and does not block the next one.
"""

import os
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import orjson

from batchctl.errors import BatchctlError, NotFound, TargetError, UsageError
from batchctl.plan import Pipeline, expand, run_id
from batchctl.plan.bodies import CONDUCTOR_FAILED, CONDUCTOR_VARIABLE
from batchctl.plan.diff import recurrence_of
from batchctl.plan.overlap import Decision, OtherRun, Verb, decide
from batchctl.plan.pipeline import (
    METADATA_BLOCKED_BY,
    METADATA_RUN,
    METADATA_SCHEDULED_AT,
    METADATA_SKIPPED,
    METADATA_TASKS,
    metadata_items,
    metadata_of,
)
from batchctl.report.occurrences import latest_firing
from batchctl.schedule import Recurrence, previous
from batchctl.spec.schedule import Overlap
from batchctl.spec.templates import iso
from batchctl.targets.batch import Batch
from batchctl.targets.submit import submit
from batchctl.workflows.run import start_run

REPLACED = "ReplacedByLaterRun"
_WAIT_SECONDS = 10.0


def conduct(
    batch: Batch,
    job: str,
    pipeline: Pipeline,
    *,
    clock: Callable[[], datetime],
    sleep: Callable[[float], None],
) -> str:
    """Add the tasks of the scheduled run `job`, or skip it; what was done, in words. Raises BatchctlError if not all tasks
    could be added. `sleep` (seconds) is called while a queued run waits."""
    body = batch.job(job)
    schedule = _schedule(pipeline)
    created = datetime.fromisoformat(body["creationTime"])
    grid_of = cache(lambda id: _grid(batch, id))
    scheduled_at = occurrence_of(pipeline, created, grid_of(job))
    me = OtherRun(id=job, created=created, ended=None, scheduled_at=scheduled_at)
    deadline = scheduled_at + schedule.start_window
    while True:
        found = batch.jobs(pipeline.spec.name, going_or_ended_after=scheduled_at)
        others = [
            _run_of(pipeline, other, grid_of)
            for other in found
            if other["id"] != job and METADATA_SKIPPED not in metadata_of(other)
        ]
        decision = decide(schedule.overlap, me, others, now=clock(), deadline=deadline)
        if decision.verb is not Verb.WAIT:
            break
        sleep(_WAIT_SECONDS)
    if decision.verb is Verb.SKIP:
        return _skip(batch, body, scheduled_at, decision)
    for other in decision.runs if decision.verb is Verb.REPLACE else ():
        batch.terminate_job(other, REPLACED)
    if schedule.overlap in (Overlap.ALLOW, Overlap.REPLACE):
        return _start_beside(batch, body, pipeline, scheduled_at)
    run = expand(pipeline, {}, scheduled_at, run=job)
    _tell(batch, body, {METADATA_SCHEDULED_AT: iso(scheduled_at), METADATA_TASKS: str(len(run.tasks))})
    return f"{_tasks(submit(batch, job, run.tasks))} added to {job}"


def occurrence_of(pipeline: Pipeline, created: datetime, grid: Recurrence | None = None) -> datetime:
    """The occurrence that a job created at `created` is for: the latest one not after it, of those that are its job schedule's
    (`grid`): one that had to wait for the job before may come after an occurrence of the pipeline's other schedules."""
    own = latest_firing(grid, created) if grid is not None else None
    if own is not None:
        return own
    schedule = _schedule(pipeline)
    return previous(schedule.line, schedule.zone, schedule.dst_rule, created)


def _grid(batch: Batch, job: str) -> Recurrence | None:
    """When the job schedule of a job fires; None for a job of none, or of one that was deleted meanwhile."""
    schedule, separator, _ = job.partition(":")
    try:
        return recurrence_of(batch.job_schedule(schedule)) if separator else None
    except NotFound:
        return None


def _schedule(pipeline: Pipeline) -> Any:
    if pipeline.spec.schedule is None:
        raise UsageError(f"{pipeline.spec.name} has no schedule, so it has no conductor")
    return pipeline.spec.schedule


def _run_of(
    pipeline: Pipeline, body: Mapping[str, Any], grid_of: Callable[[str], Recurrence | None]
) -> OtherRun:
    created = datetime.fromisoformat(body["creationTime"])
    told = metadata_of(body)
    at = told.get(METADATA_SCHEDULED_AT)
    scheduled = None  # as of one that was started by hand, also for an occurrence
    if "jobManagerTask" in body:
        scheduled = (
            datetime.fromisoformat(at) if at else occurrence_of(pipeline, created, grid_of(body["id"]))
        )
    over = str(body["state"]).lower() in ("completed", "deleting")
    ended = (body.get("executionInfo") or {}).get("endTime") or body.get("stateTransitionTime")
    return OtherRun(
        id=str(body["id"]),
        created=created,
        ended=datetime.fromisoformat(ended) if over and ended else None,
        scheduled_at=scheduled,
        is_starter=METADATA_RUN in told,
    )


def _skip(batch: Batch, body: Mapping[str, Any], scheduled_at: datetime, decision: Decision) -> str:
    _tell(
        batch,
        body,
        {
            METADATA_SCHEDULED_AT: iso(scheduled_at),
            METADATA_SKIPPED: decision.why,
            METADATA_BLOCKED_BY: decision.runs[0],
        },
    )
    return f"skipped: {decision.why}"


def _start_beside(batch: Batch, body: Mapping[str, Any], pipeline: Pipeline, scheduled_at: datetime) -> str:
    """Runs that may overlap get jobs of their own: a schedule whose job is still active would not fire again."""
    run = run_id(pipeline.spec.name, scheduled_at, "s")
    _tell(batch, body, {METADATA_SCHEDULED_AT: iso(scheduled_at), METADATA_RUN: run})
    made = expand(pipeline, {}, scheduled_at, run=run)
    start_run(batch, pipeline, made)
    return f"{_tasks(len(made.tasks))} added to {run}"


def _tasks(count: int) -> str:
    return f"{count} task{'' if count == 1 else 's'}"


def _tell(batch: Batch, body: Mapping[str, Any], told: Mapping[str, str]) -> None:
    batch.update_job(body["id"], {"metadata": metadata_items({**metadata_of(body), **told})})


def connect_from(environ: Mapping[str, str]) -> Batch:
    """The account whose task we are: on this machine by its well-known key, in Azure as the pool's managed identity."""
    from batchctl.server import DEV_ACCOUNT, DEV_KEY
    from batchctl.targets.connect import connect

    endpoint, account = environ["AZ_BATCH_ACCOUNT_URL"], environ["AZ_BATCH_ACCOUNT_NAME"]
    host = urlsplit(endpoint).hostname
    is_local = host in ("127.0.0.1", "localhost", "::1") and account == DEV_ACCOUNT
    return connect(
        endpoint, account=account, key=environ.get("BATCHCTL_KEY") or (DEV_KEY if is_local else "")
    )


def main(arguments: list[str], environ: Mapping[str, str]) -> int:
    """The program `batchctl-conductor`; everything it needs is in the environment. Returns the exit code.

    `batchctl-conductor keep` renews every pipeline's schedules instead: the job of `schedule keeper`.
    """
    try:
        batch = connect_from(environ)
        job = environ["AZ_BATCH_JOB_ID"]
        conducted = "" if arguments == ["keep"] else environ[CONDUCTOR_VARIABLE]
    except KeyError as error:
        sys.stderr.write(f"{error.args[0]} is not set: this program is started by Azure Batch, not by hand\n")
        return 2
    with batch:
        try:
            if conducted:
                pipeline = Pipeline.from_json(orjson.loads(conducted))
                done = conduct(batch, job, pipeline, clock=lambda: datetime.now(UTC), sleep=time.sleep)
            else:
                done = _keep(batch)
        except BatchctlError as error:
            sys.stderr.write(f"error: {error.message}\n")
            sys.stderr.flush()  # ending the job ends this process too
            _fail(batch, job)
            return error.exit_code
    sys.stdout.write(f"{done}\n")
    return 0


def _keep(batch: Batch) -> str:
    from batchctl.workflows.schedules import sync

    def tell(line: str) -> None:
        sys.stdout.write(f"{line}\n")

    changed = sync(batch, None, clock=lambda: datetime.now(UTC), story=tell)
    return f"{len(changed)} pipelines renewed"


def _fail(batch: Batch, job: str) -> None:
    """End the run. If even that fails, our exit code makes Batch start us again."""
    try:
        batch.terminate_job(job, CONDUCTOR_FAILED)
    except TargetError as error:
        sys.stderr.write(f"error: {error.message}\n")


def run_program() -> None:
    """`batchctl-conductor`."""
    sys.exit(main(sys.argv[1:], os.environ))

"""`schedule trigger`: what a run that is started by hand does about those that are going, as a scheduled one's conductor does."""

from collections.abc import Callable
from datetime import datetime

from batchctl.errors import Refused
from batchctl.plan import Pipeline
from batchctl.plan.pipeline import METADATA_RUN, METADATA_SKIPPED, metadata_of
from batchctl.spec.schedule import Overlap
from batchctl.targets.batch import Batch
from batchctl.workflows.conductor import REPLACED


def make_way(
    batch: Batch, pipeline: Pipeline, *, now: datetime, force: bool, story: Callable[[str], None]
) -> None:
    """End the runs that are going where `overlap` is replace. Raises Refused where it is forbid, without `force`."""
    schedule = pipeline.spec.schedule
    overlap = schedule.overlap if schedule is not None else Overlap.ALLOW
    if overlap not in (Overlap.FORBID, Overlap.REPLACE) or (overlap is Overlap.FORBID and force):
        return
    name = pipeline.spec.name
    jobs = batch.jobs(name, going_or_ended_after=now)
    jobs.sort(key=lambda job: str(job["creationTime"]))
    for job in jobs:
        if job["state"] in ("completed", "deleting") or {METADATA_SKIPPED, METADATA_RUN} & set(
            metadata_of(job)
        ):
            continue
        if overlap is Overlap.FORBID:
            raise Refused(
                f"{job['id']} is going, and overlap: forbid lets {name} have one run at a time",
                hint=f"batchctl wait {job['id']}, or batchctl schedule trigger {name} --force",
            )
        story(f"end {job['id']}")
        batch.terminate_job(job["id"], REPLACED)

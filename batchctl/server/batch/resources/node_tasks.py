"""Job preparation and release tasks: checks and defaults. Source: Azure Batch REST, Job - Add; recorded answers."""

from datetime import timedelta

from batchctl.server.batch.errors import ServiceError, invalid_value
from batchctl.server.batch.resources.checks import (
    check_environment,
    check_id,
    check_user,
    checked_constraints,
)
from batchctl.server.batch.resources.file_checks import check_files
from batchctl.server.batch.resources.task import DEFAULT_USER
from batchctl.server.batch.wire import Doc, duration

PREPARATION_ID = "jobpreparation"
RELEASE_ID = "jobrelease"
_LONGEST_RELEASE = timedelta(minutes=15)


def check_node_tasks(job: Doc) -> None:
    """Raise ServiceError unless a job's preparation and release task can be meant; a release needs a preparation."""
    preparation, release = job.get("jobPreparationTask"), job.get("jobReleaseTask")
    manager = job.get("jobManagerTask", {}).get("id", "").lower()
    if preparation is not None:
        name = preparation.get("id", PREPARATION_ID)
        check_id(name)
        check_files(preparation)
        check_user(preparation)
        check_environment(preparation)
        checked_constraints(preparation.get("constraints"), retention=True)
        if name.lower() == manager:
            raise ServiceError("TaskIdSameAsJobPreparationTask")
    if release is None:
        return
    if preparation is None:
        reason = "A job release task requires a job preparation task."
        raise invalid_value("jobReleaseTask", release.get("id", RELEASE_ID), reason)
    name = release.get("id", RELEASE_ID)
    check_id(name)
    check_files(release)
    check_user(release)
    check_environment(release)
    if name.lower() in (manager, preparation.get("id", PREPARATION_ID).lower()):
        raise ServiceError("TaskIdSameAsJobReleaseTask")
    limit = duration(release.get("maxWallClockTime", "PT15M"))
    if limit is None or not timedelta() < limit <= _LONGEST_RELEASE:
        details = (("PropertyName", "maxWallClockTime"), ("PropertyValue", release["maxWallClockTime"]))
        raise ServiceError("InvalidConstraintValue", *details)


def node_tasks(job: Doc) -> Doc:
    """`jobPreparationTask` and `jobReleaseTask` of the job, those that it has, with their defaults."""
    tasks: Doc = {}
    if "jobPreparationTask" in job:
        given = job["jobPreparationTask"]
        defaults = {"id": PREPARATION_ID, "userIdentity": DEFAULT_USER, "waitForSuccess": True}
        defaults["rerunOnNodeRebootAfterSuccess"] = True
        constraints = checked_constraints(given.get("constraints"), retention=True)
        tasks["jobPreparationTask"] = {**defaults, **given, "constraints": constraints}
    if "jobReleaseTask" in job:
        defaults = {"id": RELEASE_ID, "userIdentity": DEFAULT_USER}
        limits = {"maxWallClockTime": "PT15M", "retentionTime": "P7D"}
        tasks["jobReleaseTask"] = {**defaults, **limits, **job["jobReleaseTask"]}
    return tasks

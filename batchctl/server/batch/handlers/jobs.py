"""The operations on jobs. Source: Azure Batch REST, Job."""

from collections.abc import Iterator

from batchctl.server.batch.call import Call, Reply, described, element, versioned
from batchctl.server.batch.errors import ServiceError, invalid_value, missing_property
from batchctl.server.batch.lifecycle.job import JOB, JobEvent, JobState
from batchctl.server.batch.listing import Page, expands_stats, list_reply, selected
from batchctl.server.batch.quota import check_active_quota
from batchctl.server.batch.resources.checks import check_id, check_metadata, checked_constraints
from batchctl.server.batch.resources.job import UPDATABLE, check_job, check_limits, counts_view, job_view
from batchctl.server.batch.resources.statistics import job_statistics
from batchctl.server.batch.scheduler import jobs as job_actions
from batchctl.server.batch.scheduler import preparation
from batchctl.server.batch.store import Row, Store
from batchctl.server.batch.wire import Doc, instant_text, next_etag

_REFUSALS = {
    JobState.COMPLETED: "JobCompleted",
    JobState.TERMINATING: "JobBeingTerminated",
    JobState.DELETING: "JobBeingDeleted",
}


def create(call: Call) -> Reply:
    """Add a job, its job manager task and its auto pool (201)."""
    body = call.checked_body("BatchJobCreateOptions")
    check_id(body["id"])
    check_job(body, scheduled=False)
    if call.store.jobs.get(body["id"]) is not None:
        raise ServiceError("JobExists")
    if call.store.schedules.get(body["id"]) is not None:
        raise ServiceError("JobScheduleWithSameIdExists")
    check_active_quota(call.store)
    job = job_actions.create_job(call.store, body["id"], body, call.now)
    # The real service answers with this address whatever the job is called.
    url = f"{call.endpoint}/jobs/job-1"
    return Reply(status=201, headers=described(job.doc, url) | {"Location": url})


def get(call: Call) -> Reply:
    """One job (200)."""
    job = find_job(call)
    call.check_conditions(job.doc["eTag"], job.doc["lastModified"])
    doc = selected(call, "BatchJob", _view(call, job))
    headers = versioned(job.doc["eTag"], job.doc["lastModified"])
    return Reply(status=200, body=element(call, "jobs", doc), headers=headers)


def list_jobs(call: Call) -> Reply:
    """All jobs, a page at a time (200)."""
    return list_jobs_where(call, "1", [])


def list_jobs_where(call: Call, condition: str, values: list[object]) -> Reply:
    """The jobs that meet a condition on the table, a page at a time."""

    def fetch(page: Page) -> Iterator[tuple[int, Doc]]:
        return ((row.seq, _view(call, row)) for row in page.rows(call.store.jobs, condition, values))

    return list_reply(call, "jobs", "BatchJob", fetch)


def _view(call: Call, job: Row) -> Doc:
    view = job_view(job, call.endpoint)
    if expands_stats(call):
        view["stats"] = job_statistics(call.store, job, view["url"], call.now)
    return view


def replace(call: Call) -> Reply:
    """Give a job new properties (200); of those that can be changed, what is not given gets its default."""
    body = call.checked_body("BatchJob")
    if "poolInfo" not in body:
        raise missing_property("poolInfo")
    check_limits(body)
    check_metadata(body)
    job = find_job(call)
    call.check_conditions(job.doc["eTag"], job.doc["lastModified"])
    refuse_unless_open(job)
    _refuse_noaction(job, body.get("onAllTasksComplete", "noaction"))
    if body["poolInfo"].get("poolId", "").lower() != job.doc["poolInfo"].get("poolId", "").lower():
        _move_to_pool(call.store, job, body["poolInfo"])
    elif "poolId" not in body["poolInfo"]:
        _keep_pool(call.store, job, body["poolInfo"])
    for name, default in UPDATABLE.items():
        job.doc.pop(name, None)
        value = body.get(name, default)
        if value is not None:
            job.doc[name] = value
    job.doc["constraints"] = checked_constraints(body.get("constraints"))
    _touch(call, job)
    return Reply(status=200, headers=_address(call, job))


def _refuse_noaction(job: Row, wanted: str | None) -> None:
    if (job.doc["onAllTasksComplete"], wanted) == ("terminatejob", "noaction"):
        raise invalid_value("onAllTasksComplete", "noaction", "It cannot be changed back from terminatejob.")


def _keep_pool(store: Store, job: Row, info: Doc) -> None:
    """A replaced job comes with its auto pool as it is; only another keepAlive is a change."""
    auto, current = info.get("autoPoolSpecification"), job.doc["poolInfo"].get("autoPoolSpecification")
    if auto is None or current is None:
        raise invalid_value("poolInfo", info, "Exactly one of poolId and autoPoolSpecification must be set.")
    if auto.get("keepAlive", False) != current.get("keepAlive", False):
        _move_to_pool(store, job, info)


def patch(call: Call) -> Reply:
    """Change some properties of a job (200); what is given replaces the whole property."""
    body = call.checked_body("BatchJobUpdateOptions")
    check_limits(body)
    check_metadata(body)
    job = find_job(call)
    call.check_conditions(job.doc["eTag"], job.doc["lastModified"])
    refuse_unless_open(job)
    _refuse_noaction(job, body.get("onAllTasksComplete"))
    if "poolInfo" in body:
        _move_to_pool(call.store, job, body.pop("poolInfo"))
    if "constraints" in body:
        body["constraints"] = checked_constraints(body["constraints"])
    job.doc.update(body)
    _touch(call, job)
    return Reply(status=200, headers=_address(call, job))


def _move_to_pool(store: Store, job: Row, info: Doc) -> None:
    """Only a disabled job may change its pool; of an auto pool only keepAlive may change, and that always."""
    auto, current = info.get("autoPoolSpecification"), job.doc["poolInfo"].get("autoPoolSpecification")
    if auto is not None:
        if current is None or current["poolLifetimeOption"] != "job":
            raise invalid_value("poolInfo", info, "Only keepAlive of a job's own auto pool can be changed.")
        current["keepAlive"] = auto.get("keepAlive", False)
        for pool in store.pools.all("owner = ?", (f"job:{job.seq}",)):
            pool.doc["_keepAlive"] = current["keepAlive"]
            store.pools.save(pool)
        return
    if job.doc["state"] != JobState.DISABLED:
        raise ServiceError("OperationInvalidForCurrentState")
    if "poolId" not in info:
        raise invalid_value("poolInfo", info, "poolId or autoPoolSpecification must be set.")
    job.doc["poolInfo"] = {"poolId": info["poolId"]}
    job.doc["executionInfo"]["poolId"] = info["poolId"]


def terminate(call: Call) -> Reply:
    """Begin to end a job (202); with `force` its release tasks are left out."""
    body, force = call.optional_body("BatchJobTerminateOptions"), call.flag("force")
    job = find_job(call)
    call.check_conditions(job.doc["eTag"], job.doc["lastModified"])
    refuse_unless_open(job)
    _force(job, force=force)
    _touch(call, job)
    job_actions.terminate(call.store, job, body.get("terminateReason", "UserTerminate"), call.now)
    return Reply(status=202, headers=_address(call, job))


def disable(call: Call) -> Reply:
    """Begin to pause a job (202)."""
    body = call.checked_body("BatchJobDisableOptions")
    job = find_job(call)
    call.check_conditions(job.doc["eTag"], job.doc["lastModified"])
    refuse_unless_open(job)
    if not JOB.can(job.doc["state"], JobEvent.DISABLE):
        raise ServiceError("JobDisabled")
    _touch(call, job)
    job_actions.disable(call.store, job, body["disableTasks"], call.now)
    return Reply(status=202, headers=_address(call, job))


def enable(call: Call) -> Reply:
    """Begin to let a paused job go on (202)."""
    job = find_job(call)
    call.check_conditions(job.doc["eTag"], job.doc["lastModified"])
    refuse_unless_open(job)
    if not JOB.can(job.doc["state"], JobEvent.ENABLE):
        raise ServiceError("OperationInvalidForCurrentState")
    JOB.advance(job.doc, JobEvent.ENABLE, call.now)
    _touch(call, job)
    return Reply(status=202, headers=_address(call, job))


def delete(call: Call) -> Reply:
    """Begin to remove a job with its tasks and their files (202); with `force` its release tasks are left out."""
    force = call.flag("force")
    job = find_job(call)
    call.check_conditions(job.doc["eTag"], job.doc["lastModified"])
    if job.doc["state"] == JobState.DELETING:
        raise ServiceError("JobBeingDeleted")
    _force(job, force=force)
    job_actions.delete(call.store, job, call.now)
    return Reply(status=202)


def _force(job: Row, *, force: bool) -> None:
    if force:
        job.doc["_force"] = True


def preparation_status(call: Call) -> Reply:
    """How the job's preparation and release tasks did, node by node (200)."""
    job = find_job(call)
    if "jobPreparationTask" not in job.doc:
        raise ServiceError("JobPreparationTaskOrReleaseTaskNotSpecified")

    def fetch(page: Page) -> Iterator[tuple[int, Doc]]:
        return iter(preparation.status_views(call.store, job, page.after, page.limit, call.endpoint))

    kind = "jobpreparationandreleasetaskstatuslist"
    return list_reply(call, kind, "BatchJobPreparationAndReleaseTaskStatus", fetch)


def task_counts(call: Call) -> Reply:
    """How many tasks, and slots of tasks, are in which state (200)."""
    counts = counts_view(call.store, find_job(call).seq)
    if call.is_before_slots:
        return Reply(status=200, body=element(call, "taskcounts", counts["taskCounts"]))
    return Reply(status=200, body=element(call, "taskcountsresult", counts))


def find_job(call: Call) -> Row:
    """The job that the path names. Raises JobNotFound."""
    job = call.store.jobs.get(call.params["jobId"])
    if job is None:
        raise ServiceError("JobNotFound")
    return job


def refuse_unless_open(job: Row) -> None:
    """Raise unless the job still takes changes."""
    code = _REFUSALS.get(JobState(job.doc["state"]))
    if code is not None:
        raise ServiceError(code)


def _touch(call: Call, job: Row) -> None:
    job.doc.update(eTag=next_etag(call.now, job.doc["eTag"]), lastModified=instant_text(call.now))
    call.store.jobs.save(job)


def _address(call: Call, job: Row) -> dict[str, str]:
    return described(job.doc, f"{call.endpoint}/jobs/{job.doc['id']}")

"""The operations on job schedules. Source: Azure Batch REST, Job Schedule."""

from collections.abc import Iterator

from batchctl.server.batch.call import Call, Reply, described, element, versioned
from batchctl.server.batch.errors import ServiceError, missing_property
from batchctl.server.batch.handlers.jobs import list_jobs_where
from batchctl.server.batch.lifecycle.job_schedule import SCHEDULE, ScheduleEvent, ScheduleState
from batchctl.server.batch.listing import Page, expands_stats, list_reply, selected
from batchctl.server.batch.quota import check_active_quota
from batchctl.server.batch.resources.checks import check_display_name, check_id, check_metadata
from batchctl.server.batch.resources.job import check_job
from batchctl.server.batch.resources.job_schedule import check_schedule, schedule_document, schedule_view
from batchctl.server.batch.resources.statistics import schedule_statistics
from batchctl.server.batch.scheduler import schedules as schedule_actions
from batchctl.server.batch.store import Row
from batchctl.server.batch.wire import Doc, instant_text, next_etag

_REFUSALS = {
    ScheduleState.COMPLETED: "JobScheduleCompleted",
    ScheduleState.TERMINATING: "JobScheduleBeingTerminated",
    ScheduleState.DELETING: "JobScheduleBeingDeleted",
}


def create(call: Call) -> Reply:
    """Add a schedule; a job that is due at once is there when this answers (201)."""
    body = call.checked_body("BatchJobScheduleCreateOptions")
    check_id(body["id"])
    check_display_name(body)
    check_metadata(body)
    check_schedule(body["schedule"])
    check_job(body["jobSpecification"], scheduled=True)
    if call.store.schedules.get(body["id"]) is not None:
        raise ServiceError("JobScheduleExists")
    if call.store.jobs.get(body["id"]) is not None:
        raise ServiceError("JobWithSameIdExists")
    check_active_quota(call.store)
    schedule = call.store.schedules.add(schedule_document(body, call.now))
    schedule_actions.advance(call.store, schedule, call.now)
    headers = _address(call, schedule)
    return Reply(status=201, headers=headers | {"Location": headers["DataServiceId"]})


def get(call: Call) -> Reply:
    """One schedule (200)."""
    schedule = _conditional_schedule(call)
    doc = selected(call, "BatchJobSchedule", _view(call, schedule))
    headers = versioned(schedule.doc["eTag"], schedule.doc["lastModified"])
    return Reply(status=200, body=element(call, "jobschedules", doc), headers=headers)


def exists(call: Call) -> Reply:
    """200 without a body if the schedule is there; 404 otherwise."""
    schedule = _conditional_schedule(call)
    return Reply(status=200, headers=versioned(schedule.doc["eTag"], schedule.doc["lastModified"]))


def list_schedules(call: Call) -> Reply:
    """All schedules, a page at a time (200)."""

    def fetch(page: Page) -> Iterator[tuple[int, Doc]]:
        return ((row.seq, _view(call, row)) for row in page.rows(call.store.schedules))

    return list_reply(call, "jobschedules", "BatchJobSchedule", fetch)


def list_jobs(call: Call) -> Reply:
    """The jobs that a schedule made, a page at a time (200)."""
    return list_jobs_where(call, "schedule = ?", [_schedule(call).seq])


def _view(call: Call, schedule: Row) -> Doc:
    view = schedule_view(schedule, call.endpoint)
    if expands_stats(call):
        view["stats"] = schedule_statistics(call.store, schedule, view["url"], call.now)
    return view


def replace(call: Call) -> Reply:
    """Give a schedule a new plan, job specification and metadata (200); an active job goes on as it was.

    Without a plan it is the default one: one job, now.
    """
    body = call.checked_body("BatchJobSchedule")
    if "jobSpecification" not in body:
        raise missing_property("jobSpecification")
    plan = body.get("schedule", {})
    check_schedule(plan)
    check_metadata(body)
    check_job(body["jobSpecification"], scheduled=True)
    schedule = _open_schedule(call)
    schedule.doc.update(schedule=plan, jobSpecification=body["jobSpecification"])
    schedule.doc.pop("metadata", None)
    if "metadata" in body:
        schedule.doc["metadata"] = body["metadata"]
    schedule_actions.replan(schedule, call.now)
    _touch(call, schedule)
    return Reply(status=200, headers=_address(call, schedule))


def patch(call: Call) -> Reply:
    """Change the plan, the job specification or the metadata (200); an active job goes on as it was."""
    body = call.checked_body("BatchJobScheduleUpdateOptions")
    check_metadata(body)
    check_schedule(body.get("schedule", {}))
    if "jobSpecification" in body:
        check_job(body["jobSpecification"], scheduled=True)
    schedule = _open_schedule(call)
    schedule.doc.update(body)
    if "schedule" in body:
        schedule_actions.replan(schedule, call.now)
    _touch(call, schedule)
    return Reply(status=200, headers=_address(call, schedule))


def disable(call: Call) -> Reply:
    """Make no more jobs until enabled (204); an active job goes on."""
    schedule = _open_schedule(call)
    if SCHEDULE.can(schedule.doc["state"], ScheduleEvent.DISABLE):
        SCHEDULE.advance(schedule.doc, ScheduleEvent.DISABLE, call.now)
        schedule.doc["_wake"] = None
    _touch(call, schedule)
    return Reply(status=204, headers=_address(call, schedule))


def enable(call: Call) -> Reply:
    """Make jobs again (204); of the occurrences missed meanwhile at most the latest is made up for."""
    schedule = _open_schedule(call)
    if SCHEDULE.can(schedule.doc["state"], ScheduleEvent.ENABLE):
        SCHEDULE.advance(schedule.doc, ScheduleEvent.ENABLE, call.now)
        schedule.doc["_wake"] = instant_text(call.now)
    _touch(call, schedule)
    return Reply(status=204, headers=_address(call, schedule))


def terminate(call: Call) -> Reply:
    """Begin to end a schedule and its active job (202); with `force` the job's release tasks are left out."""
    force = call.flag("force")
    schedule = _open_schedule(call)
    _touch(call, schedule)
    schedule_actions.terminate(call.store, schedule, call.now, force=force)
    return Reply(status=202, headers=_address(call, schedule))


def delete(call: Call) -> Reply:
    """Begin to remove a schedule with all its jobs and tasks (202); with `force` without their release tasks."""
    force = call.flag("force")
    schedule = _conditional_schedule(call)
    if schedule.doc["state"] == ScheduleState.DELETING:
        raise ServiceError("JobScheduleBeingDeleted")
    schedule_actions.delete(call.store, schedule, call.now, force=force)
    return Reply(status=202)


def _schedule(call: Call) -> Row:
    schedule = call.store.schedules.get(call.params["jobScheduleId"])
    if schedule is None:
        raise ServiceError("JobScheduleNotFound")
    return schedule


def _conditional_schedule(call: Call) -> Row:
    schedule = _schedule(call)
    call.check_conditions(schedule.doc["eTag"], schedule.doc["lastModified"])
    return schedule


def _open_schedule(call: Call) -> Row:
    schedule = _conditional_schedule(call)
    code = _REFUSALS.get(ScheduleState(schedule.doc["state"]))
    if code is not None:
        raise ServiceError(code)
    return schedule


def _touch(call: Call, schedule: Row) -> None:
    doc = schedule.doc
    doc |= {"eTag": next_etag(call.now, doc["eTag"]), "lastModified": instant_text(call.now)}
    call.store.schedules.save(schedule)


def _address(call: Call, schedule: Row) -> dict[str, str]:
    return described(schedule.doc, f"{call.endpoint}/jobschedules/{schedule.doc['id']}")

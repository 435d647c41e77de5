"""Jobs: made, ended, paused, removed; by a user, by their own tasks, or by time.

Terminating kills what runs; tasks that were still waiting stay `active` (Azure Batch REST, Job - Terminate).
"""

from datetime import datetime

from batchctl.server.batch.lifecycle.job import JOB, JobEvent, JobState
from batchctl.server.batch.resources.job import job_document
from batchctl.server.batch.scheduler import pools, preparation
from batchctl.server.batch.scheduler.additions import MANAGER_RANK, add_tasks
from batchctl.server.batch.scheduler.effects import Effect, Killing
from batchctl.server.batch.store import Row, Store
from batchctl.server.batch.wire import Doc, instant_text

_REMOVED_AT_ONCE = 5000
_QUIET = "NOT EXISTS (SELECT 1 FROM runs WHERE runs.job = jobs.seq)"
TO_REMOVE = (
    f"SELECT seq FROM jobs WHERE ending AND state = 'deleting' AND {_QUIET} "
    "AND EXISTS (SELECT 1 FROM tasks WHERE tasks.job = jobs.seq) LIMIT 1"
)
TIMED_OUT = "SELECT seq FROM jobs WHERE deadline <= ?1"
_IDLE = "auto_end AND EXISTS (SELECT 1 FROM job_counts c WHERE c.job = jobs.seq AND c.active + c.running = 0)"
IDLE = f"SELECT 1 FROM jobs WHERE {_IDLE}"
QUIET = f"SELECT 1 FROM jobs WHERE ending AND {_QUIET}"
_NOT_TASK_PROPERTIES = frozenset({"killJobOnCompletion", "runExclusive", "allowLowPriorityNode"})


def create_job(store: Store, name: str, body: Doc, now: datetime, *, schedule: Row | None = None) -> Row:
    """Store a new job with its job manager task and, if it has one, its auto pool."""
    folder = f"workitems/{name}/job-1"
    if schedule is not None:
        folder = f"workitems/{schedule.doc['id']}/job-{schedule.doc['_jobs']}"
    doc = job_document(name, body, now, folder=folder, schedule=schedule.seq if schedule else None)
    job = store.jobs.add(doc)
    auto = doc["poolInfo"].get("autoPoolSpecification")
    if auto is not None:
        lives_with_schedule = auto["poolLifetimeOption"] == "jobschedule" and schedule is not None
        owner = f"schedule:{schedule.seq}" if lives_with_schedule and schedule else f"job:{job.seq}"
        try:
            doc["executionInfo"]["poolId"] = pools.auto_pool(store, auto, owner, now)
        except pools.AutoPoolError as problem:
            doc["executionInfo"]["schedulingError"] = problem.information
        store.jobs.save(job)
    manager = doc.get("jobManagerTask")
    if manager is not None:
        task = {name: value for name, value in manager.items() if name not in _NOT_TASK_PROPERTIES}
        add_tasks(store, job, [task], now, rank=MANAGER_RANK)
    if (error := doc["executionInfo"].get("schedulingError")) is not None:
        terminate(store, job, error["code"], now)
    return job


def terminate(store: Store, job: Row, reason: str, now: datetime) -> None:
    """Begin to end a job, unless it is ending or over: kill what runs, remember why."""
    if not JOB.can(job.doc["state"], JobEvent.TERMINATE):
        return
    _begin_to_end(job, reason, now)
    store.jobs.save(job)
    _kill(store, job, Killing.TERMINATE)


def _begin_to_end(job: Row, reason: str, now: datetime) -> None:
    JOB.advance(job.doc, JobEvent.TERMINATE, now)
    job.doc["executionInfo"]["terminateReason"] = reason


def disable(store: Store, job: Row, option: str, now: datetime) -> None:
    """Begin to pause a job: its running tasks are requeued, terminated, or (`wait`) left to finish."""
    JOB.advance(job.doc, JobEvent.DISABLE, now)
    store.jobs.save(job)
    if option != "wait":
        _kill(store, job, Killing(option))


def delete(store: Store, job: Row, now: datetime) -> None:
    """Begin to remove a job with its tasks and their files, unless that has begun."""
    if JOB.can(job.doc["state"], JobEvent.DELETE):
        JOB.advance(job.doc, JobEvent.DELETE, now)
        store.jobs.save(job)
        _kill(store, job, Killing.TERMINATE)


def end_timed_out(store: Store, now: datetime) -> None:
    """Begin to end the jobs whose time is up."""
    found = store.jobs.all("seq IN (SELECT seq FROM jobs WHERE deadline <= ?)", (instant_text(now),))
    for job in store.aside.each("job", found):
        terminate(store, job, "MaxWallClockTimeExpiry", now)


def end_idle(store: Store, now: datetime, effects: list[Effect]) -> None:
    """End the jobs that are to end when all of their tasks are complete, and whose tasks are."""
    for job in store.aside.each("job", store.jobs.all(_IDLE)):
        if "jobReleaseTask" in job.doc or "jobPreparationTask" in job.doc:
            terminate(store, job, "AllTasksComplete", now)
        else:  # nothing of it runs any more, so it is written once
            _begin_to_end(job, "AllTasksComplete", now)
            _finish(store, job, now, effects)


def finish_quiet(store: Store, now: datetime, effects: list[Effect]) -> None:
    """End, pause or remove the jobs that are on their way there and of which nothing runs any more.

    The release tasks of an ending job are started, and then it ends when they are over.
    """
    for job in store.aside.each("job", store.jobs.all(f"ending AND {_QUIET}")):
        _finish(store, job, now, effects)


def _finish(store: Store, job: Row, now: datetime, effects: list[Effect]) -> None:
    state = JobState(job.doc["state"])
    is_over = state in (JobState.TERMINATING, JobState.DELETING)
    if is_over and preparation.release(store, job, now, effects):
        return
    if state is JobState.DELETING:
        if store.one("SELECT 1 FROM tasks WHERE job = ? LIMIT 1", (job.seq,)) is None:
            _forget(store, job, now)
        return
    if state is JobState.TERMINATING:
        job.doc["executionInfo"]["endTime"] = instant_text(now)
    event = {
        JobState.DISABLING: JobEvent.QUIET,
        JobState.ENABLING: JobEvent.ENABLED,
        JobState.TERMINATING: JobEvent.ENDED,
    }[state]
    JOB.advance(job.doc, event, now)
    store.jobs.save(job)
    if state is JobState.TERMINATING:
        _tell_owners(store, job, now)


def _forget(store: Store, job: Row, now: datetime) -> None:
    folder: str = job.doc["_folder"]
    own = folder.rsplit("/", 1)[0] if job.doc.get("_schedule") is None else folder
    store.do("INSERT INTO chores (folder, everywhere) VALUES (?, 1)", (own,))
    store.jobs.remove(job.seq)
    _tell_owners(store, job, now)


def _tell_owners(store: Store, job: Row, now: datetime) -> None:
    """The job is over: its auto pool may go, and its schedule may make the next one."""
    if "autoPoolSpecification" in job.doc["poolInfo"]:
        pools.owner_gone(store, f"job:{job.seq}", now)
    schedule = job.doc.get("_schedule")
    # One that knows when to look again waits for time, not for this job.
    if (
        schedule is not None
        and (row := store.schedules.at(schedule)) is not None
        and row.doc["_wake"] is None
    ):
        # The column alone: the same tick plans the schedule and writes its document.
        store.do("UPDATE schedules SET wake = ? WHERE seq = ?", (instant_text(now), schedule))


def remove_some_tasks(store: Store) -> None:
    """A bounded part of the work of deleting jobs, so that a large one does not stop everything else."""
    if (found := store.one(TO_REMOVE)) is not None:
        some = f"SELECT seq FROM tasks WHERE job = ? LIMIT {_REMOVED_AT_ONCE}"
        store.do(f"DELETE FROM tasks WHERE seq IN ({some})", found)


def _kill(store: Store, job: Row, reason: Killing) -> None:
    # A stronger reason replaces a weaker one: what was to be requeued is now to end.
    weaker = "killing IS NULL OR killing = 'requeue'"
    # A release task belongs to the job's end, so that does not end it.
    which = f"job = ? AND kind <> 'release' AND ({weaker})"
    store.do(f"UPDATE runs SET killing = ? WHERE {which}", (reason, job.seq))

"""Job schedules: when the next job is made, and when a schedule is over.

Source: Azure Batch REST, BatchJobScheduleConfiguration. Occurrences lie on the grid first + n x recurrence. At
most one job is active; what falls due meanwhile waits for `startWindow`, and the next occurrence replaces it
(missed occurrences never add up). Times are UTC.
"""

from datetime import datetime

from batchctl.server.batch.lifecycle.job_schedule import SCHEDULE, ScheduleEvent, ScheduleState
from batchctl.server.batch.scheduler import jobs, pools
from batchctl.server.batch.store import Row, Store
from batchctl.server.batch.wire import after, duration, instant_text, moment_of
from batchctl.server.chaos import book
from batchctl.server.chaos.rule import Fault

_ACTIVE_JOB = "schedule = ? AND state NOT IN ('completed', 'deleting')"
DUE = "SELECT 1 FROM schedules WHERE wake <= ?1"


def settle(store: Store, now: datetime) -> None:
    """Make the jobs that are due and end the schedules that are over."""
    due = store.schedules.all("wake <= ?", (instant_text(now),), order="wake, seq")
    for schedule in store.aside.each("job schedule", due):
        advance(store, schedule, now)


def advance(store: Store, schedule: Row, now: datetime) -> None:
    """Do what is due for one schedule, and note in `_wake` when to look at it again (None: when told)."""
    doc = schedule.doc
    doc["_wake"] = None
    is_busy = store.one(f"SELECT 1 FROM jobs WHERE {_ACTIVE_JOB}", (schedule.seq,)) is not None
    state = ScheduleState(doc["state"])
    if state is ScheduleState.DELETING:
        if store.one("SELECT 1 FROM jobs WHERE schedule = ? LIMIT 1", (schedule.seq,)) is None:
            _forget(store, schedule, now)
            return
    elif state is ScheduleState.TERMINATING:
        if not is_busy:
            _end(store, schedule, ScheduleEvent.ENDED, now)
    elif state is ScheduleState.ACTIVE:
        is_busy = is_busy or _make_due_job(store, schedule, now)
        _plan_wake(store, schedule, now, is_busy=is_busy)
    store.schedules.save(schedule)


def _make_due_job(store: Store, schedule: Row, now: datetime) -> bool:
    """Make the job that is due, if one is; True: there is a new job."""
    doc = schedule.doc
    text = instant_text(now)
    if doc["_next"] is None or doc["_next"] > text:
        return False
    plan = doc["schedule"]
    due, following = latest_occurrence(doc["_next"], plan.get("recurrenceInterval"), now)
    doc["_last"], doc["_next"] = due, following
    if text > plan.get("doNotRunAfter", text) or _window_missed(plan, due, now):
        return False
    if book.struck(store, {Fault.SKIP_FIRING}, (doc["id"],)):
        return False
    doc["_jobs"] += 1
    name = f"{doc['id']}:job-{doc['_jobs']}"
    jobs.create_job(store, name, doc["jobSpecification"], now, schedule=schedule)
    doc["_recent"] = name
    return True


def latest_occurrence(first: str, recurrence: str | None, now: datetime) -> tuple[str, str | None]:
    """The latest occurrence up to `now` (which is not before `first`), and the one after it.

    Without a recurrence, or with one that ends after all time, there is one occurrence only.
    """
    interval = duration(recurrence)
    if interval is None:
        return first, None
    start = moment_of(first)
    missed = (now - start) // interval
    due = instant_text(start + missed * interval) if missed else first
    return due, after(due, recurrence)


def _window_missed(plan: dict[str, str], due: str, now: datetime) -> bool:
    window, interval = duration(plan.get("startWindow")), duration(plan.get("recurrenceInterval"))
    # A window longer than the recurrence is as good as none: the next occurrence takes over anyway.
    if window is None or (interval is not None and window > interval):
        return False
    closes = after(due, plan["startWindow"])
    return closes is not None and instant_text(now) > closes


def _plan_wake(store: Store, schedule: Row, now: datetime, *, is_busy: bool) -> None:
    """When to look again. What falls due while a job is active waits until its end, which wakes the schedule."""
    doc = schedule.doc
    plan = doc["schedule"]
    end = plan.get("doNotRunAfter")
    if doc["_next"] is not None and end is not None and doc["_next"] > end:
        doc["_next"] = None
    if is_busy:
        doc["_wake"] = doc["_next"] if doc["_next"] is not None and doc["_next"] > instant_text(now) else None
    elif doc["_next"] is not None:
        doc["_wake"] = doc["_next"]
    elif end is not None and end >= instant_text(now) and "recurrenceInterval" in plan:
        # It stays active until the deadline has passed, although no job can come any more.
        doc["_wake"] = after(end, "PT0.000001S")
    else:
        _end(store, schedule, ScheduleEvent.EXHAUST, now)


def replan(schedule: Row, now: datetime) -> None:
    """After a change of the plan: the next occurrence, on the grid of the last one or from `doNotRunUntil`."""
    doc = schedule.doc
    plan, text = doc["schedule"], instant_text(now)
    until = plan.get("doNotRunUntil", text)
    if until > text or "_last" not in doc:
        doc["_next"] = max(until, text)
    else:
        doc["_next"] = after(doc["_last"], plan.get("recurrenceInterval"))
    doc["_wake"] = text


def terminate(store: Store, schedule: Row, now: datetime, *, force: bool = False) -> None:
    """End a schedule and its active job; with `force` without the job's release tasks."""
    SCHEDULE.advance(schedule.doc, ScheduleEvent.TERMINATE, now)
    if (active := _active_job(store, schedule)) is not None:
        active.doc["_force"] = force
        jobs.terminate(store, active, "TerminateJobSchedule", now)
    advance(store, schedule, now)


def delete(store: Store, schedule: Row, now: datetime, *, force: bool = False) -> None:
    """Begin to remove a schedule with all of its jobs and tasks; with `force` without release tasks."""
    SCHEDULE.advance(schedule.doc, ScheduleEvent.DELETE, now)
    for job in store.jobs.all("schedule = ?", (schedule.seq,)):
        job.doc["_force"] = force
        jobs.delete(store, job, now)
    schedule.doc["_wake"] = instant_text(now)
    store.schedules.save(schedule)


def _active_job(store: Store, schedule: Row) -> Row | None:
    return store.jobs.find(_ACTIVE_JOB, (schedule.seq,))


def _end(store: Store, schedule: Row, event: ScheduleEvent, now: datetime) -> None:
    SCHEDULE.advance(schedule.doc, event, now)
    schedule.doc["executionInfo"]["endTime"] = instant_text(now)
    schedule.doc["_next"] = None
    pools.owner_gone(store, f"schedule:{schedule.seq}", now)


def _forget(store: Store, schedule: Row, now: datetime) -> None:
    store.do("INSERT INTO chores (folder, everywhere) VALUES (?, 1)", (f"workitems/{schedule.doc['id']}",))
    store.schedules.remove(schedule.seq)
    pools.owner_gone(store, f"schedule:{schedule.seq}", now)

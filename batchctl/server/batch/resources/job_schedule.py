"""Job schedules: checks, the new document and the answer's form. Source: Azure Batch REST, Job Schedule - Add."""

from datetime import datetime, timedelta

from batchctl.server.batch.errors import invalid_value
from batchctl.server.batch.lifecycle.job_schedule import ScheduleState
from batchctl.server.batch.lifecycle.machine import record_state
from batchctl.server.batch.resources.checks import check_at_least
from batchctl.server.batch.resources.pool import without_secrets
from batchctl.server.batch.store import Row
from batchctl.server.batch.wire import Doc, instant_text, next_etag

_ONE_MINUTE = timedelta(minutes=1)


def check_schedule(schedule: Doc) -> None:
    """Recurrence and start window are at least a minute; `doNotRunUntil` lies before `doNotRunAfter`."""
    check_at_least(schedule, "recurrenceInterval", _ONE_MINUTE)
    check_at_least(schedule, "startWindow", _ONE_MINUTE)
    until, end = schedule.get("doNotRunUntil"), schedule.get("doNotRunAfter")
    if until and end and until >= end:
        raise invalid_value("doNotRunAfter", end, "doNotRunAfter must be later than doNotRunUntil.")


def schedule_document(body: Doc, now: datetime) -> Doc:
    """A new active schedule whose first job is due at `doNotRunUntil`, or now.

    `_next` is the next occurrence, `_jobs` how many jobs were made, `_wake` when to look at it again.
    """
    text = instant_text(now)
    due = max(body["schedule"].get("doNotRunUntil", text), text)
    doc = {**body, "eTag": next_etag(now), "lastModified": text, "creationTime": text, "executionInfo": {}}
    doc |= {"_next": due, "_jobs": 0, "_wake": due}
    record_state(doc, ScheduleState.ACTIVE, now)
    return doc


def schedule_view(row: Row, endpoint: str) -> Doc:
    """The schedule as an answer; an empty `schedule` is left out, as the service does."""
    doc: Doc = without_secrets({name: value for name, value in row.doc.items() if name[0] != "_"})
    doc["url"] = f"{endpoint}/jobschedules/{doc['id']}"
    if not doc["schedule"]:
        del doc["schedule"]
    information = dict(doc["executionInfo"])
    if recent := row.doc.get("_recent"):
        information["recentJob"] = {"id": recent, "url": f"{endpoint}/jobs/{recent}"}
    if doc["state"] == "active" and row.doc.get("_next"):
        information["nextRunTime"] = row.doc["_next"]
    doc["executionInfo"] = information
    return doc

"""`$expand=stats`: what tasks, jobs and job schedules took, from what the scheduler wrote down as tries ended.

Source: Azure Batch REST, BatchTaskStatistics, BatchJobStatistics, BatchJobScheduleStatistics. A try that still runs
is not counted yet. Disk traffic is not measured and always 0. Counts are text on the wire (they are 64-bit numbers).
"""

from datetime import datetime

import orjson

from batchctl.server.batch.resources.task import TaskRow
from batchctl.server.batch.store import Row, Store
from batchctl.server.batch.wire import Doc, duration_text, instant_text, moment_of

_TICKS = 10  # of a microsecond
_SUMS = (
    "SELECT coalesce(sum(u.wall), 0), coalesce(sum(u.user), 0), coalesce(sum(u.kernel), 0), coalesce(sum(u.wait), 0), "
    "coalesce(sum(u.retries), 0), coalesce(sum(c.succeeded), 0), coalesce(sum(c.failed), 0) "
    "FROM jobs j JOIN job_counts c ON c.job = j.seq LEFT JOIN job_usage u ON u.job = j.seq WHERE "
)


def task_statistics(row: TaskRow, url: str, now: datetime) -> Doc | None:
    """`stats` of a task; None until a try of it has ended."""
    if row.usage is None:
        return None
    started = orjson.loads(row.execution or b"{}").get("startTime", row.created)
    waited = (moment_of(started) - moment_of(row.created)).total_seconds()
    wall, user, kernel = orjson.loads(row.usage)
    return _statistics(url, row.created, now, wall, user, kernel, max(int(waited * 1e6), 0))


def job_statistics(store: Store, row: Row, url: str, now: datetime) -> Doc:
    """`stats` of a job."""
    return _summed(store, "j.seq = ?", row, url, now)


def schedule_statistics(store: Store, row: Row, url: str, now: datetime) -> Doc:
    """`stats` of a job schedule: of all its jobs that are still there."""
    return _summed(store, "j.schedule = ?", row, url, now)


def _summed(store: Store, condition: str, row: Row, url: str, now: datetime) -> Doc:
    sums = store.one(_SUMS + condition, (row.seq,))
    wall, user, kernel, wait, retries, succeeded, failed = sums
    counts = {"numSucceededTasks": succeeded, "numFailedTasks": failed, "numTaskRetries": retries}
    texts = {name: str(count) for name, count in counts.items()}
    return _statistics(url, row.doc["creationTime"], now, wall, user, kernel, wait) | texts


def _statistics(url: str, start: str, now: datetime, wall: int, user: int, kernel: int, wait: int) -> Doc:
    return {
        "url": url,
        "startTime": start,
        "lastUpdateTime": instant_text(now),
        "userCPUTime": duration_text(user * _TICKS),
        "kernelCPUTime": duration_text(kernel * _TICKS),
        "wallClockTime": duration_text(wall * _TICKS),
        "readIOps": "0",
        "writeIOps": "0",
        "readIOGiB": 0.0,
        "writeIOGiB": 0.0,
        "waitTime": duration_text(wait * _TICKS),
    }

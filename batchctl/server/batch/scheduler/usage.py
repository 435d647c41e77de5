"""What the tasks of a job took: wall clock, processor time, waiting, retries. Read by `$expand=stats`.

Times are whole microseconds. Sums are kept per job as tries end, so that reading them never walks through tasks.
"""

from datetime import datetime, timedelta

import orjson

from batchctl.server.batch.resources.task import TaskRow
from batchctl.server.batch.scheduler.effects import Ending
from batchctl.server.batch.store import Store
from batchctl.server.batch.wire import Doc, moment_of

_MICROSECOND = timedelta(microseconds=1)
_ADD = (
    "INSERT INTO job_usage (job, wall, user, kernel, wait, retries) VALUES (?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (job) DO UPDATE SET wall = wall + excluded.wall, user = user + excluded.user, "
    "kernel = kernel + excluded.kernel, wait = wait + excluded.wait, retries = retries + excluded.retries"
)


def add_try(
    store: Store,
    job: int,
    task: TaskRow,
    execution: Doc,
    ending: Ending,
    now: datetime,
    *,
    is_last: bool = False,
    is_retried: bool = False,
) -> bytes | None:
    """Count one try of the task, which ended now; what the task's tries took together, as its `usage` column.

    One that never started took nothing. With the last one it is known how long the task had waited, from its creation to
    its latest start.
    """
    if "startTime" not in execution:
        return task.usage
    started = moment_of(execution["startTime"])
    wall = max((now - started) // _MICROSECOND, 0)
    spent = (wall, int(ending.user_seconds * 1e6), int(ending.kernel_seconds * 1e6))
    wait = max((started - moment_of(task.created)) // _MICROSECOND, 0) if is_last else 0
    store.do(_ADD, (job, *spent, wait, int(is_retried)))
    before = orjson.loads(task.usage) if task.usage else (0, 0, 0)
    return orjson.dumps([old + new for old, new in zip(before, spent, strict=True)])

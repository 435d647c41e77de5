"""Which bodies of a Batch account may name an image that must not go: pools, job schedules, and the jobs that are not over.

They are everybody's, not ours alone: an image of ours is also kept for a pool that somebody made by hand. Read only.
"""

import json
from collections.abc import Callable, Iterable
from typing import Any

from batchctl.errors import NotFound
from batchctl.targets.azure_errors import azure_errors, retried
from batchctl.targets.batch import Batch


def living_bodies(batch: Batch) -> list[str]:
    """The wire bodies, as JSON texts, of everything in the account that can still start a container. Raises TargetError."""
    client = batch.client
    pools = _listed("list pools", client.list_pools)
    schedules = _listed("list job schedules", client.list_job_schedules)
    going = _listed("list jobs", lambda: client.list_jobs(filter="state ne 'completed'"))
    tasks = [task for job in going for task in _waiting_tasks(batch, job["id"])]
    alive = [schedule for schedule in schedules if schedule.get("state") not in ("completed", "deleting")]
    return [json.dumps(body) for body in (*pools, *alive, *going, *tasks)]


def _waiting_tasks(batch: Batch, job: str) -> list[dict[str, Any]]:
    wanted = ["id", "containerSettings"]
    try:
        return _listed(
            f"list tasks of {job}",
            lambda: batch.client.list_tasks(job, filter="state ne 'completed'", select=wanted),
        )
    except NotFound:  # the job went away meanwhile
        return []


def _listed(doing: str, pages: Callable[[], Iterable[Any]]) -> list[dict[str, Any]]:
    with azure_errors(doing):
        found: list[dict[str, Any]] = retried(lambda: [item.as_dict() for item in pages()])
        return found

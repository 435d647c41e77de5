"""Azure Batch through the official SDK: the same calls drive the cloud and the local service.

Bodies are wire JSON in both directions, as the plan makes and compares them. Every call is retried while the service is busy,
and every failure is one of `batchctl.errors`. Nothing here decides anything, and nothing waits: the `begin_` calls' pollers are
left to themselves, because they report a failure as success (their users read the state back).
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from batchctl.errors import Conflict, NotFound, TargetError, UsageError
from batchctl.plan.containers import REGISTRY_PASSWORD
from batchctl.plan.pipeline import METADATA_PIPELINE, metadata_of
from batchctl.spec.templates import iso
from batchctl.targets.azure_errors import azure_errors, retried

if TYPE_CHECKING:
    from azure.batch import BatchClient

_DELETION_SECONDS = 1800
_PIPELINE = re.compile(r"[A-Za-z0-9_-]{1,64}")
_GOING = ("active", "disabling", "disabled", "enabling", "terminating")


class Batch:
    """An account: its pools, job schedules, jobs and tasks."""

    def __init__(self, client: "BatchClient", registry_password: Callable[[], str] | None = None) -> None:
        """`registry_password` gives what REGISTRY_PASSWORD stands for in bodies; it is asked when one is sent that has it."""
        self.client = client
        self._registry_password = registry_password

    def __enter__(self) -> "Batch":
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    # Pools

    def pool(self, id: str) -> dict[str, Any] | None:
        """The pool, or None."""
        return self._found(f"read pool {id}", lambda: self.client.get_pool(id).as_dict())

    def create_pool(self, body: Mapping[str, Any]) -> None:
        """Create a pool. A Conflict means that its id is taken, perhaps by our own first try."""
        self._do(f"create pool {body['id']}", lambda: self.client.create_pool(self._revealed(body)))

    def delete_pool(self, id: str, *, wait: bool = False) -> None:
        """Delete a pool; done when it is gone or going, with `wait` when it is gone. Fine if there is none."""
        try:
            poller = self._gone(
                f"delete pool {id}",
                ("PoolBeingDeleted",),
                lambda: self.client.begin_delete_pool(id, polling_interval=1),
            )
        except NotFound:
            return
        if wait and poller is not None:
            poller.wait(_DELETION_SECONDS)
            if self.pool(id) is not None:
                raise TargetError(f"pool {id} is still there", hint="it is being deleted; try again later")

    def resize_pool(self, id: str, body: Mapping[str, Any]) -> None:
        """Give a pool other targets: `targetDedicatedNodes`, `targetLowPriorityNodes`, `resizeTimeout`."""
        self._do(f"resize pool {id}", lambda: self.client.begin_resize_pool(id, _wire(body)))

    def enable_autoscale(self, id: str, body: Mapping[str, Any]) -> None:
        """Let a pool follow `autoScaleFormula`."""
        self._do(
            f"enable autoscale of pool {id}", lambda: self.client.enable_pool_auto_scale(id, _wire(body))
        )

    def disable_autoscale(self, id: str) -> None:
        """Let a pool keep the nodes it has."""
        self._do(f"disable autoscale of pool {id}", lambda: self.client.disable_pool_auto_scale(id))

    def nodes(self, pool: str) -> list[dict[str, Any]]:
        """The nodes of a pool; none if there is no such pool."""
        return self._list(f"list nodes of pool {pool}", lambda: self.client.list_nodes(pool))

    # Job schedules

    def job_schedules(self, pipeline: str | None = None) -> list[dict[str, Any]]:
        """Our job schedules, of one pipeline or of all, whatever their state."""
        prefix = _prefix(pipeline) if pipeline is not None else None
        found = self._list("list job schedules", lambda: self.client.list_job_schedules(filter=prefix))
        return [body for body in found if _is_ours(body, pipeline)]

    def create_job_schedule(self, body: Mapping[str, Any]) -> None:
        """Create a job schedule. Its id is made from its content: one that is there already, and has not ended, is the same."""
        try:
            self._do(
                f"create job schedule {body['id']}",
                lambda: self.client.create_job_schedule(self._revealed(body)),
            )
        except Conflict as error:
            if error.code != "JobScheduleExists" or self.job_schedule(body["id"])["state"] not in (
                "active",
                "disabled",
            ):
                raise

    def job_schedule(self, id: str) -> dict[str, Any]:
        """The job schedule. Raises NotFound."""
        body: dict[str, Any] = self._do(
            f"read schedule {id}", lambda: self.client.get_job_schedule(id).as_dict()
        )
        return body

    def update_job_schedule(self, id: str, body: Mapping[str, Any]) -> None:
        """PATCH a job schedule."""
        self._do(f"update job schedule {id}", lambda: self.client.update_job_schedule(id, _wire(body)))

    def enable_job_schedule(self, id: str) -> None:
        """Let a disabled job schedule fire again."""
        self._do(f"resume schedule {id}", lambda: self.client.enable_job_schedule(id))

    def disable_job_schedule(self, id: str) -> None:
        """Keep a job schedule from firing; its active job goes on."""
        self._do(f"pause schedule {id}", lambda: self.client.disable_job_schedule(id))

    def delete_job_schedule(self, id: str) -> None:
        """Delete a job schedule with all its jobs: its history is gone."""
        self._gone(
            f"delete job schedule {id}",
            ("JobScheduleBeingDeleted",),
            lambda: self.client.begin_delete_job_schedule(id),
        )

    def count_active(self) -> int:
        """How many jobs and job schedules of the account are active, whoever made them: they share one quota."""
        active = "state eq 'active'"
        jobs = self._list("count jobs", lambda: self.client.list_jobs(filter=active, select=["id"]))
        schedules = self._list(
            "count schedules", lambda: self.client.list_job_schedules(filter=active, select=["id"])
        )
        return len(jobs) + len(schedules)

    def terminate_job_schedule(self, id: str) -> None:
        """End a job schedule and its active job; its runs stay listed."""
        doing = f"terminate job schedule {id}"
        self._gone(
            doing,
            ("JobScheduleCompleted", "JobScheduleBeingTerminated"),
            lambda: self.client.begin_terminate_job_schedule(id),
        )

    # Jobs

    def job(self, id: str) -> dict[str, Any]:
        """The job. Raises NotFound."""
        body: dict[str, Any] = self._do(f"read run {id}", lambda: self.client.get_job(id).as_dict())
        return body

    def jobs(
        self,
        pipeline: str | None = None,
        *,
        created_after: datetime | None = None,
        going_or_ended_after: datetime | None = None,
    ) -> list[dict[str, Any]]:
        """Our jobs, of one pipeline or of all; and of these, those created, or still going, after a moment."""
        wanted = [_prefix(pipeline)] if pipeline is not None else []
        if created_after is not None:
            wanted.append(f"creationTime ge DateTime'{iso(created_after)}'")
        if going_or_ended_after is not None:
            going = " or ".join(f"state eq '{state}'" for state in _GOING)
            wanted.append(f"({going} or stateTransitionTime ge DateTime'{iso(going_or_ended_after)}')")
        query = " and ".join(wanted) or None
        found = self._list("list runs", lambda: self.client.list_jobs(filter=query))
        return [body for body in found if _is_ours(body, pipeline)]

    def create_job(self, body: Mapping[str, Any]) -> bool:
        """Create a job; False if one of that id is there: our own first try, run ids are not used twice."""
        try:
            self._do(f"create run {body['id']}", lambda: self.client.create_job(self._revealed(body)))
        except Conflict as error:
            if error.code != "JobExists":
                raise
            return False
        return True

    def update_job(self, id: str, body: Mapping[str, Any]) -> None:
        """PATCH a job."""
        self._do(f"update run {id}", lambda: self.client.update_job(id, _wire(body)))

    def terminate_job(self, id: str, reason: str) -> None:
        """End a job; `reason` becomes its terminateReason. One that has ended, or is ending, stays as it is."""
        options = _wire({"terminateReason": reason})
        done = ("JobCompleted", "JobBeingTerminated", "JobTerminating")
        self._gone(f"cancel run {id}", done, lambda: self.client.begin_terminate_job(id, options))

    # Tasks

    def task(self, job: str, id: str) -> dict[str, Any]:
        """The task. Raises NotFound."""
        body: dict[str, Any] = self._do(
            f"read task {id} of {job}", lambda: self.client.get_task(job, id).as_dict()
        )
        return body

    def tasks(self, job: str, select: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """The tasks of a job; `select` names the properties wanted, on the wire's terms."""
        fields = list(select) if select else None
        return self._list(f"list tasks of {job}", lambda: self.client.list_tasks(job, select=fields))

    def task_counts(self, job: str) -> dict[str, int]:
        """How many tasks are active, running, completed, succeeded, failed."""
        found = self._do(f"count tasks of {job}", lambda: self.client.get_job_task_counts(job).as_dict())
        counts: dict[str, int] = found["taskCounts"]
        return counts

    def create_tasks(self, job: str, bodies: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Add at most 100 tasks in one request; the result of each. Batch may accept some and reject others."""
        group = _wire(
            {"value": list(bodies)}
        )  # building the SDK's models, both ways, would cost as much as the request

        def add() -> Any:
            return json.loads(b"".join(self.client.create_task_collection(job, group, stream=True)))  # type: ignore[arg-type]

        results: list[dict[str, Any]] = self._do(f"add tasks to {job}", add)["value"]
        return results

    def task_file(self, job: str, task: str, path: str, start: int = 0) -> bytes | None:
        """The file from byte `start` on, or its last `-start` bytes; None if it is not there, or no longer."""

        def read() -> bytes:
            size = self.client.get_task_file_properties(job, task, path).content_length
            first = start if start >= 0 else max(size + start, 0)
            if size <= first:
                return b""
            return b"".join(
                self.client.download_task_file(job, task, path, ocp_range=f"bytes={first}-{size - 1}")
            )

        try:
            return bytes(self._do(f"read {path} of {task}", read))
        except (NotFound, Conflict):
            return None

    def _revealed(self, body: Mapping[str, Any]) -> Any:
        """The body as it is sent: with the registry's password, where it names one."""
        text = json.dumps(body)
        if self._registry_password is None or json.dumps(REGISTRY_PASSWORD) not in text:
            return _wire(body)
        return json.loads(text.replace(json.dumps(REGISTRY_PASSWORD), json.dumps(self._registry_password())))

    def _do(self, doing: str, call: Any) -> Any:
        with azure_errors(doing):
            return retried(call)

    def _found(self, doing: str, call: Any) -> dict[str, Any] | None:
        try:
            body: dict[str, Any] = self._do(doing, call)
        except NotFound:
            return None
        return body

    def _gone(self, doing: str, done: tuple[str, ...], call: Any) -> Any:
        try:
            return self._do(doing, call)
        except Conflict as error:
            if error.code not in done:
                raise
            return None

    def _list(self, doing: str, pages: Any) -> list[dict[str, Any]]:
        return list(self._do(doing, lambda: [item.as_dict() for item in pages()]))


def _prefix(pipeline: str) -> str:
    """The filter for ids of a pipeline. Raises UsageError for a text that cannot be one: it must not get into a query."""
    if not _PIPELINE.fullmatch(pipeline):
        raise UsageError(f"{pipeline!r} is not the name of a pipeline", hint="letters, digits, - and _")
    return f"startswith(id,'{pipeline}-')"


def _wire(body: Mapping[str, Any]) -> Any:
    """A wire body where the SDK's signature asks for its model: it serialises a dict just the same."""
    return dict(body)


def _is_ours(body: Mapping[str, Any], pipeline: str | None) -> bool:
    name = metadata_of(body).get(METADATA_PIPELINE)
    return name is not None and pipeline in (None, name)

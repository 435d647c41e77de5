"""The local service without sockets, processes and real time: its own handlers and scheduler on a store in memory.

The clock jumps from one wake of the scheduler to the next. What was started runs until the next thing happens, whatever
that is, and ends then with exit code 0: so a job may be active up to the moment at which its schedule makes the next one.
"""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from batchctl.errors import Conflict, NotFound
from batchctl.server.batch.call import CURRENT_API, Call, Handler
from batchctl.server.batch.errors import ServiceError
from batchctl.server.batch.handlers import job_schedules, jobs, pools
from batchctl.server.batch.scheduler import next_wake, tick
from batchctl.server.batch.scheduler.effects import Effect, Ending, StartRun
from batchctl.server.batch.scheduler.runs import end_run
from batchctl.server.batch.store import Store
from batchctl.targets.batch import Batch

_SUCCESS = Ending(exit_code=0)


class VirtualService:
    """`now` is the time there; `started` counts the processes there would have been."""

    def __init__(self, now: datetime) -> None:
        self.store = Store(":memory:")
        # Whoever refuses here has changed nothing: there is nothing to undo.
        self.store.do("PRAGMA journal_mode = OFF")
        self.now = now
        self.started = 0
        self._running: list[StartRun] = []

    def request(
        self, handler: Handler, body: Any = None, query: Mapping[str, str] | None = None, **params: str
    ) -> Any:
        """What the handler answers, after the scheduler has seen what changed. Raises ServiceError."""
        call = Call(
            method="", operation="", path="", raw_query="", params=params, query=query or {}, headers={}, body=body,
            api_version=CURRENT_API, request_id="", now=self.now, store=self.store, endpoint="http://virtual", nodes=Path(),
        )  # fmt: skip
        with self.store.transaction():
            reply = handler(call)
            self._round()
        return reply.body

    def run_until(self, end: datetime) -> None:
        """Let the time pass until `end`."""
        with self.store.transaction():
            while (wake := next_wake(self.store, self.now)) is not None and wake <= end:
                assert wake >= self.now, "the scheduler wants to wake in the past"
                self.now = wake
                self._round()
            self.now = end
            self._round()

    def _round(self) -> None:
        """What runs ends, and the scheduler decides what follows."""
        effects: list[Effect] = []
        for start in self._running:
            effects += end_run(self.store, start.run, _SUCCESS, self.now)
        effects += tick(self.store, self.now)
        self._running = [effect for effect in effects if isinstance(effect, StartRun)]
        self.started += len(self._running)


class VirtualBatch(Batch):
    """The account of a VirtualService: what `plan` and `apply` ask of an account, without the SDK between."""

    def __init__(self, service: VirtualService) -> None:
        self.service = service

    def pool(self, id: str) -> dict[str, Any] | None:
        try:
            return self._do(pools.get, poolId=id)
        except NotFound:
            return None

    def create_pool(self, body: Mapping[str, Any]) -> None:
        self._do(pools.create, dict(body))

    def job_schedules(self, pipeline: str | None = None) -> list[dict[str, Any]]:
        found = self._do(job_schedules.list_schedules, query={"$filter": f"startswith(id,'{pipeline}-')"})
        assert "odata.nextLink" not in found
        return found["value"]

    def create_job_schedule(self, body: Mapping[str, Any]) -> None:
        self._do(job_schedules.create, dict(body))

    def job_schedule(self, id: str) -> dict[str, Any]:
        return self._do(job_schedules.get, jobScheduleId=id)

    def update_job_schedule(self, id: str, body: Mapping[str, Any]) -> None:
        self._do(job_schedules.patch, dict(body), jobScheduleId=id)

    def terminate_job_schedule(self, id: str) -> None:
        self._do(job_schedules.terminate, jobScheduleId=id)

    def disable_job_schedule(self, id: str) -> None:
        self._do(job_schedules.disable, jobScheduleId=id)

    def job(self, id: str) -> dict[str, Any]:
        return self._do(jobs.get, jobId=id)

    def _do(
        self, handler: Handler, body: Any = None, query: Mapping[str, str] | None = None, **params: str
    ) -> Any:
        try:
            return self.service.request(handler, body, query, **params)
        except ServiceError as error:
            kind = NotFound if error.status == 404 else Conflict
            raise kind(str(error), code=error.code) from error

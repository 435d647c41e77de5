"""A run gets all of its tasks, or is ended: whatever stops its beginning, nothing of it is left behind."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from batchctl.errors import Conflict, NotFound, QuotaExceeded
from batchctl.plan import Pipeline, Run, Site, expand
from batchctl.plan.bodies import SUBMISSION_INTERRUPTED
from batchctl.spec import Lifetime, loads
from batchctl.targets.batch import Batch
from batchctl.workflows.run import start_run

SPEC = b"name: p\npool: {target_dedicated_nodes: 1}\ntasks: [{id: a, command: /bin/true}]\n"
NOW = datetime(2026, 1, 10, 6, 0, tzinfo=UTC)


class Account(Batch):
    """Jobs and pools in memory; `stops` is raised once a job was created, or in its place."""

    def __init__(self, stops: BaseException | None = None, *, created: bool = True) -> None:
        self.stops, self.created = stops, created
        self.all_jobs: dict[str, dict[str, Any]] = {}
        self.pools: set[str] = set()
        self.ended: dict[str, str] = {}

    def pool(self, id: str) -> dict[str, Any] | None:
        return {"id": id} if id in self.pools else None

    def create_pool(self, body: Mapping[str, Any]) -> None:
        self.pools.add(body["id"])

    def delete_pool(self, id: str, *, wait: bool = False) -> None:
        self.pools.discard(id)

    def job(self, id: str) -> dict[str, Any]:
        if id not in self.all_jobs:
            raise NotFound(f"no job {id}")
        return self.all_jobs[id]

    def create_job(self, body: Mapping[str, Any]) -> bool:
        is_new = body["id"] not in self.all_jobs
        if self.created:
            self.all_jobs.setdefault(body["id"], dict(body))
        if self.stops is not None:
            raise self.stops
        return is_new

    def update_job(self, id: str, body: Mapping[str, Any]) -> None:
        self.all_jobs[id].update(body)

    def terminate_job(self, id: str, reason: str) -> None:
        if id not in self.all_jobs:
            raise NotFound(f"no job {id}")
        self.ended[id] = reason

    def create_tasks(self, job: str, bodies: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        return [{"taskId": body["id"], "status": "success"} for body in bodies]


def begin(account: Account, lifetime: Lifetime = Lifetime.AUTO, scheduled_at: datetime = NOW) -> Run:
    site = Site(target="t", zones={}, runs_url="az://a/runs/", lifetime=lifetime)
    pipeline = Pipeline(spec=loads(SPEC), site=site)
    made = expand(pipeline, {}, scheduled_at, run="p-1")
    start_run(account, pipeline, made)
    return made


def test_an_interrupted_creation_is_taken_back_even_if_the_service_heard_of_it() -> None:
    account = Account(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        begin(account)
    assert account.ended == {"p-1": SUBMISSION_INTERRUPTED}


def test_an_interrupted_creation_of_nothing() -> None:
    account = Account(KeyboardInterrupt(), created=False)
    with pytest.raises(KeyboardInterrupt):
        begin(account)
    assert account.ended == {}


def test_the_pool_of_a_run_that_is_refused_does_not_stay() -> None:
    account = Account(QuotaExceeded("no more jobs"), created=False)
    with pytest.raises(QuotaExceeded):
        begin(account, Lifetime.RUN)
    assert account.pools == set()


def test_a_run_that_was_submitted_whole_is_not_taken_back() -> None:
    account = Account()
    begin(account)
    account.stops = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        begin(account)
    assert account.ended == {}


def test_another_run_of_the_same_id_is_not_taken_back() -> None:
    account = Account()
    begin(account)
    with pytest.raises(Conflict):
        begin(account, scheduled_at=NOW.replace(hour=7))
    assert account.ended == {}
    assert account.job("p-1")["onAllTasksComplete"] == "terminatejob"

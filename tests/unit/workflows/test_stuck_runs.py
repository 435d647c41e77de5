"""Runs of which nothing runs: found by `schedule check`, with what their pool says."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from batchctl.targets.batch import Batch
from batchctl.workflows.watch import stuck_runs

NOW = datetime(2026, 1, 10, 6, 0, tzinfo=UTC)
LATE = timedelta(minutes=15)


class Account(Batch):
    """One pool, whose node is broken, and one job."""

    slots = 1

    def __init__(self, node: str, task: str) -> None:
        self._node, self._task = node, task

    def job(self, id: str) -> dict[str, Any]:
        return job()

    def tasks(self, job: str, select: Any = None) -> list[dict[str, Any]]:
        return [{"id": "conductor", "state": self._task, "executionInfo": {}, "requiredSlots": self.slots}]

    def pool(self, id: str) -> dict[str, Any] | None:
        return {"id": id}

    def nodes(self, pool: str) -> list[dict[str, Any]]:
        return [{"id": "n", "state": self._node, "errors": [{"code": "Broken", "message": "It is broken."}]}]


def job(age: timedelta = timedelta(hours=1), state: str = "active") -> dict[str, Any]:
    created = (NOW - age).isoformat()
    return {"id": "p-1:job-1", "state": state, "creationTime": created, "executionInfo": {"poolId": "pool"}}


def stuck(job: dict[str, Any], *, node: str = "unusable", task: str = "active") -> list[tuple[str, str]]:
    return list(stuck_runs(Account(node, task), [job], now=NOW, max_late=LATE))


def test_a_run_that_waits_for_a_broken_node() -> None:
    assert stuck(job()) == [("p-1:job-1", "pool pool: node n is unusable: Broken: It is broken.")]


def test_a_run_that_needs_more_than_a_node_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Account, "slots", 2)
    why = "pool pool: task conductor needs 2 task slots, a node has 1: it can never run"
    assert stuck(job(), node="idle") == [("p-1:job-1", why)]


def test_a_run_that_waits_for_nobody_knows_what() -> None:
    assert stuck(job(), node="idle") == [
        ("p-1:job-1", "its tasks wait for a node since 2026-01-10T05:00:00+00:00")
    ]


def test_runs_that_are_fine() -> None:
    assert stuck(job(), task="running") == []
    assert stuck(job(timedelta(minutes=14))) == []
    assert stuck(job(state="completed")) == []

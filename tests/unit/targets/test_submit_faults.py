"""Submission against a service that throttles, breaks and hangs up: every task is there, and there once."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import stamina

from batchctl.errors import Conflict, TargetError, Unreachable
from batchctl.server import LocalServer
from batchctl.server.chaos import remote
from batchctl.targets.batch import Batch
from batchctl.targets.connect import connect
from batchctl.targets.submit import _results, submit

TASKS = 1_000
ADDING = ["create_task_collection"]
TROUBLE: list[dict[str, Any]] = [
    {"fault": "throttle", "seconds": 0},
    {"fault": "error", "status": 503, "seconds": 0},
    {"fault": "error", "status": 500, "after_effect": True},
    {"fault": "drop"},
    {"fault": "drop", "after_effect": True},
]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LocalServer]:
    with LocalServer(tmp_path / "state") as running:
        yield running


@pytest.fixture
def batch(server: LocalServer) -> Iterator[Batch]:
    with connect(server.endpoint, account=server.account, key=server.key) as opened:
        opened.create_job({"id": "j", "poolInfo": {"poolId": "none"}})
        yield opened


def bodies() -> list[dict[str, Any]]:
    return [{"id": f"t{i}", "commandLine": "true"} for i in range(TASKS)]


def ids(batch: Batch) -> list[str]:
    return [task["id"] for task in batch.tasks("j")]


@pytest.mark.parametrize("seed", range(3))
def test_every_task_is_there_once(server: LocalServer, batch: Batch, seed: int) -> None:
    for number, trouble in enumerate(TROUBLE):
        rule = {**trouble, "probability": 0.25, "operations": ADDING, "seed": 10 * seed + number}
        remote.add_rule(server, rule)
    told: list[int] = []
    with stamina.set_testing(True, attempts=200):
        assert submit(batch, "j", bodies(), told.append) == TASKS
    struck = {rule["fault"]: rule["struck"] for rule in remote.list_rules(server)}
    assert min(struck.values()) >= 1, "all kinds of trouble were met"
    assert sum(told) == TASKS
    found = ids(batch)
    assert sorted(found) == sorted(f"t{i}" for i in range(TASKS))
    assert batch.task_counts("j")["active"] == TASKS


def test_it_waits_as_long_as_it_is_told(server: LocalServer, batch: Batch) -> None:
    remote.add_rule(server, {"fault": "throttle", "operations": ADDING, "times": 1, "seconds": 1})
    for trouble in TROUBLE[1:]:
        remote.add_rule(server, {**trouble, "operations": ADDING, "times": 1})
    start = time.monotonic()
    assert submit(batch, "j", bodies()) == TASKS
    assert time.monotonic() - start >= 1, "Retry-After"
    assert len(set(ids(batch))) == TASKS


def test_a_body_that_is_too_large_is_halved(server: LocalServer, batch: Batch) -> None:
    """The code of the refusal decides, and it is read although the answer is streamed."""
    chunk = [{"id": f"t{i}", "commandLine": "true " + "x" * 16_000} for i in range(100)]
    with pytest.raises(TargetError) as caught:
        batch.create_tasks("j", chunk)
    assert caught.value.code == "RequestBodyTooLarge"
    assert _results(batch, "j", chunk)
    assert len(ids(batch)) == 100


def test_a_service_that_stays_broken_is_an_error(server: LocalServer, batch: Batch) -> None:
    with stamina.set_testing(True, attempts=3):
        rule = remote.add_rule(server, {"fault": "error", "status": 503, "seconds": 0, "operations": ADDING})
        with pytest.raises(TargetError) as caught:
            submit(batch, "j", bodies()[:1])
        assert caught.value.code == "ServerBusy"
        assert remote.list_rules(server)[0]["struck"] == 3
        remote.clear_rules(server, rule["id"])
        remote.add_rule(server, {"fault": "drop", "operations": ADDING})
        with pytest.raises(Unreachable):
            submit(batch, "j", bodies()[:1])
    assert ids(batch) == []


@pytest.mark.parametrize(
    "trouble", TROUBLE, ids=lambda rule: f"{rule['fault']}{rule.get('after_effect', '')}"
)
def test_everything_else_is_tried_again_too(
    server: LocalServer, batch: Batch, trouble: dict[str, Any]
) -> None:
    """Each operation of a run's life meets the same trouble once."""
    stories = {
        "create_pool": lambda: batch.create_pool({"id": "p", "vmSize": "x"}),
        "create_job": lambda: batch.create_job({"id": "k", "poolInfo": {"poolId": "p"}}),
        "create_job_schedule": lambda: batch.create_job_schedule(
            {"id": "s", "schedule": {}, "jobSpecification": {"poolInfo": {"poolId": "p"}}}
        ),
        "get_job_task_counts": lambda: batch.task_counts("j"),
        "list_tasks": lambda: batch.tasks("j"),
        "terminate_job": lambda: batch.terminate_job("k", "enough"),
        "delete_pool": lambda: batch.delete_pool("p"),
    }
    with stamina.set_testing(True, attempts=3):
        for operation, story in stories.items():
            remote.add_rule(server, {**trouble, "operations": [operation], "times": 1})
            if operation == "create_pool" and trouble.get("after_effect"):
                # The first try took effect; the caller knows what that means.
                with pytest.raises(Conflict) as caught:
                    story()
                assert caught.value.code == "PoolExists"
            else:
                story()
            (rule,) = remote.list_rules(server)
            assert rule["struck"] == 1
            remote.clear_rules(server)

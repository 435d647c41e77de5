"""Why tasks wait, as pool and nodes tell it."""

from typing import Any

import pytest

from batchctl.report import pool_trouble

DENIED = {
    "code": "ContainerInvalidImage",
    "message": "It cannot be pulled.",
    "errorDetails": [{"name": "Message", "value": "no such image"}],
}


def node(id: str, state: str, *errors: dict[str, Any]) -> dict[str, Any]:
    return {"id": id, "state": state, "errors": list(errors)}


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        (
            [node("a", "unusable", DENIED)],
            "pool p: node a is unusable: ContainerInvalidImage: It cannot be pulled. no such image",
        ),
        (
            [node("a", "startTaskFailed"), node("b", "unusable")],
            "pool p: node a is startTaskFailed, and so are 1 more: it does not say why",
        ),
        ([node("a", "unusable", DENIED), node("b", "idle")], ""),
        ([node("a", "unusable", DENIED), node("b", "Starting")], ""),
        ([], "pool p has no nodes: AccountCoreQuotaReached: No more cores. 4"),
        ([node("a", "idle")], ""),
    ],
)
def test_trouble(nodes: list[dict[str, Any]], expected: str) -> None:
    error = {
        "code": "AccountCoreQuotaReached",
        "message": "No more cores.",
        "values": [{"name": "limit", "value": "4"}],
    }
    assert pool_trouble({"id": "p", "resizeErrors": [error]}, nodes) == expected


def test_nothing_is_wrong() -> None:
    assert pool_trouble({"id": "p"}, []) == ""


def test_a_task_that_needs_more_slots_than_a_node_has() -> None:
    pool, nodes = {"id": "p", "taskSlotsPerNode": 2}, [{"id": "n", "state": "idle"}]
    tasks = [{"id": "small", "requiredSlots": 2}, {"id": "large", "requiredSlots": 3}]
    assert pool_trouble(pool, nodes, tasks[:1]) == ""
    assert (
        pool_trouble(pool, nodes, tasks)
        == "pool p: task large needs 3 task slots, a node has 2: it can never run"
    )

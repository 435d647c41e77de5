"""Every task's own result is read, and nothing counts that was not accepted by name."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import pytest

from batchctl.errors import TargetError, TasksRejected
from batchctl.targets.batch import Batch
from batchctl.targets.submit import MAX_BODY_BYTES, MAX_TASKS, chunks, submit

Answer = Callable[[Sequence[Mapping[str, Any]]], list[dict[str, Any]]]


class Account:
    """Stands where a Batch stands, and answers as it is told."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.requests: list[int] = []

    def create_tasks(self, _job: str, bodies: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        self.requests.append(len(bodies))
        return self.answer(bodies)


def submitted(answer: Answer, count: int) -> tuple[int, Account]:
    account = Account(answer)
    return submit(cast(Batch, account), "j", tasks(count)), account


def tasks(count: int) -> list[dict[str, Any]]:
    return [{"id": f"t{i}", "commandLine": "true"} for i in range(count)]


def accepted(bodies: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{"taskId": body["id"], "status": "Success"} for body in bodies]


def refused(id: str, code: str, status: str = "ClientError") -> dict[str, Any]:
    return {"taskId": id, "status": status, "error": {"code": code, "message": {"value": "no.\nRequestId:x"}}}


def test_chunks_of_a_hundred() -> None:
    count, account = submitted(accepted, 250)
    assert count == 250
    assert sorted(account.requests) == [50, 100, 100]


def test_chunks_keep_the_order_and_fit_the_body_limit() -> None:
    large = [{"id": str(i), "commandLine": "x" * (MAX_BODY_BYTES // 3)} for i in range(7)]
    found = chunks(large)
    assert [task["id"] for chunk in found for task in chunk] == [str(i) for i in range(7)]
    assert [len(chunk) for chunk in found] == [2, 2, 2, 1]
    assert [len(chunk) for chunk in chunks(tasks(MAX_TASKS + 1))] == [100, 1]
    assert chunks([]) == []


def test_rejected_tasks_are_named_and_the_others_counted() -> None:
    with pytest.raises(TasksRejected) as caught:
        submitted(lambda bodies: [*accepted(bodies[1:]), refused(bodies[0]["id"], "InvalidPropertyValue")], 3)
    assert caught.value.rejected == (("t0", "InvalidPropertyValue", "no."),)
    assert caught.value.accepted == 2


def test_a_task_that_is_there_already_counts() -> None:
    assert submitted(lambda bodies: [refused(body["id"], "TaskExists") for body in bodies], 3)[0] == 3


def test_a_server_error_is_asked_again_for_those_tasks_only() -> None:
    seen: set[str] = set()

    def answer(bodies: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        again = [body for body in bodies if body["id"] == "t1" and "t1" not in seen]
        seen.update(body["id"] for body in bodies)
        return [
            *accepted([b for b in bodies if b not in again]),
            *[refused("t1", "", "ServerError") for _ in again],
        ]

    count, account = submitted(answer, 3)
    assert (count, account.requests) == (3, [3, 1])


def test_a_task_the_service_says_nothing_of_is_not_counted() -> None:
    with pytest.raises(TasksRejected) as caught:
        submitted(lambda bodies: accepted([b for b in bodies if b["id"] != "t2"]), 3)
    assert [id for id, _, _ in caught.value.rejected] == ["t2"]


def test_a_body_that_is_too_large_is_halved() -> None:
    def answer(bodies: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        if len(bodies) > 30:
            raise TargetError("too large", code="RequestBodyTooLarge")
        return accepted(bodies)

    count, account = submitted(answer, 100)
    assert count == 100
    assert [n for n in account.requests if n <= 30] == [25, 25, 25, 25]


def test_one_task_that_is_too_large_is_an_error() -> None:
    def answer(bodies: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        raise TargetError("too large", code="RequestBodyTooLarge")

    with pytest.raises(TargetError, match="too large"):
        submitted(answer, 1)


def test_progress_is_told() -> None:
    told: list[int] = []
    account = Account(accepted)
    submit(cast(Batch, account), "j", tasks(250), told.append)
    assert sorted(told) == [50, 100, 100]

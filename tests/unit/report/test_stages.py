"""What the stages of a run say of themselves while it goes on, and when it is over."""

from datetime import UTC, datetime
from typing import Any

import pytest

from batchctl.cli.live import stages
from batchctl.report import run_report

NOW = datetime(2026, 1, 1, tzinfo=UTC)
JOB = {"id": "r", "state": "completed", "executionInfo": {"terminateReason": "TaskFailed"}}


def task(id: str, state: str, **info: Any) -> dict[str, Any]:
    return {"id": id, "displayName": "each", "state": state, "executionInfo": info}


GOOD = task("a", "completed", exitCode=0, result="success")
BAD = task("b", "completed", exitCode=3, result="failure")
ENDED = task("c", "completed", exitCode=143, result="failure", failureInfo={"code": "TaskEnded"})
WAITS = task("d", "active")


@pytest.mark.parametrize(
    ("job_state", "tasks", "word", "done"),
    [
        ("active", [WAITS], "waiting", 0),
        ("active", [GOOD, WAITS], "running", 1),
        ("active", [GOOD, task("d", "running")], "running", 1),
        ("active", [GOOD, GOOD], "succeeded", 2),
        ("completed", [GOOD, WAITS], "not run", 1),
        ("completed", [GOOD, ENDED, WAITS], "stopped", 2),
        ("completed", [GOOD, BAD, ENDED, WAITS], "failed", 3),
    ],
)
def test_the_word_that_matters_most(
    job_state: str, tasks: list[dict[str, Any]], word: str, done: int
) -> None:
    other = {**BAD, "id": "other", "displayName": "other"}
    found = stages(run_report({**JOB, "state": job_state}, [*tasks, other], {}), NOW)[0]
    assert (found.state, found.done) == (word, done)

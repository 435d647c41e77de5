"""The transition tables, and the drawings of them in the docs."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from batchctl.server.batch.lifecycle.job import JOB, JobEvent, JobState
from batchctl.server.batch.lifecycle.job_schedule import SCHEDULE, ScheduleState
from batchctl.server.batch.lifecycle.machine import IllegalTransition, Machine
from batchctl.server.batch.lifecycle.node import NODE
from batchctl.server.batch.lifecycle.pool import ALLOCATION, POOL, Allocation, PoolState
from batchctl.server.batch.lifecycle.preparation import PREPARATION, RELEASE
from batchctl.server.batch.lifecycle.task import TASK, TaskEvent, TaskState

MACHINES = (POOL, ALLOCATION, NODE, JOB, SCHEDULE, TASK, PREPARATION, RELEASE)
DRAWINGS = Path(__file__).parents[3] / "docs" / "states.md"
NOW = datetime(2026, 1, 22, 20, 18, 17, tzinfo=UTC)


def drawn(name: str) -> set[tuple[str, str, str]]:
    section = re.split(r"^## ", DRAWINGS.read_text(), flags=re.MULTILINE)
    text = next(part for part in section if part.startswith(f"{name}\n"))
    return set(re.findall(r"^ +(\w+) --> (\w+): (.+)$", text, flags=re.MULTILINE))


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_the_drawing_is_the_table(machine: Machine[Any, Any]) -> None:
    table = {(str(before), str(after), str(event)) for (before, event), after in machine.table.items()}
    assert drawn(machine.name) == table


def test_every_machine_is_drawn_and_nothing_else() -> None:
    titles = re.findall(r"^## (.+)$", DRAWINGS.read_text(), flags=re.MULTILINE)
    assert sorted(titles) == sorted(machine.name for machine in MACHINES)


@pytest.mark.parametrize(
    ("machine", "enum"),
    [(POOL, PoolState), (ALLOCATION, Allocation), (JOB, JobState), (SCHEDULE, ScheduleState)],
    ids=lambda value: getattr(value, "name", ""),
)
def test_every_state_occurs(machine: Machine[Any, Any], enum: Any) -> None:
    states = {state for state, _ in machine.table} | set(machine.table.values())
    assert states == set(enum)


def test_an_impossible_event_raises() -> None:
    with pytest.raises(IllegalTransition, match="Task: start in state completed"):
        TASK.step(TaskState.COMPLETED, TaskEvent.START)
    assert not JOB.can(JobState.COMPLETED, JobEvent.TERMINATE)


def test_a_document_remembers_where_it_was() -> None:
    document = {"state": "active", "stateTransitionTime": "2026-01-01T00:00:00.0000000Z"}
    JOB.advance(document, JobEvent.TERMINATE, NOW)
    assert document == {
        "state": "terminating",
        "stateTransitionTime": "2026-01-22T20:18:17.0000000Z",
        "previousState": "active",
        "previousStateTransitionTime": "2026-01-01T00:00:00.0000000Z",
    }

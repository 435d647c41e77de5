"""Task: waiting, running, done; and back to waiting when it is retried or its node is lost.

Source: Azure Batch REST, BatchTaskState. A task whose dependency failed is `active` for ever.
`preparing` is the wait for a job preparation task.
"""

from enum import StrEnum

from batchctl.server.batch.lifecycle.machine import Machine


class TaskState(StrEnum):
    """`state` of a task."""

    ACTIVE = "active"
    PREPARING = "preparing"
    RUNNING = "running"
    COMPLETED = "completed"


class TaskEvent(StrEnum):
    """What happens to a task."""

    PREPARE = "prepare"
    PREPARATION_FAILED = "preparation failed"
    START = "start"
    RETRY = "retry"
    REQUEUE = "requeue"
    FINISH = "finish"
    TERMINATE = "terminate"
    REACTIVATE = "reactivate"


_S, _E = TaskState, TaskEvent

TASK = Machine(
    name="Task",
    table={
        (_S.ACTIVE, _E.START): _S.RUNNING,
        (_S.ACTIVE, _E.PREPARE): _S.PREPARING,
        (_S.PREPARING, _E.START): _S.RUNNING,
        (_S.PREPARING, _E.PREPARATION_FAILED): _S.ACTIVE,
        (_S.PREPARING, _E.REQUEUE): _S.ACTIVE,
        (_S.PREPARING, _E.TERMINATE): _S.COMPLETED,
        (_S.RUNNING, _E.RETRY): _S.ACTIVE,
        (_S.RUNNING, _E.REQUEUE): _S.ACTIVE,
        (_S.RUNNING, _E.FINISH): _S.COMPLETED,
        (_S.ACTIVE, _E.TERMINATE): _S.COMPLETED,
        (_S.RUNNING, _E.TERMINATE): _S.COMPLETED,
        (_S.COMPLETED, _E.REACTIVATE): _S.ACTIVE,
    },
)

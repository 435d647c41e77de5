"""Job preparation and release tasks: one of each per job and node, either running or completed.

Source: Azure Batch REST, BatchJobPreparationTaskState, BatchJobReleaseTaskState.
"""

from enum import StrEnum

from batchctl.server.batch.lifecycle.machine import Machine


class NodeTaskState(StrEnum):
    """`state` of a job preparation or release task on one node."""

    RUNNING = "running"
    COMPLETED = "completed"


class NodeTaskEvent(StrEnum):
    """What happens to a job preparation or release task on one node."""

    RETRY = "retry"
    FINISH = "finish"
    RERUN = "rerun"


_S, _E = NodeTaskState, NodeTaskEvent

PREPARATION = Machine(
    name="Job preparation",
    table={
        (_S.RUNNING, _E.RETRY): _S.RUNNING,
        (_S.RUNNING, _E.FINISH): _S.COMPLETED,
        (_S.COMPLETED, _E.RERUN): _S.RUNNING,
    },
)

RELEASE = Machine(
    name="Job release",
    table={
        (_S.RUNNING, _E.RERUN): _S.RUNNING,
        (_S.RUNNING, _E.FINISH): _S.COMPLETED,
    },
)

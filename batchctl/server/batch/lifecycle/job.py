"""Job: open for tasks, paused, ending, ended.

Source: Azure Batch REST, BatchJobState. A deleted job has no state: it is gone.
"""

from enum import StrEnum

from batchctl.server.batch.lifecycle.machine import Machine


class JobState(StrEnum):
    """`state` of a job."""

    ACTIVE = "active"
    DISABLING = "disabling"
    DISABLED = "disabled"
    ENABLING = "enabling"
    TERMINATING = "terminating"
    COMPLETED = "completed"
    DELETING = "deleting"


class JobEvent(StrEnum):
    """What happens to a job."""

    DISABLE = "disable"
    QUIET = "no task runs any more"
    ENABLE = "enable"
    ENABLED = "enabled"
    TERMINATE = "terminate"
    ENDED = "ended"
    DELETE = "delete"


_S, _E = JobState, JobEvent

JOB = Machine(
    name="Job",
    table={
        (_S.ACTIVE, _E.DISABLE): _S.DISABLING,
        (_S.ENABLING, _E.DISABLE): _S.DISABLING,
        (_S.DISABLING, _E.QUIET): _S.DISABLED,
        (_S.DISABLING, _E.ENABLE): _S.ENABLING,
        (_S.DISABLED, _E.ENABLE): _S.ENABLING,
        (_S.ENABLING, _E.ENABLED): _S.ACTIVE,
        (_S.ACTIVE, _E.TERMINATE): _S.TERMINATING,
        (_S.DISABLING, _E.TERMINATE): _S.TERMINATING,
        (_S.DISABLED, _E.TERMINATE): _S.TERMINATING,
        (_S.ENABLING, _E.TERMINATE): _S.TERMINATING,
        (_S.TERMINATING, _E.ENDED): _S.COMPLETED,
        (_S.ACTIVE, _E.DELETE): _S.DELETING,
        (_S.DISABLING, _E.DELETE): _S.DELETING,
        (_S.DISABLED, _E.DELETE): _S.DELETING,
        (_S.ENABLING, _E.DELETE): _S.DELETING,
        (_S.TERMINATING, _E.DELETE): _S.DELETING,
        (_S.COMPLETED, _E.DELETE): _S.DELETING,
    },
)

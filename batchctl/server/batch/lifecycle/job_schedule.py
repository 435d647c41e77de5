"""Job schedule: making jobs, paused, ending, ended.

Source: Azure Batch REST, BatchJobScheduleState. A deleted schedule has no state: it is gone.
"""

from enum import StrEnum

from batchctl.server.batch.lifecycle.machine import Machine


class ScheduleState(StrEnum):
    """`state` of a job schedule."""

    ACTIVE = "active"
    COMPLETED = "completed"
    DISABLED = "disabled"
    TERMINATING = "terminating"
    DELETING = "deleting"


class ScheduleEvent(StrEnum):
    """What happens to a job schedule."""

    DISABLE = "disable"
    ENABLE = "enable"
    EXHAUST = "no job to come"
    TERMINATE = "terminate"
    ENDED = "ended"
    DELETE = "delete"


_S, _E = ScheduleState, ScheduleEvent

SCHEDULE = Machine(
    name="Job schedule",
    table={
        (_S.ACTIVE, _E.DISABLE): _S.DISABLED,
        (_S.DISABLED, _E.ENABLE): _S.ACTIVE,
        (_S.ACTIVE, _E.EXHAUST): _S.COMPLETED,
        (_S.ACTIVE, _E.TERMINATE): _S.TERMINATING,
        (_S.DISABLED, _E.TERMINATE): _S.TERMINATING,
        (_S.TERMINATING, _E.ENDED): _S.COMPLETED,
        (_S.ACTIVE, _E.DELETE): _S.DELETING,
        (_S.DISABLED, _E.DELETE): _S.DELETING,
        (_S.TERMINATING, _E.DELETE): _S.DELETING,
        (_S.COMPLETED, _E.DELETE): _S.DELETING,
    },
)

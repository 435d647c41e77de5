"""Pool: `state` (there, or going) and `allocationState` (is the number of nodes changing?).

Source: Azure Batch REST, BatchPoolState and AllocationState. A deleted pool has no state: it is gone.
"""

from enum import StrEnum

from batchctl.server.batch.lifecycle.machine import Machine


class PoolState(StrEnum):
    """`state` of a pool."""

    ACTIVE = "active"
    DELETING = "deleting"


class PoolEvent(StrEnum):
    """What happens to a pool."""

    DELETE = "delete"


class Allocation(StrEnum):
    """`allocationState` of a pool."""

    STEADY = "steady"
    RESIZING = "resizing"
    STOPPING = "stopping"


class AllocationEvent(StrEnum):
    """What happens to the number of nodes of a pool."""

    RESIZE = "resize"
    STOP = "stop"
    SETTLE = "settle"


POOL = Machine(
    name="Pool",
    table={
        (PoolState.ACTIVE, PoolEvent.DELETE): PoolState.DELETING,
    },
)

ALLOCATION = Machine(
    name="Pool allocation",
    property="allocationState",
    table={
        (Allocation.STEADY, AllocationEvent.RESIZE): Allocation.RESIZING,
        (Allocation.RESIZING, AllocationEvent.RESIZE): Allocation.RESIZING,
        (Allocation.STOPPING, AllocationEvent.RESIZE): Allocation.RESIZING,
        (Allocation.RESIZING, AllocationEvent.STOP): Allocation.STOPPING,
        (Allocation.RESIZING, AllocationEvent.SETTLE): Allocation.STEADY,
        (Allocation.STOPPING, AllocationEvent.SETTLE): Allocation.STEADY,
    },
)

"""Node: from its allocation, through the start task, to work, and out of the pool.

Source: Azure Batch REST, BatchNodeState. The enum is complete; the table has the events this service knows.
"""

from enum import StrEnum

from batchctl.server.batch.lifecycle.machine import Machine


class NodeState(StrEnum):
    """`state` of a node."""

    IDLE = "idle"
    REBOOTING = "rebooting"
    REIMAGING = "reimaging"
    RUNNING = "running"
    UNUSABLE = "unusable"
    CREATING = "creating"
    STARTING = "starting"
    WAITING_FOR_START_TASK = "waitingforstarttask"
    START_TASK_FAILED = "starttaskfailed"
    UNKNOWN = "unknown"
    LEAVING_POOL = "leavingpool"
    OFFLINE = "offline"
    PREEMPTED = "preempted"
    UPGRADING_OS = "upgradingos"
    DEALLOCATED = "deallocated"
    DEALLOCATING = "deallocating"


class NodeEvent(StrEnum):
    """What happens to a node."""

    BOOT = "boot"
    START = "start"
    AWAIT_START_TASK = "await start task"
    READY = "ready"
    START_TASK_SUCCEEDED = "start task succeeded"
    START_TASK_FAILED = "start task failed"
    WORK = "work"
    REST = "rest"
    DISABLE = "disable"
    REST_DISABLED = "rest while disabled"
    ENABLE = "enable"
    REBOOT = "reboot"
    REIMAGE = "reimage"
    DEALLOCATE = "deallocate"
    DEALLOCATED = "deallocated"
    PREEMPT = "preempt"
    GIVE_BACK = "give back"
    LEAVE = "leave"
    BREAK = "break"


_S, _E = NodeState, NodeEvent

# What a user may do to a node on which work may run, or could.
_WORKING = (_S.IDLE, _S.RUNNING, _S.OFFLINE)
_PRESENT = (*_WORKING, _S.WAITING_FOR_START_TASK, _S.START_TASK_FAILED)
_EVERYWHERE = (
    *_PRESENT,
    _S.CREATING,
    _S.STARTING,
    _S.REBOOTING,
    _S.REIMAGING,
    _S.PREEMPTED,
    _S.DEALLOCATING,
    _S.DEALLOCATED,
    _S.UNUSABLE,
)

NODE = Machine(
    name="Node",
    table={
        (_S.CREATING, _E.BOOT): _S.STARTING,
        (_S.REBOOTING, _E.BOOT): _S.STARTING,
        (_S.REIMAGING, _E.BOOT): _S.STARTING,
        (_S.DEALLOCATED, _E.START): _S.STARTING,
        (_S.UNUSABLE, _E.BOOT): _S.STARTING,
        (_S.STARTING, _E.AWAIT_START_TASK): _S.WAITING_FOR_START_TASK,
        (_S.STARTING, _E.READY): _S.IDLE,
        (_S.WAITING_FOR_START_TASK, _E.START_TASK_SUCCEEDED): _S.IDLE,
        (_S.WAITING_FOR_START_TASK, _E.START_TASK_FAILED): _S.START_TASK_FAILED,
        (_S.IDLE, _E.WORK): _S.RUNNING,
        (_S.RUNNING, _E.REST): _S.IDLE,
        (_S.IDLE, _E.DISABLE): _S.OFFLINE,
        (_S.RUNNING, _E.REST_DISABLED): _S.OFFLINE,
        (_S.OFFLINE, _E.ENABLE): _S.IDLE,
        **{(state, _E.REBOOT): _S.REBOOTING for state in _PRESENT},
        **{(state, _E.REIMAGE): _S.REIMAGING for state in _PRESENT},
        **{(state, _E.DEALLOCATE): _S.DEALLOCATING for state in _WORKING},
        (_S.DEALLOCATING, _E.DEALLOCATED): _S.DEALLOCATED,
        **{
            (state, _E.PREEMPT): _S.PREEMPTED
            for state in (*_PRESENT, _S.REBOOTING, _S.REIMAGING, _S.UNUSABLE)
        },
        **{(state, _E.BREAK): _S.UNUSABLE for state in (*_PRESENT, _S.STARTING)},
        (_S.PREEMPTED, _E.GIVE_BACK): _S.CREATING,
        **{(state, _E.LEAVE): _S.LEAVING_POOL for state in _EVERYWHERE},
    },
)

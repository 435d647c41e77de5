"""The operations that do something to a node: restarts and scheduling. Source: Azure Batch REST, Compute Node.

A node answers 202 when it has begun; which states allow what is the node's state machine.
"""

from batchctl.server.batch.call import Call, Reply
from batchctl.server.batch.errors import ServiceError
from batchctl.server.batch.handlers.nodes import find_pool_and_node
from batchctl.server.batch.lifecycle.node import NODE, NodeEvent, NodeState
from batchctl.server.batch.lifecycle.pool import PoolState
from batchctl.server.batch.scheduler import nodes as node_actions
from batchctl.server.batch.store import Row

_REFUSALS = {
    NodeState.CREATING: "NodeBeingCreated",
    NodeState.STARTING: "NodeBeingStarted",
    NodeState.REIMAGING: "NodeBeingReimaged",
    NodeState.REBOOTING: "NodeBeingRebooted",
    NodeState.UNUSABLE: "NodeStateUnusable",
}


def reboot(call: Call) -> Reply:
    """Begin to restart a node (202)."""
    body = call.optional_body("BatchNodeRebootOptions")
    return _restart(call, NodeEvent.REBOOT, body.get("nodeRebootOption", "requeue"))


def reimage(call: Call) -> Reply:
    """Begin to set a node up anew, without its files (202)."""
    body = call.optional_body("BatchNodeReimageOptions")
    return _restart(call, NodeEvent.REIMAGE, body.get("nodeReimageOption", "requeue"))


def deallocate(call: Call) -> Reply:
    """Begin to switch a node off (202)."""
    body = call.optional_body("BatchNodeDeallocateOptions")
    return _restart(call, NodeEvent.DEALLOCATE, body.get("nodeDeallocateOption", "requeue"))


def start(call: Call) -> Reply:
    """Begin to switch a deallocated node on (202)."""
    node = open_node(call)
    refuse_unless(node, NodeEvent.START)
    node_actions.start(call.store, node, call.now)
    return _answer(call, node, 202)


def disable_scheduling(call: Call) -> Reply:
    """Start no more tasks on a node (200)."""
    body = call.optional_body("BatchNodeDisableSchedulingOptions")
    node = open_node(call)
    if node.doc["schedulingState"] == "disabled":
        raise ServiceError("NodeAlreadyInTargetSchedulingState")
    option = body.get("nodeDisableSchedulingOption", "requeue")
    node_actions.disable_scheduling(call.store, node, option, call.now)
    return _answer(call, node, 200)


def enable_scheduling(call: Call) -> Reply:
    """Let tasks start on a node again (200)."""
    node = open_node(call)
    if node.doc["schedulingState"] == "enabled":
        raise ServiceError("NodeAlreadyInTargetSchedulingState")
    node_actions.enable_scheduling(call.store, node, call.now)
    return _answer(call, node, 200)


def open_node(call: Call) -> Row:
    """The node that the path names, unless its pool goes. Raises PoolNotFound, NodeNotFound, PoolBeingDeleted."""
    pool, node = find_pool_and_node(call)
    if pool.doc["state"] == PoolState.DELETING:
        raise ServiceError("PoolBeingDeleted")
    return node


def refuse_unless(node: Row, event: NodeEvent) -> None:
    """Raise the refusal that fits the node's state unless `event` may happen to it."""
    state = NodeState(node.doc["state"])
    if not NODE.can(state, event):
        raise refusal(node)


def refusal(node: Row) -> ServiceError:
    """Why nothing can be done to a node in this state."""
    state = NodeState(node.doc["state"])
    return ServiceError(_REFUSALS.get(state, "OperationNotValidOnNode"), ("NodeState", str(state)))


def _restart(call: Call, event: NodeEvent, option: str) -> Reply:
    node = open_node(call)
    refuse_unless(node, event)
    node_actions.restart(call.store, node, event, option, call.now)
    return _answer(call, node, 202)


def _answer(call: Call, node: Row, status: int) -> Reply:
    url = f"{call.endpoint}/pools/{call.params['poolId']}/nodes/{node.doc['id']}"
    return Reply(status=status, headers={"DataServiceId": url})

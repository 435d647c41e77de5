"""The users of a node: accounts to sign in with. Source: Azure Batch REST, Compute Node - Add/Replace/Delete User.

Nobody can sign in to a node of this service, so only names are kept; passwords and keys are never stored.
"""

from datetime import timedelta

from batchctl.server.batch.call import Call, Reply
from batchctl.server.batch.errors import ServiceError, invalid_value, missing_property
from batchctl.server.batch.handlers.node_operations import open_node, refusal
from batchctl.server.batch.lifecycle.node import NodeState
from batchctl.server.batch.store import Row
from batchctl.server.batch.wire import Doc, instant_text

_LONGEST_NAME = 32
_BY_DEFAULT = timedelta(days=1)


def create(call: Call) -> Reply:
    """Add a user to a node (201)."""
    body = call.checked_body("BatchNodeUserCreateOptions")
    name: str = body["name"]
    if not 1 <= len(name) <= _LONGEST_NAME or "/" in name or not name.isprintable():
        raise invalid_value("name", name, f"The name must have 1 to {_LONGEST_NAME} printable characters.")
    _check_credentials(body)
    node = _ready_node(call)
    users: Doc = node.doc.setdefault("_users", {})
    if name.lower() in users:
        raise ServiceError("NodeUserExists")
    url = _write(call, node, {"name": name, "isAdmin": body.get("isAdmin", False)}, body)
    return Reply(status=201, headers={"DataServiceId": url, "Location": url})


def replace(call: Call) -> Reply:
    """Change how a user signs in, and until when (200)."""
    body = call.checked_body("BatchNodeUserReplaceOptions")
    _check_credentials(body)
    node = _ready_node(call)
    url = _write(call, node, _user(call, node), body)
    return Reply(status=200, headers={"DataServiceId": url})


def delete(call: Call) -> Reply:
    """Remove a user (200)."""
    node = _ready_node(call)
    _user(call, node)
    del node.doc["_users"][call.params["userName"].lower()]
    call.store.nodes.save(node)
    return Reply(status=200)


def _ready_node(call: Call) -> Row:
    node = open_node(call)
    if node.doc["state"] not in (NodeState.IDLE, NodeState.RUNNING):
        raise refusal(node)
    return node


def _user(call: Call, node: Row) -> Doc:
    user: Doc | None = node.doc.get("_users", {}).get(call.params["userName"].lower())
    if user is None:
        raise ServiceError("NodeUserNotFound")
    return user


def _check_credentials(body: Doc) -> None:
    if not body.get("password") and not body.get("sshPublicKey"):
        raise missing_property("password")


def _write(call: Call, node: Row, user: Doc, body: Doc) -> str:
    expiry = body.get("expiryTime", instant_text(call.now + _BY_DEFAULT))
    node.doc["_users"][user["name"].lower()] = {**user, "expiryTime": expiry}
    call.store.nodes.save(node)
    return f"{call.endpoint}/pools/{call.params['poolId']}/nodes/{node.doc['id']}/users/{user['name']}"

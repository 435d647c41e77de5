"""The operations on nodes that only look. Source: Azure Batch REST, Compute Node."""

from collections.abc import Iterator
from urllib.parse import urlsplit
from uuid import NAMESPACE_URL, uuid5

from batchctl.server.batch.call import Call, Reply, element
from batchctl.server.batch.errors import ServiceError, invalid_value
from batchctl.server.batch.handlers.pools import find_pool
from batchctl.server.batch.listing import Page, list_reply, selected
from batchctl.server.batch.resources.node import node_view
from batchctl.server.batch.store import Row
from batchctl.server.batch.wire import Doc

_FIRST_LOGIN_PORT = 50000


def get(call: Call) -> Reply:
    """One node (200)."""
    pool, node = find_pool_and_node(call)
    view = node_view(call.store, pool, node, call.endpoint)
    return Reply(status=200, body=element(call, "nodes", selected(call, "BatchNode", view)))


def list_nodes(call: Call) -> Reply:
    """The nodes of a pool, a page at a time (200)."""
    pool = find_pool(call)

    def fetch(page: Page) -> Iterator[tuple[int, Doc]]:
        rows = page.rows(call.store.nodes, "pool = ?", (pool.seq,))
        return ((row.seq, node_view(call.store, pool, row, call.endpoint)) for row in rows)

    return list_reply(call, "nodes", "BatchNode", fetch)


def remote_login_settings(call: Call) -> Reply:
    """Where a user could sign in to the node (200): this machine, on a port of the node's own where nobody listens."""
    pool, node = find_pool_and_node(call)
    before = "SELECT count(*) FROM nodes WHERE pool = ? AND seq < ?"
    port = _FIRST_LOGIN_PORT + call.store.one(before, (pool.seq, node.seq))[0]
    kind = "Microsoft.Azure.Batch.Protocol.Entities.ComputeNodeRemoteLoginSettings"
    body = {"remoteLoginIPAddress": "127.0.0.1", "remoteLoginPort": port}
    return Reply(status=200, body={"odata.metadata": f"{call.endpoint}/$metadata#{kind}", **body})


def list_extensions(call: Call) -> Reply:
    """No VM extension (200): nodes here are folders."""
    find_pool_and_node(call)
    return list_reply(call, "extensions", "BatchNodeVMExtension", lambda _page: ())


def get_extension(call: Call) -> Reply:
    """404: a node has no VM extensions."""
    find_pool_and_node(call)
    raise ServiceError("ResourceNotFound", ("ExtensionName", call.params["extensionName"]))


def upload_logs(call: Call) -> Reply:
    """The node agent's logs would be uploaded (200); there is no agent here, so there are none: 0 files."""
    body = call.checked_body("UploadBatchServiceLogsOptions")
    try:
        address = urlsplit(body["containerUrl"])
        is_address = address.scheme in ("http", "https") and bool(address.netloc)
    except ValueError:
        is_address = False
    if not is_address:
        raise invalid_value("containerUrl", body["containerUrl"], "The value must be the URL of a container.")
    if body.get("endTime", body["startTime"]) < body["startTime"]:
        raise invalid_value("endTime", body["endTime"], "The end must not be before the start.")
    pool, node = find_pool_and_node(call)
    unique = uuid5(NAMESPACE_URL, call.request_id)
    answer = {
        "virtualDirectoryName": f"{pool.doc['id']}/{node.doc['id']}/{unique}",
        "numberOfFilesUploaded": 0,
    }
    kind = "Microsoft.Azure.Batch.Protocol.Entities.UploadBatchServiceLogsResult"
    return Reply(status=200, body={"odata.metadata": f"{call.endpoint}/$metadata#{kind}", **answer})


def find_pool_and_node(call: Call) -> tuple[Row, Row]:
    """The pool and the node that the path names. Raises PoolNotFound, NodeNotFound."""
    pool = find_pool(call)
    node = call.store.nodes.get(call.params["nodeId"])
    if node is None or node.doc["_pool"] != pool.seq:
        raise ServiceError("NodeNotFound")
    return pool, node

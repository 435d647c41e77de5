"""The operations on pools. Source: Azure Batch REST, Pool."""

from collections.abc import Iterator

from batchctl.server.batch.call import Call, Reply, described, element, versioned
from batchctl.server.batch.errors import ServiceError, invalid_value, missing_property
from batchctl.server.batch.lifecycle.pool import Allocation, PoolState
from batchctl.server.batch.listing import Page, expands_stats, list_reply, selected
from batchctl.server.batch.quota import check_pool_quota
from batchctl.server.batch.resources.autoscale import check_autoscale
from batchctl.server.batch.resources.checks import check_id
from batchctl.server.batch.resources.pool import check_pool, check_targets, pool_document, pool_view
from batchctl.server.batch.resources.pool_statistics import statistics_view
from batchctl.server.batch.scheduler import pools as pool_actions
from batchctl.server.batch.scheduler.node_lives import dedicated_core_time
from batchctl.server.batch.store import Row
from batchctl.server.batch.wire import Doc, instant_text, next_etag

MOST_REMOVED = 100


def create(call: Call) -> Reply:
    """Add a pool (201)."""
    body = call.checked_body("BatchPoolCreateOptions")
    check_id(body["id"])
    check_pool(body)
    check_autoscale(body)
    if call.store.pools.get(body["id"]) is not None:
        raise ServiceError("PoolExists")
    check_pool_quota(call.store)
    doc = pool_document(body["id"], body, call.now)
    call.store.pools.add(doc)
    url = f"{call.endpoint}/pools/{doc['id']}"
    return Reply(status=201, headers=described(doc, url) | {"Location": url})


def get(call: Call) -> Reply:
    """One pool (200)."""
    pool = find_pool(call)
    call.check_conditions(pool.doc["eTag"], pool.doc["lastModified"])
    doc = selected(call, "BatchPool", _view(call, pool))
    headers = versioned(pool.doc["eTag"], pool.doc["lastModified"])
    return Reply(status=200, body=element(call, "pools", doc), headers=headers)


def exists(call: Call) -> Reply:
    """200 without a body if the pool is there; 404 otherwise."""
    pool = find_pool(call)
    call.check_conditions(pool.doc["eTag"], pool.doc["lastModified"])
    return Reply(status=200, headers=versioned(pool.doc["eTag"], pool.doc["lastModified"]))


def list_pools(call: Call) -> Reply:
    """All pools, a page at a time (200)."""

    def fetch(page: Page) -> Iterator[tuple[int, Doc]]:
        return ((row.seq, _view(call, row)) for row in page.rows(call.store.pools))

    return list_reply(call, "pools", "BatchPool", fetch)


def delete(call: Call) -> Reply:
    """Begin to delete a pool (202)."""
    pool = open_pool(call)
    pool_actions.delete(call.store, pool, call.now)
    return Reply(status=202)


def resize(call: Call) -> Reply:
    """Begin to bring a pool to a new number of nodes (202)."""
    body = call.checked_body("BatchPoolResizeOptions")
    check_targets(body)
    if "targetDedicatedNodes" not in body and "targetLowPriorityNodes" not in body:
        raise missing_property("targetDedicatedNodes")
    pool = open_pool(call)
    if pool.doc["enableAutoScale"]:
        reason = "A pool with automatic scaling cannot be resized."
        raise ServiceError("OperationNotValidOnPool", ("Reason", reason))
    refuse_unless_steady(pool)
    touch(call, pool)
    pool_actions.resize(call.store, pool, body, call.now)
    return accepted(call, pool)


def stop_resize(call: Call) -> Reply:
    """Stop a resize that goes on (202); targets stay as they are."""
    pool = open_pool(call)
    if pool.doc["allocationState"] != Allocation.RESIZING:
        raise ServiceError("OperationInvalidForCurrentState")
    touch(call, pool)
    pool_actions.stop_resize(call.store, pool, call.now)
    return accepted(call, pool)


def remove_nodes(call: Call) -> Reply:
    """Begin to take certain nodes, at most 100, out of a pool (202)."""
    body = call.checked_body("BatchNodeRemoveOptions")
    check_targets(body)
    names: list[str] = body["nodeList"]
    if not 1 <= len(names) <= MOST_REMOVED:
        raise invalid_value("nodeList", len(names), f"The list must name 1 to {MOST_REMOVED} nodes.")
    pool = open_pool(call)
    refuse_unless_steady(pool)
    nodes: dict[int, Row] = {}
    for name in names:
        node = call.store.nodes.get(name)
        if node is None or node.doc["_pool"] != pool.seq:
            raise ServiceError("NodeNotFound", ("NodeId", name))
        nodes[node.seq] = node
    touch(call, pool)
    pool_actions.remove_nodes(call.store, pool, list(nodes.values()), body, call.now)
    return accepted(call, pool)


def accepted(call: Call, pool: Row, status: int = 202) -> Reply:
    """The answer to a change of a pool: its version and address, no body."""
    return Reply(status=status, headers=described(pool.doc, f"{call.endpoint}/pools/{pool.doc['id']}"))


def open_pool(call: Call) -> Row:
    """The pool that the path names, if it may be changed.

    Raises PoolNotFound, PoolBeingDeleted, and what the conditional headers say.
    """
    pool = find_pool(call)
    call.check_conditions(pool.doc["eTag"], pool.doc["lastModified"])
    if pool.doc["state"] == PoolState.DELETING:
        raise ServiceError("PoolBeingDeleted")
    return pool


def refuse_unless_steady(pool: Row) -> None:
    """Raise PoolBeingResized while the number of nodes changes."""
    if pool.doc["allocationState"] != Allocation.STEADY:
        raise ServiceError("PoolBeingResized")


def touch(call: Call, pool: Row) -> None:
    """A user has changed the pool: a new version. The caller saves it."""
    pool.doc.update(eTag=next_etag(call.now, pool.doc["eTag"]), lastModified=instant_text(call.now))


def find_pool(call: Call) -> Row:
    """The pool that the path names. Raises PoolNotFound."""
    pool = call.store.pools.get(call.params["poolId"])
    if pool is None:
        raise ServiceError("PoolNotFound")
    return pool


def _view(call: Call, pool: Row) -> Doc:
    doc = pool_view(call.store, pool, call.endpoint)
    if call.is_before_slots:
        doc["maxTasksPerNode"] = doc["taskSlotsPerNode"]
    if expands_stats(call):
        doc["stats"] = statistics_view(doc, dedicated_core_time(call.store, pool, call.now), call.now)
    return doc

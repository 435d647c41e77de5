"""The operations that change what a pool is like: PATCH, and the older way to replace its properties.

Source: Azure Batch REST, Pool - Update (BatchPoolUpdateOptions), Pool - Replace Properties.
"""

from batchctl.server.batch.call import Call, Reply
from batchctl.server.batch.errors import ServiceError
from batchctl.server.batch.handlers.pools import accepted, open_pool, touch
from batchctl.server.batch.resources.checks import check_display_name
from batchctl.server.batch.resources.pool import check_parts, check_slots, with_defaults
from batchctl.server.batch.store import Row
from batchctl.server.batch.wire import Doc

_AT_ANY_TIME = frozenset({"startTask", "applicationPackageReferences", "metadata"})
"""All other properties can be changed only while the pool has no nodes."""


def patch(call: Call) -> Reply:
    """Change the given properties of a pool (200); an empty list takes a list away."""
    body = call.checked_body("BatchPoolUpdateOptions")
    pool = open_pool(call)
    _check(body, pool)
    has_nodes = call.store.one("SELECT 1 FROM nodes WHERE pool = ? LIMIT 1", (pool.seq,)) is not None
    if has_nodes and (fixed := body.keys() - _AT_ANY_TIME):
        reason = f"{min(fixed)} can be changed only while the pool has no nodes."
        raise ServiceError("OperationNotValidOnPool", ("Reason", reason))
    _change(call, pool, body)
    return accepted(call, pool, 200)


def replace_properties(call: Call) -> Reply:
    """Replace start task, application packages and metadata of a pool (204); what is not given is taken away."""
    body = call.checked_body("BatchPoolReplaceOptions")
    pool = open_pool(call)
    _check(body, pool)
    pool.doc.pop("startTask", None)
    _change(call, pool, body)
    return accepted(call, pool, 204)


def _check(body: Doc, pool: Row) -> None:
    check_display_name(body)
    changed = pool.doc | body
    check_slots(changed["taskSlotsPerNode"], changed["vmSize"])
    check_parts(body)


def _change(call: Call, pool: Row, body: Doc) -> None:
    for name, value in body.items():
        if value == []:
            pool.doc.pop(name, None)
        else:
            pool.doc[name] = value
    with_defaults(pool.doc)
    touch(call, pool)
    call.store.pools.save(pool)

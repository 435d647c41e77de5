"""Pools: defaults, checks and the answer's form. Source: Azure Batch REST, Pool - Add; recorded answers."""

from datetime import datetime, timedelta
from typing import Any

import orjson

from batchctl.server.batch.errors import invalid_value
from batchctl.server.batch.lifecycle.machine import record_state
from batchctl.server.batch.lifecycle.pool import Allocation, PoolState
from batchctl.server.batch.resources.arm_names import check_arm_names
from batchctl.server.batch.resources.autoscale import DEFAULT_INTERVAL
from batchctl.server.batch.resources.checks import (
    check_at_least,
    check_display_name,
    check_environment,
    check_metadata,
    check_packages,
    check_range,
    check_user,
)
from batchctl.server.batch.resources.file_checks import check_files
from batchctl.server.batch.resources.images import IMAGE_IDS, check_image, check_node_agent
from batchctl.server.batch.resources.vm_size import known_cores
from batchctl.server.batch.store import Row, Store
from batchctl.server.batch.wire import Doc, after, instant_text, next_etag

MOST_SLOTS = 256
MOST_SLOTS_PER_CORE = 4
MOST_NODES = 1000
_LONGEST_ACCOUNT = 20

_DEFAULTS: Doc = {
    "resizeTimeout": "PT15M",
    "targetDedicatedNodes": 0,
    "targetLowPriorityNodes": 0,
    "enableAutoScale": False,
    "enableInterNodeCommunication": False,
    "taskSlotsPerNode": 1,
    "taskSchedulingPolicy": {"nodeFillType": "Spread", "jobDefaultOrder": "none"},
}

# What the service takes but never gives back.
_SECRETS = frozenset({"password", "accountKey", "sasKey", "sshPrivateKey", "protectedSettings"})
_SECRET_WORDS = tuple(f'"{name}"'.encode() for name in _SECRETS)


def check_pool(body: Doc) -> None:
    """Raise ServiceError unless `body` (of a pool or of an auto pool's specification) can be a pool here.

    The autoscale settings are checked apart: a wrong formula of an auto pool is not an error of the request.
    """
    check_display_name(body)
    check_slots(body.get("taskSlotsPerNode", 1), body["vmSize"])
    check_targets(body)
    check_parts(body)


def check_slots(slots: int, vm_size: str) -> None:
    """At most 4 task slots for each core of the VM size (if its name says how many), and at most 256."""
    if not vm_size:
        raise invalid_value("vmSize", vm_size, "The value may not be empty.")
    known = known_cores(vm_size)
    most = min(MOST_SLOTS, known * MOST_SLOTS_PER_CORE) if known else MOST_SLOTS
    check_range({"taskSlotsPerNode": slots}, "taskSlotsPerNode", 1, most)


def check_parts(body: Doc) -> None:
    """Start task, packages, metadata and image, of a new or a patched pool, as far as they are there."""
    start = body.get("startTask", {})
    if start.get("maxTaskRetryCount", 0) < -1:
        raise invalid_value("maxTaskRetryCount", start["maxTaskRetryCount"], "The value must be at least -1.")
    check_files(start)
    check_user(start)
    check_environment(start)
    check_packages(body)
    check_metadata(body)
    check_image(body)
    check_node_agent(body)
    _check_accounts(body)
    _check_mounts(body)
    check_arm_names(body)


def _check_accounts(body: Doc) -> None:
    """User accounts have a name each, of at most 20 characters (Azure Batch REST, UserAccount)."""
    known: set[str] = set()
    for account in body.get("userAccounts", ()):
        name = account["name"]
        if not 1 <= len(name) <= _LONGEST_ACCOUNT:
            raise invalid_value("name", name, f"The name of a user has 1 to {_LONGEST_ACCOUNT} characters.")
        if name in known:
            raise invalid_value("userAccounts", name, "There is more than one user account with this name.")
        known.add(name)


def _check_mounts(body: Doc) -> None:
    """Each entry mounts exactly one file system (Azure Batch REST, MountConfiguration)."""
    for entry in body.get("mountConfiguration", ()):
        if len(entry) != 1:
            raise invalid_value(
                "mountConfiguration", sorted(entry), "Each entry must have exactly one kind of file system."
            )


def check_targets(body: Doc) -> None:
    """The wanted numbers of nodes and the time to reach them, of a pool or a resize."""
    check_range(body, "targetDedicatedNodes", 0, MOST_NODES)
    check_range(body, "targetLowPriorityNodes", 0, MOST_NODES)
    check_at_least(body, "resizeTimeout", timedelta(minutes=5))


def pool_document(name: str, body: Doc, now: datetime, *, owner: str | None = None) -> Doc:
    """A new pool, resizing to its targets. `owner` (`job:<seq>`, `schedule:<seq>`) makes it an auto pool.

    With enableAutoScale its formula is to be evaluated at once.
    """
    doc = with_defaults({**_DEFAULTS, **body, "id": name})
    text = instant_text(now)
    doc |= {"eTag": next_etag(now), "lastModified": text, "creationTime": text, "_nodes": 0}
    record_state(doc, PoolState.ACTIVE, now)
    record_state(doc, Allocation.RESIZING, now, "allocationState")
    if doc["enableAutoScale"]:
        start_autoscale(doc, now)
    doc["_until"] = resize_deadline(doc, now)
    if owner is not None:
        doc["_owner"] = owner
    return doc


def with_defaults(doc: Doc) -> Doc:
    """A pool's parts as the service echoes them: lower-case size, defaults of policy, image and start task."""
    doc["vmSize"] = doc["vmSize"].lower()
    doc["taskSchedulingPolicy"] = _DEFAULTS["taskSchedulingPolicy"] | doc["taskSchedulingPolicy"]
    configuration = doc.get("virtualMachineConfiguration")
    if configuration and not configuration["imageReference"].keys() & set(IMAGE_IDS):
        configuration["imageReference"] = {"version": "latest"} | configuration["imageReference"]
    if "startTask" in doc:
        doc["startTask"] = {"maxTaskRetryCount": 0, "waitForSuccess": True} | doc["startTask"]
    return doc


def start_autoscale(doc: Doc, now: datetime) -> None:
    """Note that the formula is to be evaluated now, and from now on at its interval."""
    text = instant_text(now)
    doc.setdefault("autoScaleEvaluationInterval", DEFAULT_INTERVAL)
    doc |= {"_scaleWake": text, "_evaluate": text, "_eagerAfter": text}


def resize_deadline(doc: Doc, now: datetime) -> str | None:
    """When a resize that begins now is given up; None: never, the timeout is not for autoscale."""
    if doc["enableAutoScale"] or doc["state"] == PoolState.DELETING:
        return None
    return after(instant_text(now), doc["resizeTimeout"])


def pool_view(store: Store, row: Row, endpoint: str) -> Doc:
    """The pool as an answer: its document, its address and how many nodes it has now. No passwords."""
    doc: Doc = without_secrets({name: value for name, value in row.doc.items() if name[0] != "_"})
    counted = dict(store.all("SELECT dedicated, count(*) FROM nodes WHERE pool = ? GROUP BY 1", (row.seq,)))
    doc["url"] = f"{endpoint}/pools/{doc['id']}"
    doc["currentDedicatedNodes"] = counted.get(1, 0)
    doc["currentLowPriorityNodes"] = counted.get(0, 0)
    return doc


def without_secrets(value: Any) -> Any:
    """A part of a document as the service echoes it: without passwords and keys, however deep."""
    text = orjson.dumps(value)  # many times faster than a walk through what has none, as nearly everything
    return _without_secrets(value) if any(name in text for name in _SECRET_WORDS) else value


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_secrets(part) for name, part in value.items() if name not in _SECRETS}
    if isinstance(value, list):
        return [_without_secrets(part) for part in value]
    return value

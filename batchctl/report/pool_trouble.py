"""Why a run's tasks wait although nothing runs: what its pool and its nodes say is wrong. Pure: wire bodies in, a sentence out.

Source: Azure Batch REST, ResizeError, BatchNodeError, BatchNodeState.
"""

from collections.abc import Mapping, Sequence
from typing import Any

_BROKEN = frozenset({"unusable", "starttaskfailed", "unknown"})
_ALIVE = frozenset(
    {"idle", "running", "starting", "creating", "waitingforstarttask", "rebooting", "reimaging"}
)


def pool_trouble(
    pool: Mapping[str, Any], nodes: Sequence[Mapping[str, Any]], waiting: Sequence[Mapping[str, Any]] = ()
) -> str:
    """`pool p: node x is unusable: ContainerInvalidImage: …`; empty if some node works, or may soon.

    Of the `waiting` tasks, the first one that needs more slots than a node has: Batch accepts it, and never runs it.
    """
    states = [str(node.get("state", "")).lower() for node in nodes]
    broken = [node for node, state in zip(nodes, states, strict=True) if state in _BROKEN]
    if broken and not any(state in _ALIVE for state in states):
        first = broken[0]
        more = f", and so are {len(broken) - 1} more" if len(broken) > 1 else ""
        said = _told(first.get("errors") or ())
        return f"pool {pool['id']}: node {first['id']} is {first['state']}{more}: {said or 'it does not say why'}"
    said = "" if nodes else _told(pool.get("resizeErrors") or ())
    if said:
        return f"pool {pool['id']} has no nodes: {said}"
    slots = pool.get("taskSlotsPerNode", 1)
    for task in waiting:
        if task.get("requiredSlots", 1) > slots:
            needed = f"task {task['id']} needs {task['requiredSlots']} task slots"
            return f"pool {pool['id']}: {needed}, a node has {slots}: it can never run"
    return ""


def _told(errors: Sequence[Mapping[str, Any]]) -> str:
    parts = []
    for error in errors:
        details = [str(d.get("value", "")) for d in error.get("errorDetails") or error.get("values") or ()]
        text = " ".join(part for part in (str(error.get("message", "")), *details) if part)
        parts.append(f"{error.get('code', 'unknown')}: {text}" if text else str(error.get("code", "unknown")))
    return "; ".join(parts)

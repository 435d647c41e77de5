"""A plan is a value: what would be done, and why. Print it, save it, compare it, refuse it, or apply it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from batchctl.plan.pipeline import digest


class Action(StrEnum):
    """What is done to a resource."""

    CREATE = "create"
    UPDATE = "update"
    REPLACE = "replace"
    DELETE = "delete"


class Kind(StrEnum):
    """What kind of Batch resource it is."""

    POOL = "pool"
    JOB_SCHEDULE = "job_schedule"
    JOB = "job"
    TASK = "task"


@dataclass(frozen=True, kw_only=True)
class Change:
    """One thing to do. `body` is the whole wire body wanted, `{}` for a delete; `within` is a task's job."""

    action: Action
    kind: Kind
    id: str
    body: dict[str, Any]
    why: tuple[str, ...]
    within: str = ""

    def as_json(self) -> dict[str, Any]:
        """Plain JSON data."""
        found: dict[str, Any] = {"action": self.action, "kind": self.kind, "id": self.id}
        if self.within:
            found["job"] = self.within
        return {**found, "body": self.body, "why": list(self.why)}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What would be done, in the order it would be done."""

    changes: tuple[Change, ...]
    warnings: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 of the changes: two plans that would do the same have the same one."""
        return digest([change.as_json() for change in self.changes])

    def as_json(self) -> dict[str, Any]:
        """Plain JSON data, as `plan -o json` prints it."""
        return {
            "changes": [change.as_json() for change in self.changes],
            "digest": self.digest,
            "warnings": list(self.warnings),
        }

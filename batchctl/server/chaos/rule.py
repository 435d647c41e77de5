"""A rule of what should go wrong: a value, checked when it is made. It must not know the store or HTTP."""

from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Fault(StrEnum):
    """What goes wrong."""

    LATENCY = "latency"
    THROTTLE = "throttle"
    ERROR = "error"
    DROP = "drop"
    QUOTA = "quota"
    PREEMPT = "preempt"
    DENY_IMAGE = "deny-image"
    SKIP_FIRING = "skip-firing"


REQUEST_FAULTS = frozenset({Fault.LATENCY, Fault.THROTTLE, Fault.ERROR, Fault.DROP, Fault.QUOTA})
"""Those that befall a request; the others befall a node, a task or a schedule."""


class Rule(BaseModel):
    """Which events one fault strikes: those that fit, after `skip` of them, at most `times`, by chance or always.

    An event of latency, throttle, error, drop and quota is a request; of preempt, a task started on a low-priority
    node; of deny-image, a container task about to start; of skip-firing, an occurrence of a job schedule.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    fault: Fault = Field(description="What goes wrong.")
    operations: tuple[str, ...] = Field(
        default=("*",),
        min_length=1,
        description="Requests only: operations by their names in the Python SDK, `*` allowed: create_task*.",
    )
    match: str = Field(
        default="*",
        description="The id it strikes, `*` allowed: any id in a request, a pool, an image name, a job schedule.",
    )
    probability: float = Field(
        default=1, gt=0, le=1, description="Of every event that fits, decided by the seed."
    )
    skip: int = Field(default=0, ge=0, description="So many fitting events pass unharmed first.")
    times: int | None = Field(default=None, ge=1, description="It strikes at most so often; None: for ever.")
    seconds: float = Field(
        default=1, ge=0, le=3600,
        description="latency: the delay. throttle and error: Retry-After. preempt: how long the task runs before.",
    )  # fmt: skip
    status: Literal[500, 503] = Field(default=503, description="error only: the HTTP status.")
    after_effect: bool = Field(
        default=False, description="error and drop only: the request takes effect, the client is not told."
    )
    seed: int = Field(default=0, description="Another seed strikes other events.")

    def fits(self, operation: str | None, subjects: tuple[str, ...]) -> bool:
        """Is this event one of the rule's? `operation` is None for what is not a request. Ids match in any case."""
        if operation is not None and not any(fnmatchcase(operation, pattern) for pattern in self.operations):
            return False
        pattern = self.match.lower()
        return pattern == "*" or any(fnmatchcase(subject.lower(), pattern) for subject in subjects)

"""What befalls one request: a delay, an answer in place of the handler's, or a dropped connection."""

import math
from dataclasses import dataclass
from typing import Any

from batchctl.server.batch.errors import ServiceError
from batchctl.server.batch.store import Store
from batchctl.server.chaos import book
from batchctl.server.chaos.rule import REQUEST_FAULTS, Fault, Rule

_QUOTA_CODES = {
    "create_pool": "PoolQuotaReached",
    "create_job": "ActiveJobAndScheduleQuotaReached",
    "create_job_schedule": "ActiveJobAndScheduleQuotaReached",
}


@dataclass(frozen=True, kw_only=True)
class Fate:
    """First the `delay` in seconds; then, before or after the effect, the `error` or (`drop`) no answer at all."""

    delay: float = 0.0
    error: ServiceError | None = None
    drop: bool = False
    after_effect: bool = False

    @property
    def is_harmless(self) -> bool:
        """Does the handler's own answer reach the client?"""
        return self.error is None and not self.drop


UNHARMED = Fate()


def fate_of(store: Store, operation: str, ids: dict[str, Any], body: Any) -> Fate:
    """What befalls a request of `operation` with these ids in its path. Delays add up; the oldest other rule wins."""
    if store.one("SELECT 1 FROM chaos LIMIT 1") is None:
        return UNHARMED
    subjects = [str(value) for value in ids.values()]
    if isinstance(body, dict) and isinstance(body.get("id"), str):
        subjects.append(body["id"])
    with store.transaction():
        rules = book.struck(store, _possible(operation), tuple(subjects), operation=operation)
    delay = sum(rule.seconds for rule in rules if rule.fault is Fault.LATENCY)
    harm = next((rule for rule in rules if rule.fault is not Fault.LATENCY), None)
    if harm is None:
        return Fate(delay=delay)
    if harm.fault is Fault.DROP:
        return Fate(delay=delay, drop=True, after_effect=harm.after_effect)
    return Fate(delay=delay, error=_error(harm, operation), after_effect=_is_late(harm))


def _possible(operation: str) -> frozenset[Fault]:
    return REQUEST_FAULTS if operation in _QUOTA_CODES else REQUEST_FAULTS - {Fault.QUOTA}


def _is_late(rule: Rule) -> bool:
    return rule.fault is Fault.ERROR and rule.after_effect


def _error(rule: Rule, operation: str) -> ServiceError:
    if rule.fault is Fault.QUOTA:
        return ServiceError(_QUOTA_CODES[operation])
    wait = {"Retry-After": str(math.ceil(rule.seconds))}
    if rule.fault is Fault.THROTTLE:
        return ServiceError("TooManyRequests", headers=wait)
    if rule.status == 503:
        return ServiceError("ServerBusy", headers=wait)
    return ServiceError("InternalError")

"""WHEN: a cron line and a time zone, the instants they name, and Azure Batch recurrences that fire at those.

    parse ─ zone ─ dst_for ──> occurrences, previous, following      what should fire
                          └──> decompose ──> Recurrence ──> firings  what Batch is told, and what it does
                                                  └──> covers        whether the two are the same

Pure: no clock, no network, no system time zone data. Every instant is an aware UTC datetime on a whole
minute; "now" is an argument. This package may import nothing of batchctl's but its errors.
"""

from typing import TYPE_CHECKING, Any

from batchctl.schedule.cron import Cron, parse
from batchctl.schedule.dst import Dst, Duplicate, Missing, dst_for
from batchctl.schedule.fields import CronError, Field
from batchctl.schedule.zones import TZDATA_VERSION, ZoneError, zone

if TYPE_CHECKING:
    from batchctl.schedule.decomposition import covers, decompose
    from batchctl.schedule.occurrence import following, occurrences, previous
    from batchctl.schedule.recurrence import Decomposition, Recurrence, firings
    from batchctl.schedule.window import Window

__all__ = [
    "TZDATA_VERSION",
    "Cron",
    "CronError",
    "Decomposition",
    "Dst",
    "Duplicate",
    "Field",
    "Missing",
    "Recurrence",
    "Window",
    "ZoneError",
    "covers",
    "decompose",
    "dst_for",
    "firings",
    "following",
    "occurrences",
    "parse",
    "previous",
    "zone",
]

# Whoever only checks a cron line, as `validate` does, need not wait for what plans are made with.
_LATE = {
    "covers": "decomposition",
    "decompose": "decomposition",
    "Decomposition": "recurrence",
    "Recurrence": "recurrence",
    "Window": "window",
    "firings": "recurrence",
    "following": "occurrence",
    "occurrences": "occurrence",
    "previous": "occurrence",
}


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_LATE[name]}"), name)

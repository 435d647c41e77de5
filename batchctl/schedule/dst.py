"""What to do with wall-clock minutes that a change of the clocks leaves out or repeats.

Only the choices and their defaults; `occurrence` carries them out.
"""

from dataclasses import dataclass
from enum import StrEnum

from batchctl.schedule.cron import Cron


class Missing(StrEnum):
    """For a minute that does not exist on that day."""

    SHIFT = "shift"
    """Fire once, at the first minute after the gap."""
    SKIP = "skip"
    """Do not fire."""


class Duplicate(StrEnum):
    """For a minute that exists twice on that day."""

    FIRST = "first"
    """Fire the first time only."""
    BOTH = "both"
    """Fire both times."""


@dataclass(frozen=True, kw_only=True)
class Dst:
    """Both choices; `dst_for` applies cron's defaults."""

    missing: Missing
    duplicate: Duplicate


def dst_for(cron: Cron, missing: Missing | None = None, duplicate: Duplicate | None = None) -> Dst:
    """The choices for `cron`, None meaning cron's own.

    Debian's cron(8): a job whose minute or hour starts with `*` follows elapsed time (skip, both); any
    other is run once for its wall-clock time (shift, first).
    """
    return Dst(
        missing=Missing(missing or (Missing.SKIP if cron.elapsed else Missing.SHIFT)),
        duplicate=Duplicate(duplicate or (Duplicate.BOTH if cron.elapsed else Duplicate.FIRST)),
    )

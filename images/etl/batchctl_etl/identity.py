"""Which task this is: the name under which a second attempt finds what the first one left.

Pure: it reads a mapping, never `os.environ`; the randomness for use by hand is an argument.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from batchctl_etl.errors import BadConfig


def load_id(environ: Mapping[str, str], *, configured: str | None, otherwise: str) -> str:
    """The same for every attempt of a task of a run: `<BATCHCTL_RUN>/<AZ_BATCH_TASK_ID>`.

    `configured` overrules it; outside batchctl it is `otherwise`, which the caller makes unique.
    """
    if configured:
        return configured
    run, task = environ.get("BATCHCTL_RUN"), environ.get("AZ_BATCH_TASK_ID")
    return f"{run}/{task or 'load'}" if run else otherwise


def owner_mark(identity: str) -> str:
    """Twelve hexadecimal digits that stand for a load id in names of files."""
    return hashlib.sha256(identity.encode("utf-8", "replace")).hexdigest()[:12]


def file_stem(identity: str) -> str:
    """A readable name of a file, different for different load ids: `weather-1-load-3f2a…`."""
    readable = re.sub(r"[^A-Za-z0-9_.-]+", "-", identity).strip("-.")[:120]
    return f"{readable or 'load'}-{owner_mark(identity)}"


@dataclass(frozen=True, kw_only=True)
class Origin:
    """The run and the task that do the work, as `batchctl` told them; all `None` by hand."""

    pipeline: str | None = None
    run: str | None = None
    task: str | None = None
    scheduled_at: datetime | None = None
    """The occurrence that the run is for (UTC)."""


def origin(environ: Mapping[str, str]) -> Origin:
    """Who we are. Raises `BadConfig` if BATCHCTL_SCHEDULED_AT is no moment with a zone."""
    text, moment = environ.get("BATCHCTL_SCHEDULED_AT"), None
    if text:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None:
            raise BadConfig([f"BATCHCTL_SCHEDULED_AT: {text!r} is no moment such as 2026-01-31T06:00:00Z"])
        moment = moment.astimezone(UTC)
    return Origin(
        pipeline=environ.get("BATCHCTL_PIPELINE"),
        run=environ.get("BATCHCTL_RUN"),
        task=environ.get("AZ_BATCH_TASK_ID"),
        scheduled_at=moment,
    )

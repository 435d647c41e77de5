"""The quality gate of a stage, if it has checks: without them, nothing that judges is even imported."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pyarrow as pa

from batchctl_etl.config.checks import Check
from batchctl_etl.transforms.evidence import Evidence
from batchctl_etl.transforms.quarantine import BadRows


def quality_gate(
    reader: pa.RecordBatchReader,
    checks: Sequence[Check],
    *,
    bad: BadRows,
    memory_limit: str,
    results: list[dict[str, Any]],
    evidence: Evidence,
) -> AbstractContextManager[pa.RecordBatchReader]:
    """The rows that pass, as `gated` gives them; all of them if there are no checks."""
    if not checks:
        return nullcontext(reader)
    from batchctl_etl.transforms.gate import gated

    return gated(reader, checks, bad=bad, memory_limit=memory_limit, results=results, evidence=evidence)

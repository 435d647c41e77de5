"""What the checks of a stage know beside its rows, found; and what the next run's checks will know, remembered."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime

from batchctl_etl.config.checks import Check, ForeignKey, Freshness, RowCount
from batchctl_etl.errors import BadConfig
from batchctl_etl.identity import Origin
from batchctl_etl.readers.source import OpenRows, RowInput, row_input
from batchctl_etl.state.counts import counts_before, remember_count
from batchctl_etl.transforms.evidence import Evidence


def found_evidence(
    checks: Sequence[Check],
    stack: ExitStack,
    *,
    origin: Origin,
    load_id: str,
    inputs: Mapping[str, RowInput] | None = None,
    dataset_counts: Sequence[int] = (),
) -> Evidence:
    """Open what the checks refer to; it is closed with `stack`.

    `dataset_counts`: rows of earlier versions of the stage's dataset, the latest first. Raises `WorkFailed`, and
    `BadConfig` if a check needs the occurrence and nobody tells it.
    """
    keys: dict[int, OpenRows] = {}
    counts: dict[int, Sequence[int]] = {}
    for number, check in enumerate(checks):
        if isinstance(check, ForeignKey):
            given = (inputs or {})[check.input] if check.input is not None else None
            if given is None:
                assert check.source is not None
                given = row_input(check.source, stack)
            keys[number] = given.open
        elif isinstance(check, RowCount) and check.change:
            counts[number] = (
                counts_before(check.history, load_id=load_id) if check.history else dataset_counts
            )
        elif isinstance(check, Freshness) and check.at is None and origin.scheduled_at is None:
            what = "at is missing, and so is BATCHCTL_SCHEDULED_AT: the moment to be fresh at"
            raise BadConfig([f"checks[{number}]: {what}"])
    return Evidence(keys=keys, counts=counts, at=origin.scheduled_at)


def remember_counts(checks: Sequence[Check], *, load_id: str, rows: int, at: datetime) -> None:
    """After the stage's rows are committed: keep their number for the next run. Raises `WorkFailed`."""
    for url in {check.history for check in checks if isinstance(check, RowCount) and check.history}:
        remember_count(url, load_id=load_id, rows=rows, at=at)

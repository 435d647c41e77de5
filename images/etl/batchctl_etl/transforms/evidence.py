"""What checks know beside the rows: other rows, the counts of earlier runs, and the moment the run is for.

Values only: the stages find them, the gate uses them. No clock.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any

from batchctl_etl.config.checks import Freshness, RowCount
from batchctl_etl.readers.source import OpenRows


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """`keys` and `counts` are by the number of the check, from 0.

    `keys`: opens the rows that a foreign key leads to. `counts`: rows of earlier committed runs, the latest first.
    `at`: the occurrence that the run is for (UTC); `None` if nobody said.
    """

    keys: Mapping[int, OpenRows] = field(default_factory=dict)
    counts: Mapping[int, Sequence[int]] = field(default_factory=dict)
    at: datetime | None = None


def count_result(check: RowCount, count: int, before: Sequence[int]) -> tuple[bool, dict[str, Any]]:
    """Whether `count` rows are wrong, and what to tell of it. Nothing before is nothing to compare with."""
    wrong = count < check.min or (check.max is not None and count > check.max)
    if check.change is None:
        return wrong, {}
    if not before:
        return wrong, {"before": None}
    usual = median(before[: check.runs])
    allowed = float(check.change.removesuffix("%")) / 100
    return wrong or abs(count - usual) > allowed * usual, {"before": usual}


def freshness_result(check: Freshness, newest: datetime | None, at: datetime) -> tuple[bool, dict[str, Any]]:
    """Whether the `newest` moment (UTC) is too old at the moment `at`, and what to tell of it."""
    told = {"newest": newest.isoformat() if newest else None, "at": at.astimezone(UTC).isoformat()}
    return newest is None or at - newest > check.max_age, told


def moment(microseconds: int | None) -> datetime | None:
    """The moment so many microseconds after 1970, in UTC."""
    return (
        None
        if microseconds is None
        else datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
    )


def age(result: Mapping[str, Any]) -> str:
    """How old the newest value of a freshness result is: `2 days, 3:00:00`, without parts of a second."""
    if result["newest"] is None:
        return "there is no value"
    span = datetime.fromisoformat(result["at"]) - datetime.fromisoformat(result["newest"])
    return f"the newest value is {timedelta(seconds=int(span.total_seconds()))} old"

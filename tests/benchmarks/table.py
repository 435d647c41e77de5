"""A row of a benchmark, and the table of them, in Markdown."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Row:
    """One measurement: ours against a reference, both in `unit`, and how many times the reference we may take."""

    what: str
    ours: float
    reference: float
    unit: str
    goal: str
    ratio: float
    note: str = ""


def print_table(rows: Iterable[Row]) -> None:
    """Print the rows as they come."""
    print("| what | ours | reference | ratio | goal | note |")
    print("|---|---:|---:|---:|---|---|")
    for row in rows:
        print(
            f"| {row.what} | {row.ours:,.3g} {row.unit} | {row.reference:,.3g} {row.unit} | {row.ratio:.2f} "
            f"| {row.goal} | {row.note} |",
            flush=True,
        )

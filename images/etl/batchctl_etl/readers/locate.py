"""Which row of a CSV file it is that cannot be read: Arrow tells what is wrong, and not where.

The file is read again, slowly and forgivingly, up to that row.
"""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass

from batchctl_etl.config.rows import Options
from batchctl_etl.errors import WorkFailed

_LONGEST_ROW = 4 * 1024 * 1024
_WAYS_OUT = re.compile("[\udc80-\udcff]")
"""What Python makes of bytes that are no text."""


class Misfit(WorkFailed):
    """A row of `place` does not fit; `reason` is in Arrow's words."""

    def __init__(self, place: str, what: str, remedy: str, *, after: int, reason: str) -> None:
        super().__init__(f"{place}, after row {after}" if after else place, what, remedy)
        self.place = place
        self.what = what
        self.remedy = remedy
        self.reason = reason

    def at(self, row: int, column: str | None) -> WorkFailed:
        """The same, with its row (from 1), and the column if that is known only now."""
        what = re.sub(r"In CSV column #\d+: ", f"column {column!r}: " if column else "", self.what)
        return WorkFailed(f"{self.place}, row {row}", what, self.remedy)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What to look for: a row of another length than `length`, or `value` in a column, or no text, or too long."""

    length: int | None = None
    column: int | None = None
    value: str | None = None
    is_text: bool = False


def fault(reason: str) -> Fault:
    """What Arrow's message says is wrong."""
    if match := re.search(r"Expected (\d+) columns, got", reason):
        return Fault(length=int(match[1]))
    column = re.search(r"In CSV column #(\d+): ", reason)
    index = int(column[1]) if column else None
    if "UTF8" in reason or "UTF-8" in reason:
        return Fault(column=index, is_text=True)
    if match := re.search(r"invalid value '(.*)'$", reason, re.S):
        return Fault(column=index, value=match[1])
    return Fault()


def located(error: Misfit, content: io.BufferedReader, options: Options) -> WorkFailed:
    """`error` with the row that it is about, if it can be found in `content`, which stays open."""
    names, wanted = list(options.columns), fault(error.reason)
    number = first = 0 if options.header else 1
    try:
        for number, row in enumerate(_rows(content, options), first):
            if number == 0:
                names = row
                continue
            if _is_bad(row, wanted):
                known = wanted.column is not None and wanted.column < len(names)
                column = names[wanted.column or 0] if known else None
                if wanted.value is not None and column in options.types:
                    error.remedy = "correct it, or give the column the type string and cast it in a step"
                return error.at(number, column)
    except csv.Error:
        return error.at(max(number + 1, 1), None)  # Longer than any row may be: no need to hold all of it.
    return error


def _is_bad(row: list[str], wanted: Fault) -> bool:
    if wanted.length is not None:
        return len(row) != wanted.length
    fields = row if wanted.column is None else row[wanted.column : wanted.column + 1]
    if wanted.value is not None:
        return wanted.value in fields
    if wanted.is_text:
        return any(_WAYS_OUT.search(field) for field in fields)
    return sum(map(len, row)) > _LONGEST_ROW


def _rows(content: io.BufferedReader, options: Options) -> Iterator[list[str]]:
    encoding = "utf-8-sig" if options.encoding.lower() in {"utf-8", "utf8"} else options.encoding
    text = io.TextIOWrapper(content, encoding, errors="surrogateescape", newline="")
    before = csv.field_size_limit(_LONGEST_ROW)
    try:
        lines = csv.reader(_lines(text), delimiter=options.delimiter, quotechar=options.quote)
        yield from _counted(lines, options)
    finally:
        csv.field_size_limit(before)
        text.detach()


def _counted(lines: Iterator[list[str]], options: Options) -> Iterator[list[str]]:
    """Empty lines are rows where there is one column, but for those before the header."""
    before = 0
    for row in lines:
        if row:
            break
        before += 1
    else:
        return
    if len(options.columns or row) != 1:
        yield row
        yield from (row for row in lines if row)
        return
    if not options.header:
        yield from ([""] for _ in range(before))
    yield row
    yield from (row or [""] for row in lines)


def _lines(text: io.TextIOWrapper) -> Iterator[str]:
    while line := text.readline(_LONGEST_ROW + 1):
        if len(line) > _LONGEST_ROW:
            raise csv.Error("a line is too long")
        yield line

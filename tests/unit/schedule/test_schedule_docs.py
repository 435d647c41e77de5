"""The page on schedules: its examples give the output it shows, and its table the numbers it states."""

import doctest
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from batchctl.errors import Refused
from batchctl.schedule import decompose, dst_for, parse, zone

PAGE = Path(__file__).parents[3] / "docs" / "schedules.md"
ROW = re.compile(
    r"^\| `(?P<line>[^`]+)` \| (?P<zone>\S+) \| (?P<count>\d+|refused) \| (?P<days>.*?) ?\|$", re.MULTILINE
)
NOW = datetime(2025, 6, 1, 12, tzinfo=UTC)


def test_the_examples_are_real() -> None:
    failed, tried = doctest.testfile(str(PAGE), module_relative=False)
    assert tried >= 14
    assert failed == 0


@pytest.mark.parametrize(
    "row", list(ROW.finditer(PAGE.read_text(encoding="utf-8"))), ids=lambda row: row["line"]
)
def test_the_table_is_real(row: re.Match[str]) -> None:
    cron, there = parse(row["line"]), zone(row["zone"])
    if row["count"] == "refused":
        with pytest.raises(Refused):
            decompose(cron, there, dst_for(cron), after=NOW)
        return
    found = decompose(cron, there, dst_for(cron), after=NOW)
    horizon = None if row["days"] == "ever" else NOW + timedelta(days=int(row["days"].split()[0]))
    assert (len(found.recurrences), found.horizon_end) == (int(row["count"]), horizon)


def test_the_table_is_there() -> None:
    assert len(ROW.findall(PAGE.read_text(encoding="utf-8"))) >= 10

"""jobspecs/weather-lake.yaml: bronze, silver and gold as Delta tables; the averages worked out once more."""

import csv
from collections import defaultdict
from datetime import date
from pathlib import Path
from statistics import mean
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from tests.acceptance.conftest import Project

SPEC = "jobspecs/weather-lake.yaml"
FILE = "jobspecs/samples/seattle-weather.csv"


def expected(path: Path) -> dict[tuple[str, date], tuple[float, int]]:
    """(measure, first of the month) -> average, days."""
    months: dict[tuple[str, date], list[float]] = defaultdict(list)
    with path.open() as file:
        for row in csv.DictReader(file):
            for measure in ("precipitation", "temp_max", "temp_min", "wind"):
                months[measure, date.fromisoformat(row["date"]).replace(day=1)].append(float(row[measure]))
    return {key: (mean(values), len(values)) for key, values in months.items()}


def table(project: Project, name: str) -> tuple[int, list[dict[str, Any]]]:
    """The version of a Delta table, and its rows."""
    found = DeltaTable(str(project.folder / ".batchctl/lake/curated/weather-lake" / name))
    return found.version(), pa.table(found.to_pyarrow_table()).to_pylist()


def check(project: Project, days: int) -> None:
    """Every table is what the file says."""
    with (project.folder / FILE).open() as file:
        text = list(csv.DictReader(file))
    _, bronze = table(project, "bronze/seattle")
    assert sorted(bronze, key=lambda row: row["date"]) == text
    _, silver = table(project, "silver")
    assert (len(silver), len({row["date"] for row in silver})) == (days, days)
    by_day = {row["date"]: row for row in silver}
    for row in text:
        found = by_day[date.fromisoformat(row["date"])]
        assert (float(found["temp_max"]), found["weather"]) == (float(row["temp_max"]), row["weather"])
    wanted = expected(project.folder / FILE)
    _, gold = table(project, "gold")
    assert {(row["measure"], row["month"]) for row in gold} == set(wanted)
    assert len(gold) == len(wanted)
    for row in gold:
        average, count = wanted[row["measure"], row["month"]]
        assert (row["average"], row["days"]) == (pytest.approx(average, abs=1e-6), count)


def test_weather_lake(project: Project) -> None:
    project.copy("jobspecs")
    path = project.folder / FILE
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-1]))
    for _ in range(2):
        assert project("run", SPEC, "-o", "json").json["state"] == "succeeded"
        check(project, len(lines) - 2)
    assert table(project, "bronze/seattle")[0] == 0  # Made once: the second time nothing was new.
    path.write_text("".join(lines))
    assert project("run", SPEC, "-o", "json").json["state"] == "succeeded"
    check(project, len(lines) - 1)
    assert table(project, "bronze/seattle")[0] == 1

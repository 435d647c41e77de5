"""A sourcemart on the local service: everything, then one table with what is refined from it, by hand and by a schedule."""

import csv
from collections import defaultdict
from datetime import date

import duckdb
import pytest

from tests.acceptance.conftest import ROOT, Project

SAMPLE = ROOT / "jobspecs" / "samples" / "seattle-weather.csv"
DATABASE = ".batchctl/lake/curated/weather-mart.duckdb"
REFINED = ["transform", "load"]


def expected_years() -> dict[int, tuple[float, float, int]]:
    """Rain, warmest day and number of days of each year: by hand, in plain Python."""
    days: dict[int, list[tuple[float, float]]] = defaultdict(list)
    with SAMPLE.open() as file:
        for row in csv.DictReader(file):
            year = date.fromisoformat(row["date"]).year
            days[year].append((float(row["precipitation"]), float(row["temp_max"])))
    return {
        year: (sum(rain for rain, _ in found), max(warm for _, warm in found), len(found))
        for year, found in days.items()
    }


def yearly(project: Project) -> dict[int, tuple[float, float, int]]:
    with duckdb.connect(str(project.folder / DATABASE), read_only=True) as db:
        rows = db.execute("SELECT year, rain, warmest, days FROM yearly").fetchall()
    return {year: (pytest.approx(rain), warmest, days) for year, rain, warmest, days in rows}


def test_the_whole_mart_then_one_table_of_it(project: Project) -> None:
    project.copy("jobspecs")
    assert project("validate", "jobspecs/weather-mart.yaml").out.endswith("valid: weather-mart, 3 tables\n")
    whole = project("run", "jobspecs/weather-mart.yaml", "-o", "json").json
    assert {task["id"]: task["state"] for task in whole["tasks"]} == {
        "daily-collect-seattle": "succeeded",
        "to-parquet-daily-seattle": "succeeded",
        **{f"{t}-refine-{r}": "succeeded" for t in ("daily", "monthly", "yearly") for r in REFINED},
    }
    assert yearly(project) == expected_years()
    with duckdb.connect(str(project.folder / DATABASE)) as db:
        db.execute("DELETE FROM yearly")
    options = ["-p", "tables=monthly", "-p", "skip_upstreams_refiners=true"]
    part = project("run", "jobspecs/weather-mart.yaml", *options, "-o", "json").json
    assert [task["id"] for task in part["tasks"]] == [
        f"{table}-refine-{refiner}" for table in ("monthly", "yearly") for refiner in REFINED
    ]
    assert yearly(project) == expected_years()


def test_a_table_that_is_not_there_starts_nothing(project: Project) -> None:
    project.copy("jobspecs")
    done = project("run", "jobspecs/weather-mart.yaml", "-p", "tables=montly", code=2)
    assert "error: -p tables: there is no table montly" in done.err
    assert "hint: did you mean monthly?" in done.err
    assert not (project.folder / ".batchctl/local").exists()


def test_a_trigger_runs_the_deployed_mart_for_the_tables_it_is_given(project: Project) -> None:
    spec = project.write(
        "mart.yaml",
        "name: mart\n"
        'schedule: {cron: "0 6 * * *"}\n'
        "parameters: {tables: {default: b}}\n"
        "pool: {target_dedicated_nodes: 1}\n"
        "sourcemart:\n"
        "  tables:\n"
        "    - name: a\n"
        "      collectors: [{name: api, command: /bin/echo fetch}]\n"
        "      refiners: [{name: load, command: /bin/echo a}]\n"
        "    - {name: b, upstreams: [a], refiners: [{name: load, command: /bin/echo b}]}\n"
        "    - {name: c, refiners: [{name: load, command: /bin/echo c}], collectors: [{name: api, command: /bin/echo c}]}\n",
    )
    project("schedule", "apply", spec)
    project("schedule", "trigger", "mart", "--wait")
    assert list(project.states("mart")) == ["a-collect-api", "a-refine-load", "b-refine-load"]
    project("schedule", "trigger", "mart", "-p", "tables=c", "--wait")
    assert list(project.states("mart")) == ["c-collect-api", "c-refine-load"]

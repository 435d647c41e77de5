"""jobspecs/mta-turnstile.yaml: a month of both forms, some weeks at a time; a year planned; the future refused."""

import csv
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tests.acceptance.conftest import ROOT, Project

pytest_plugins = ["tests.acceptance.jobspec_services"]
SPEC = "jobspecs/mta-turnstile.yaml"
SAMPLES = ROOT / "jobspecs" / "samples" / "turnstile"
TURNSTILE = "A002,R051,02-00-00,59 ST,NQR456,BMT"
MONTH = ("--from", "2014-10-01", "--to", "2014-10-31")


def expected(folder: Path) -> Counter[tuple[Any, ...]]:
    """Every reading of all files: (week, ca, unit, scp, station, at, description, entries, exits)."""
    found: Counter[tuple[Any, ...]] = Counter()
    for path in folder.glob("*.txt"):
        week = f"20{path.stem[-6:-4]}-{path.stem[-4:-2]}-{path.stem[-2:]}"
        with path.open(newline="") as file:
            for row in csv.reader(file):
                values = [value.strip() for value in row]
                if values[0] == "C/A":
                    continue
                if len(values) == 11:
                    groups, station, form = [values[6:]], values[3], "%m/%d/%Y %H:%M:%S"
                else:
                    groups = [values[i : i + 5] for i in range(3, len(values), 5)]
                    station, form = None, "%m-%d-%y %H:%M:%S"
                for day, time, description, entries, exits in groups:
                    at = datetime.strptime(f"{day} {time}", form).replace(tzinfo=UTC).replace(tzinfo=None)
                    found[(week, *values[:3], station, at, description, int(entries), int(exits))] += 1
    return found


def loaded(project: Project) -> Counter[tuple[Any, ...]]:
    found: Counter[tuple[Any, ...]] = Counter()
    for path in (project.folder / ".batchctl/lake/curated/turnstile").glob("week=*/*.parquet"):
        week = path.parent.name.removeprefix("week=")
        for row in pq.ParquetFile(path).read().to_pylist():
            names = ("ca", "unit", "scp", "station", "at", "description", "entries", "exits")
            found[(week, *(row[name] for name in names))] += 1
    return found


def test_a_month_in_both_forms_twice(project: Project) -> None:
    project.copy("jobspecs")
    with (project.folder / "jobspecs/samples/turnstile/turnstile_141018.txt").open("a") as file:
        file.write("A002,R051,cut off\n")
        file.write(f"{TURNSTILE},10/18/2034,03:00:00,REGULAR,0004000000,0001300000\n")
    wanted = expected(SAMPLES)
    assert (sum(wanted.values()), len({row[0] for row in wanted})) == (4 * 2 * 42, 4)
    for reprocess in ("none", "all"):
        done = project("backfill", SPEC, *MONTH, "--reprocess", reprocess, "-o", "json")
        assert [row["state"] for row in done.json] == ["succeeded"] * 4
        story = [line for line in done.err.splitlines() if line.endswith((" begins", " succeeded"))]
        assert [line.rpartition(" ")[2] for line in story] == ["begins"] * 4 + ["succeeded"] * 4
        assert loaded(project) == wanted
    bad = {
        path.stem: path.read_text()
        for path in (project.folder / ".batchctl/lake/staging/turnstile/bad").iterdir()
    }
    cut_off, ahead = sorted(bad.pop("2014-10-18").splitlines(), key=lambda line: "2034" in line)
    assert "A002,R051,cut off" in cut_off
    assert "2034-10-18 03:00:00" in ahead
    assert set(bad.values()) == {""}


def test_a_year_is_planned_and_the_future_is_refused(project: Project) -> None:
    project.copy("jobspecs")
    year = project(
        "backfill", SPEC, "--from", "2014-01-01", "--to", "2014-12-31", "--dry-run", "-o", "json"
    ).json
    moments = [datetime.fromisoformat(row["occurrence"]) for row in year]
    assert len(moments) == 52
    assert {moment.weekday() for moment in moments} == {5}
    done = project("backfill", SPEC, "--from", "2014-12-01", "--to", "2199-12-31", code=2)
    assert "--to 2199-12-31 is in the future" in done.err
    done = project("run", SPEC, "--at", "2199-12-28T14:00:00Z", code=2)
    assert "--at 2199-12-28T14:00:00Z: this is in the future" in done.err


def test_the_files_are_what_the_program_makes(samples: dict[str, Any]) -> None:
    for saturday in samples["SATURDAYS"]:
        path = SAMPLES / f"turnstile_{saturday:%y%m%d}.txt"
        assert path.read_text() == samples["turnstile_file"](saturday)

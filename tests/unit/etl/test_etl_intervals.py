"""Intervals: read from text by a cast, reckoned with in SQL, and written as text."""

import datetime as dt
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from batchctl_etl.transforms.intervals import iso_text

READ = {
    "PT1H30M": "PT1H30M",
    "P1Y2M3DT4H5M6.5S": "P1Y2M3DT4H5M6.5S",
    "-P1DT2H": "P-1DT-2H",
    "P2W": "P14D",
    "PT0S": "PT0S",
    "36:00:00": "PT36H",
    "-00:05": "PT-5M",
    "1:02:03.000004": "PT1H2M3.000004S",
    "2 days 1 hour": "P2DT1H",
    "14 Months": "P1Y2M",
    "1 day 02:03:04": "P1DT2H3M4S",
    " ": None,
}
BAD = ["90", "P", "PT", "-", "P1DT", "P1H", "PT1D", "1:61", "1.5 hours", "1y", "one day", "PT1.5H", "-P-1D"]


def _cast(etl, texts, **more):
    Path("in.jsonl").write_text("".join(json.dumps({"t": text}) + "\n" for text in texts))
    step = {"type": "cast", "columns": {"t": "interval"}} | more
    config = {"input": {"url": "in.jsonl"}, "steps": [step], "sink": {"url": "out.parquet"}}
    return etl("transform", config)


def test_from_text_to_text(etl):
    assert _cast(etl, READ).exit_code == 0
    assert pq.read_table("out.parquet")["t"].to_pylist() == list(READ.values())
    written = [text for text in READ.values() if text]
    assert _cast(etl, [text for text in written if "-" not in text]).exit_code == 0
    assert pq.read_table("out.parquet")["t"].to_pylist() == [text for text in written if "-" not in text]


@pytest.mark.parametrize("text", BAD)
def test_what_is_none_is_named(etl, text):
    done = _cast(etl, ["PT1H", text])
    assert done.exit_code == 1
    assert f"in.jsonl, row 2: column 't': '{text}' is not of type interval" in done.stderr


def test_it_is_reckoned_with(etl):
    Path("in.csv").write_text("came,stay\n2026-01-31 10:00:00,PT36H\n")
    steps = [
        {"type": "cast", "columns": {"stay": "interval"}},
        {
            "type": "derive",
            "columns": {"until": "came + stay", "seconds": "epoch(stay)", "gap": "came - (came - stay)"},
        },
    ]
    done = etl("transform", {"input": {"url": "in.csv"}, "steps": steps, "sink": {"url": "out.jsonl"}})
    assert done.exit_code == 0, done.stderr
    (row,) = map(json.loads, Path("out.jsonl").read_text().splitlines())
    assert row["until"] == "2026-02-01T22:00:00"
    assert (row["stay"], row["seconds"], row["gap"]) == ("PT36H", 129600.0, "P1DT12H")


@pytest.mark.parametrize("name", ["out.csv", "out.jsonl", "out.parquet"])
def test_durations_of_parquet_are_written_too(etl, name):
    length = dt.timedelta(hours=1, microseconds=5)
    pq.write_table(pa.table({"t": pa.array([length, None], pa.duration("us"))}), "in.parquet")
    for sql in ("FROM input", "SELECT t FROM input WHERE true"):
        done = etl("transform", {"input": {"url": "in.parquet"}, "sql": sql, "sink": {"url": name}})
        assert done.exit_code == 0, done.stderr
        assert b"PT1H0.000005S" in Path(name).read_bytes()


def test_signs_are_of_each_part():
    assert iso_text(-14, 3, -1_500_000_000) == "P-1Y-2M3DT-1.5S"
    assert iso_text(0, 0, 3_600_000_000_000) == "PT1H"


def test_only_a_cast_knows_it(etl):
    source = {"url": "in.csv", "options": {"types": {"t": "interval"}}}
    done = etl("transform", {"input": source, "sql": "FROM input", "sink": {"url": "out.csv"}})
    assert done.exit_code == 2
    assert "'interval' is not one of bool, int64" in done.stderr

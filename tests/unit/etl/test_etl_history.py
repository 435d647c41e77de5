"""Checks that look beyond the rows: foreign keys, the change of the row count against history, freshness."""

import json
from datetime import date

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

ROWS = pa.table(
    {
        "i": [1, 2, 3, 4],
        "code": ["a", "b", None, "z"],
        "day": [date(2026, 1, d) for d in (1, 2, 3, 4)],
        "at": pa.array([f"2026-01-0{d}T06:00:00" for d in (1, 2, 3, 4)]).cast(pa.timestamp("us")),
        "text": [f"2026-01-0{d}T06:00:00Z" for d in (1, 2, 3, 4)],
        "none": pa.array([None] * 4, pa.date32()),
    }
)
CODES = pa.table({"id": ["a", "b", "b", None], "n": [1, 2, 3, 4]})


@pytest.fixture
def work(etl, tmp_path):
    pq.write_table(ROWS, tmp_path / "work/in.parquet")
    pq.write_table(CODES, tmp_path / "work/codes.parquet")
    return tmp_path / "work"


@pytest.fixture
def load(etl, work):
    def load(*checks, run="r1", rows=None, **more):
        if rows is not None:
            pq.write_table(pa.table({"i": list(range(rows))}), work / "in.parquet")
        sink = {"type": "parquet", "url": "out/", "mode": "replace"}
        return etl("load", {"source": {"url": "in.parquet"}, "sink": sink, "checks": checks} | more, run=run)

    return load


@pytest.fixture
def transform(etl, work):
    def transform(*checks, **more):
        inputs = {"orders": {"url": "in.parquet"}, "codes": {"url": "codes.parquet"}}
        config = {"inputs": inputs, "sql": "FROM orders", "sink": {"url": "out.parquet"}, "checks": checks}
        return etl("transform", config | more, run="r1")

    return transform


KEY = {"type": "foreign_key", "columns": ["code"], "key": ["id"]}


def test_a_foreign_key_is_looked_for_in_another_input(transform, work):
    done = transform(KEY | {"input": "codes"})
    assert (done.exit_code, (work / "out.parquet").exists()) == (3, False)
    assert "check foreign_key(code -> codes: id) failed: 1 of 4 rows, the first is row 4" in done.stderr
    assert transform(KEY | {"input": "codes", "level": "warn"}).report["checks"][0]["status"] == "warned"
    done = transform(KEY | {"input": "codes", "level": "quarantine"}, quarantine={"url": "bad.jsonl"})
    assert (done.exit_code, pq.read_table(work / "out.parquet")["i"].to_pylist()) == (0, [1, 2, 3])
    assert json.loads((work / "bad.jsonl").read_text())["why"] == "check foreign_key(code -> codes: id)"


def test_a_foreign_key_is_looked_for_in_a_source_and_may_have_two_columns(load, work):
    source = {"url": "codes.parquet"}
    assert load(KEY | {"source": source}).exit_code == 3
    both = pa.table({"i": [1, 2], "code": ["a", "b"]})
    pq.write_table(both, work / "both.parquet")
    wide = {"type": "foreign_key", "columns": ["i", "code"], "source": {"url": "both.parquet"}}
    done = load(wide)
    assert (
        "check foreign_key(i, code -> source: i, code) failed: 1 of 4 rows, the first is row 4" in done.stderr
    )


@pytest.mark.parametrize(
    ("check", "exit_code", "message"),
    [
        (KEY, 2, "give either input or source"),
        (KEY | {"input": "codes", "key": ["id", "n"]}, 2, "another number of columns"),
        (KEY | {"input": "cods"}, 2, "there is no input 'cods'; the inputs are codes, orders"),
        (KEY | {"input": "codes", "key": ["nope"]}, 1, 'Referenced column "nope" not found'),
        (KEY | {"source": {"url": "gone.csv"}}, 1, "gone.csv: cannot be read"),
        (KEY | {"input": "codes", "columns": ["q"]}, 1, "column 'q' is not there"),
        ({"type": "row_count", "change": "50%"}, 2, "change needs history"),
        ({"type": "row_count", "change": "50"}, 2, "checks[0].change: string should match"),
        ({"type": "row_count", "runs": 3}, 2, "mean something with change only"),
        ({"type": "freshness", "column": "day", "max_age": "P1D", "level": "quarantine"}, 2, "tells no bad rows"),
        ({"type": "freshness", "column": "day", "max_age": "P1D"}, 2, "checks[0]: at is missing"),
        ({"type": "freshness", "column": "i", "max_age": "P1D", "at": "2026-01-05T00:00:00Z"}, 1, "freshness(i): "),
        ({"type": "freshness", "column": "day", "max_age": "P1D", "at": "2026-01-05T00:00:00"}, 2, "timezone"),
    ],
)  # fmt: skip
def test_a_check_that_cannot_be_made(transform, work, check, exit_code, message):
    done = transform(check)
    assert (done.exit_code, (work / "out.parquet").exists()) == (exit_code, False), done.stderr
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_load_has_no_inputs(load):
    assert "a load has none: give source" in load(KEY | {"input": "codes"}).stderr


CHANGE = {"type": "row_count", "min": 0, "change": "50%", "history": "state/counts.json"}


def test_the_row_count_is_compared_with_the_last_committed_run(load, work):
    counts = []
    for run, rows, exit_code in [
        ("r1", 100, 0),
        ("r2", 150, 0),
        ("r3", 74, 3),
        ("r4", 226, 3),
        ("r5", 75, 0),
    ]:
        done = load(CHANGE, run=run, rows=rows)
        assert done.exit_code == exit_code, (run, done.stderr)
        counts.append(done.report["checks"][0].get("before"))
    assert counts == [None, 100, 150, 150, 150]
    assert "failed: there are 226 rows, and 75 before" in load(CHANGE, run="r4", rows=226).stderr
    found = json.loads((work / "state/counts.json").read_text())["counts"]
    assert [(item["load_id"], item["rows"]) for item in found] == [
        ("r5/load", 75),
        ("r2/load", 150),
        ("r1/load", 100),
    ]


def test_a_second_attempt_is_not_compared_with_itself(load, work):
    assert load(CHANGE, run="r1", rows=100).exit_code == 0
    assert load(CHANGE, run="r2", rows=120).exit_code == 0
    done = load(CHANGE, run="r2", rows=60)
    assert done.report["checks"][0]["before"] == 100
    assert [item["rows"] for item in json.loads((work / "state/counts.json").read_text())["counts"]] == [
        60,
        100,
    ]


def test_the_median_of_several_runs(load):
    for number, rows in enumerate([10, 100, 100, 5000]):
        assert load(CHANGE | {"level": "warn"}, run=f"r{number}", rows=rows).exit_code == 0
    done = load(CHANGE | {"runs": 4}, run="last", rows=140)
    assert (done.exit_code, done.report["checks"][0]["before"]) == (0, 100)


def test_from_nothing_to_something_is_a_change(load):
    assert load(CHANGE, run="r1", rows=0).exit_code == 0
    assert load(CHANGE, run="r2", rows=0).exit_code == 0
    assert load(CHANGE, run="r3", rows=1).exit_code == 3


def test_a_file_that_is_no_history(load, work):
    (work / "counts.json").write_text('{"x": 1}')
    done = load(CHANGE | {"history": "counts.json"}, rows=1)
    assert (done.exit_code, done.stderr.count("it is not a history of ours")) == (1, 1)
    (work / "counts.json").write_text("{")
    assert "counts.json: it is not JSON" in load(CHANGE | {"history": "counts.json"}, rows=1).stderr


@pytest.mark.parametrize("column", ["day", "at", "text"])
def test_freshness_is_against_the_runs_own_moment(transform, monkeypatch, column):
    hours = 0 if column == "day" else 6
    check = {"type": "freshness", "column": column, "max_age": "P1D"}
    monkeypatch.setenv("BATCHCTL_SCHEDULED_AT", f"2026-01-05T{hours:02}:00:00Z")
    done = transform(check)
    assert (done.exit_code, done.report["checks"][0]["newest"]) == (0, f"2026-01-04T{hours:02}:00:00+00:00")
    monkeypatch.setenv("BATCHCTL_SCHEDULED_AT", f"2026-01-05T{hours:02}:00:01Z")
    done = transform(check)
    assert done.exit_code == 3
    assert f"check freshness({column}) failed: the newest value is 1 day, 0:00:01 old" in done.stderr
    assert transform(check | {"level": "warn"}).exit_code == 0
    assert transform(check | {"at": "2026-01-05T01:00:00+03:00"}).exit_code == 0


def test_no_value_at_all_is_not_fresh(transform):
    done = transform(
        {"type": "freshness", "column": "none", "max_age": "P999D", "at": "2026-01-05T00:00:00Z"}
    )
    assert (done.exit_code, done.stderr.count("there is no value")) == (3, 1)


def test_a_moment_that_is_none(transform, monkeypatch):
    monkeypatch.setenv("BATCHCTL_SCHEDULED_AT", "yesterday")
    assert "BATCHCTL_SCHEDULED_AT: 'yesterday' is no moment" in transform().stderr

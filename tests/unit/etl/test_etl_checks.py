"""The quality gate: what the checks ask for, or nothing is written, with an exit code of its own."""

import json
from datetime import date

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from batchctl_etl.errors import WorkFailed
from batchctl_etl.transforms import gate

TABLE = pa.table(
    {
        "k": ["a", "b", "b", None, "e"],
        "n": pa.array([1.0, 20.0, float("nan"), None, 5.0]),
        "day": [date(2026, 1, day) for day in range(1, 6)],
        "i": [1, 2, 3, 4, 5],
    }
)
FAILING = [
    ({"type": "not_null", "columns": ["i", "k"]}, "not_null(i, k)", 1, 4),
    ({"type": "unique", "columns": ["k"]}, "unique(k)", 2, 2),
    ({"type": "range", "column": "n", "min": 2, "max": 10}, "range(n: 2..10)", 3, 1),
    ({"type": "range", "column": "day", "max": "2026-01-04"}, "range(day: ..2026-01-04)", 1, 5),
    ({"type": "set", "column": "k", "values": ["a", "e"]}, "set(k)", 2, 2),
    ({"type": "set", "column": "i", "values": [1, 2, 3, 4]}, "set(i)", 1, 5),
    ({"type": "pattern", "column": "k", "regex": "[a-d]"}, "pattern(k)", 1, 5),
    ({"type": "sql", "name": "no b", "query": "SELECT k, i FROM rows WHERE k = 'b';"}, "sql(no b)", 2, None),
]
PASSING = [
    {"type": "not_null", "columns": ["i"]},
    {"type": "unique", "columns": ["i", "k"]},
    {"type": "range", "column": "i", "min": 1, "max": 5},
    {"type": "set", "column": "k", "values": ["a", "b", "e"]},
    {"type": "pattern", "column": "k", "regex": "[a-e]"},
    {"type": "row_count", "min": 5, "max": 5},
    {"type": "sql", "name": "days", "query": "SELECT * FROM rows WHERE day > '2026-02-01'"},
]


@pytest.fixture
def work(etl, tmp_path):
    pq.write_table(TABLE, tmp_path / "work/in.parquet")
    return tmp_path / "work"


@pytest.fixture(params=["transform", "load"])
def check(etl, work, request):
    """`check(checks)`: a stage with these checks, and how many rows arrived."""

    def check(*checks, **more):
        config = {"checks": list(checks)} | more
        if request.param == "transform":
            config |= {"input": {"url": "in.parquet"}, "sql": "FROM input", "sink": {"url": "out/x.parquet"}}
        else:
            sink = {"type": "parquet", "url": "out/", "mode": "replace"}
            config |= {"source": {"url": "in.parquet"}, "sink": sink}
        done = etl(request.param, config)
        files = list((work / "out").glob("*.parquet"))
        return done, [row["i"] for path in files for row in pq.read_table(path).to_pylist()]

    return check


def test_all_is_well(check):
    done, arrived = check(*PASSING)
    assert done.exit_code == 0, done.stderr
    assert arrived == [1, 2, 3, 4, 5]
    assert [item["status"] for item in done.report["checks"]] == ["passed"] * len(PASSING)
    assert done.report["rows_written"] == 5


@pytest.mark.parametrize(("wrong", "label", "count", "first"), FAILING, ids=[row[1] for row in FAILING])
def test_a_closed_gate_is_3_and_nothing_is_written(check, wrong, label, count, first):
    done, arrived = check(*PASSING, wrong)
    assert (done.exit_code, arrived) == (3, [])
    (line,) = done.stderr.splitlines()
    assert f"check {label} failed: {count} of 5 rows" in line
    assert (f"the first is row {first}" if first else "such as {'k': b, 'i': 2}") in line
    result = done.report["checks"][-1]
    assert (result["check"], result["status"], result["failed_rows"]) == (label, "failed", count)


def test_a_warning_is_told_and_everything_arrives(check):
    done, arrived = check(*[wrong | {"level": "warn"} for wrong, *_ in FAILING])
    assert (done.exit_code, arrived) == (0, [1, 2, 3, 4, 5])
    assert done.stderr.count(" warned: ") == len(FAILING)
    assert {item["status"] for item in done.report["checks"]} == {"warned"}


def test_all_failures_come_at_once(check):
    done, _ = check(*[wrong for wrong, *_ in FAILING], {"type": "row_count", "min": 9})
    assert done.exit_code == 3
    assert len(done.stderr.splitlines()) == len(FAILING) + 1
    assert "check row_count(9..) failed: there are 5 rows" in done.stderr


def test_bad_rows_go_to_the_quarantine(check, work):
    sending = [wrong | {"level": "quarantine"} for wrong, *_ in FAILING[:2]]
    done, arrived = check(*sending, quarantine={"url": "bad.jsonl"})
    assert done.exit_code == 0, done.stderr
    assert (arrived, done.report["quarantined"], done.report["rows_written"]) == ([1, 5], 3, 2)
    bad = [json.loads(line) for line in (work / "bad.jsonl").read_text().splitlines()]
    assert [item["place"] for item in bad] == ["row 2", "row 3", "row 4"]
    assert bad[0] == {
        "place": "row 2",
        "why": "check unique(k)",
        "row": {"k": "b", "n": "20.0", "day": "2026-01-02", "i": "2"},
    }
    done, arrived = check(*sending, quarantine={"url": "bad.jsonl", "max_rows": 2})
    assert (done.exit_code, arrived) == (1, [1, 5])
    assert "bad.jsonl: more than 2 rows are bad" in done.stderr


def test_types_pass_the_gate_unchanged(etl, work):
    table = pa.table(
        {"u": pa.array([1], pa.uint8()), "t": pa.array([1], pa.timestamp("ns", "Asia/Tokyo")), "l": [[1]]}
    )
    pq.write_table(table, work / "in.parquet")
    sink = {"type": "parquet", "url": "out/", "mode": "replace"}
    checks = [{"type": "not_null", "columns": ["u"]}]
    assert etl("load", {"source": {"url": "in.parquet"}, "sink": sink, "checks": checks}).exit_code == 0
    (path,) = (work / "out").iterdir()
    assert pq.read_table(path).equals(table)


@pytest.mark.parametrize(
    ("wrong", "exit_code", "message"),
    [
        (
            {"type": "not_null", "columns": ["q"]},
            1,
            "check not_null(q): column 'q' is not there; the columns are k",
        ),
        ({"type": "range", "column": "day", "min": "x"}, 1, "check range(day: x..): Conversion Error"),
        ({"type": "sql", "name": "s", "query": "SELECT FROM ("}, 1, "check sql(s): Parser Error"),
        ({"type": "sql", "name": "s", "query": "SELECT 1) ; SELECT (2"}, 1, "check sql(s): "),
        ({"type": "sql", "name": "s", "query": "FROM read_csv('/etc/passwd')"}, 1, "Permission Error"),
        ({"type": "range", "column": "i"}, 2, "give min or max"),
        ({"type": "row_count", "level": "quarantine"}, 2, "row_count tells no bad rows"),
        ({"type": "not_null", "columns": ["k"], "level": "quarantine"}, 2, "quarantine is missing"),
        ({"type": "not_nul", "columns": ["k"]}, 2, "checks[0]: input tag 'not_nul'"),
    ],
)
def test_a_check_that_cannot_be_made(check, wrong, exit_code, message):
    done, arrived = check(wrong)
    assert (done.exit_code, arrived) == (exit_code, [])
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


class InterruptedOnce:
    """A connection that says first what another of DuckDB's threads says of a failure, as it now and then does."""

    def __init__(self) -> None:
        self.real = duckdb.connect()
        self.is_first = True

    def extract_statements(self, sql: str) -> list[duckdb.Statement]:
        return self.real.extract_statements(sql)

    def execute(self, sql: str) -> duckdb.DuckDBPyConnection:
        if self.is_first:
            self.is_first = False
            raise duckdb.InterruptException("INTERRUPT Error: Interrupted!")
        return self.real.execute(sql)


def test_a_check_that_cannot_be_asked_says_why_though_duckdb_was_interrupted():
    check = gate.SqlCheck(type="sql", name="odd", query="SELECT 1")
    with pytest.raises(WorkFailed, match="boom; correct the check"):
        gate._asked(InterruptedOnce(), check, "SELECT error('boom')")

"""PostgreSQL as a source, against a real server: every value comes back as it went in."""

import json
import math
import time
from datetime import UTC, date, datetime
from datetime import time as clock_time
from decimal import Decimal

import pyarrow as pa
import pytest

FIRST = datetime(1, 1, 1, tzinfo=UTC)
LAST = datetime(9999, 12, 31, 23, 59, 59, 999999, UTC)
NAN, INF = float("nan"), float("inf")
ODD = pa.table(
    {
        "b": pa.array([True, False, None]),
        "i8": pa.array([-128, 127, None], pa.int8()),
        "i16": pa.array([-(2**15), 2**15 - 1, None], pa.int16()),
        "i32": pa.array([-(2**31), 2**31 - 1, None], pa.int32()),
        "i64": pa.array([-(2**63), 2**63 - 1, None], pa.int64()),
        "u32": pa.array([0, 2**32 - 1, None], pa.uint32()),
        "u64": pa.array([0, 2**64 - 1, None], pa.uint64()),
        "f32": pa.array([NAN, -INF, None], pa.float32()),
        "f64": pa.array([NAN, INF, -0.0]),
        "f": pa.array([0.1, 1e308, 5e-324]),
        "d38": pa.array(
            [Decimal("9" * 28 + "." + "9" * 10), Decimal("-0.0000000001"), None], pa.decimal128(38, 10)
        ),
        "d0": pa.array([Decimal("9" * 38), Decimal("-" + "9" * 38), None], pa.decimal128(38, 0)),
        "s": pa.array(["", None, 'é"q",\n\r\n\t\\.\\N\\x41 \U0001f600']),
        "bin": pa.array([b"", None, bytes(range(256))]),
        "day": pa.array([date(1, 1, 1), date(9999, 12, 31), None]),
        "at": pa.array([FIRST.replace(tzinfo=None), LAST.replace(tzinfo=None), None], pa.timestamp("us")),
        "tz": pa.array([FIRST.replace(year=1900), LAST.replace(year=2026), None], pa.timestamp("us", "UTC")),
        "tm": pa.array([clock_time(0), clock_time(23, 59, 59, 999999), None], pa.time64("us")),
    }
)
READ_AS = {"i8": pa.int16(), "u32": pa.int64(), "u64": pa.decimal128(20, 0)}


def test_every_value_comes_back(db):
    done = db.load(rows=ODD)
    assert done.exit_code == 0, done.stderr
    found = db.back("SELECT * FROM @S.t")
    for name in ODD.column_names:
        assert found.schema.field(name).type == READ_AS.get(name, ODD.schema.field(name).type), name
        expected, actual = ODD[name].to_pylist(), found[name].to_pylist()
        assert [repr(value) for value in actual] == [
            repr(Decimal(value) if name == "u64" and value is not None else value) for value in expected
        ], name
    (first,) = db.ask("SELECT s, bin, f64, d38, tz, day FROM @S.t WHERE b")
    assert first[:2] == ("", b"")
    assert math.isnan(first[2])
    assert first[3:] == (Decimal("9" * 28 + "." + "9" * 10), datetime(1900, 1, 1, tzinfo=UTC), date(1, 1, 1))
    assert db.ask("SELECT count(*) FROM @S.t WHERE s IS NULL AND bin IS NULL") == [(1,)]


def test_other_types_are_their_text(db):
    query = """SELECT '{"a": 1}'::jsonb AS j, '1 day'::interval AS i, ARRAY[1,NULL] AS a, 7::oid AS o,
        'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid AS u, int4range(1, 5) AS r, NULL::text AS n"""
    assert db.back(query).to_pylist() == [
        {
            "j": '{"a": 1}',
            "i": "1 day",
            "a": "{1,NULL}",
            "o": 7,
            "u": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
            "r": "[1,5)",
            "n": None,
        }
    ]


def test_a_column_of_nulls_alone_keeps_its_rows(db):
    assert db.back("SELECT NULL::text AS s FROM generate_series(1, 3)").to_pylist() == [{"s": None}] * 3
    assert db.back("SELECT 1 AS x WHERE false").schema.field("x").type == pa.int32()


@pytest.mark.parametrize("text", ["\ufeff", "\ufeffabc", "\ufeff\ufeff"])
def test_a_mark_of_utf_8_in_the_first_value_is_text(db, text):
    assert db.back(f"SELECT '{text}' AS a, 1 AS b UNION ALL SELECT 'x', 2")["a"].to_pylist() == [text, "x"]


def test_an_error_is_one_line_whatever_the_column_is_called(db):
    done = db.read('SELECT 1.5 AS "a\nb"')
    assert (done.exit_code, len(done.stderr.splitlines())) == (1, 1)


def test_many_rows_stream(db):
    query = "SELECT i, 'text ' || i AS s, i * 1.5::float8 AS f FROM generate_series(1, 200000) AS i;"
    done = db.read(query, "SELECT count(*) AS c, sum(i)::BIGINT AS s, max(f) AS f FROM input", "out.jsonl")
    assert json.loads((db.work / "out.jsonl").read_text()) == {"c": 200000, "s": 20000100000, "f": 300000.0}
    assert done.report["rows_read"] == 200000
    assert done.report["inputs"] == {"input": "query of WAREHOUSE_DSN"}


def test_a_reader_that_stops_early(db):
    query = "SELECT i, repeat('x', 1000) AS s FROM generate_series(1, 400000) AS i"
    done = db.read(query, "SELECT i FROM input LIMIT 3", "out.jsonl")
    assert done.exit_code == 0, done.stderr
    deadline = time.monotonic() + 120
    while db.ask("SELECT 1 FROM pg_stat_activity WHERE application_name = 'batchctl-etl'"):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT sum(1.5) AS total", "column 'total' is numeric without a precision"),
        ("SELECT 1::numeric(50,2) AS n", "column 'n' is numeric(50,2), and a decimal has at most 38 digits"),
        (
            "SELECT 'NaN'::numeric(5,2) AS n",
            "column 'n': The string 'NaN' is not a valid decimal128 number; cast it in the query",
        ),
        ("SELECT 'infinity'::date AS d", "column 'd': 'infinity' does not fit date32[day]"),
        ("SELECT '0044-03-15 BC'::date AS d", "column 'd': '0044-03-15 BC' does not fit"),
        ("SELECT '-infinity'::timestamptz AS d", "column 'd': '-infinity' does not fit"),
        ("SELECT 1 AS a, 2 AS a", "two columns are named 'a'; name one with AS"),
        ("SELEC 1", 'syntax error at or near "1"; check the query'),
        ("SELECT * FROM nowhere", 'relation "nowhere" does not exist; check the name and the schema'),
        ("SELECT 1/(i - 200000) AS x FROM generate_series(1, 300000) AS i", "division by zero"),
        ("DELETE FROM pg_class", "syntax error"),
        (
            "SELECT set_config('a.b', 'c', false), nextval('@S.q')",
            "read-only transaction; a source may only read",
        ),
        ("SELECT repeat('x', 20000000) AS long", "a row is longer than 8 MB; leave out the long column"),
    ],
)
def test_a_query_that_fails(db, query, message):
    (db.work / "out.parquet").write_text("old")
    db.ask("CREATE SEQUENCE @S.q")
    done = db.read(query)
    assert (done.exit_code, len(done.stderr.splitlines())) == (1, 1)
    assert "etl: transform: query of WAREHOUSE_DSN: " in done.stderr
    assert message in done.stderr
    assert (db.work / "out.parquet").read_text() == "old"

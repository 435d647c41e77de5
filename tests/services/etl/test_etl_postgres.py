"""PostgreSQL as a source and as a target, against a real server: every value comes back as it went in."""

import json
import math
import os
import subprocess
import sys
import threading
import time
import uuid
from datetime import UTC, date, datetime
from datetime import time as clock_time
from decimal import Decimal

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

DSN = "WAREHOUSE_DSN"


@pytest.fixture
def db(postgres, etl, monkeypatch, tmp_path):
    """A schema of its own, and how to load into it, read from it and ask it."""
    name = f"s{uuid.uuid4().hex[:8]}"
    monkeypatch.setenv(DSN, postgres)

    class Database:
        work = tmp_path
        schema = name

        def ask(self, sql):
            with psycopg.connect(postgres, autocommit=True) as connection:
                connection.execute("SET timezone = 'UTC'")
                cursor = connection.execute(sql.replace("@S", name))
                return cursor.fetchall() if cursor.description else []

        def load(self, text=None, *, run=None, mode="append", table="t", rows=None, **more):
            source = {"url": "in.csv"} if rows is None else {"url": "in.parquet"}
            if text is not None:
                (tmp_path / "in.csv").write_text(text)
            if rows is not None:
                pq.write_table(rows, tmp_path / "in.parquet")
            sink = {
                "type": "postgres",
                "dsn_env": DSN,
                "db_schema": name,
                "table": table,
                "mode": mode,
                **more,
            }
            return etl("load", {"source": source, "sink": sink}, run=run)

        def read(self, query, sql="SELECT * FROM input", sink="out.parquet"):
            source = {"type": "postgres", "dsn_env": DSN, "query": query.replace("@S", name)}
            return etl("transform", {"input": source, "sql": sql, "sink": {"url": sink}})

        def back(self, query):
            done = self.read(query)
            assert done.exit_code == 0, done.stderr
            return pq.read_table(tmp_path / "out.parquet")

        def rows(self):
            return sorted(self.ask("SELECT * FROM @S.t"))

    database = Database()
    database.ask("CREATE SCHEMA @S")
    yield database
    database.ask("DROP SCHEMA @S CASCADE")


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


WHOLE = """
CREATE TABLE @S."A table" (id int, n numeric(15,2), n38 numeric(38,0), d date, ts timestamp, tz timestamptz, c char(5),
  "c 1" char, v varchar(10), t text, b bytea, bo boolean, f4 real, f8 float8, s smallint, l bigint);
INSERT INTO @S."A table" VALUES
  (1, 0, 99999999999999999999999999999999999999, '0001-01-01', '0001-01-01', '0001-01-01Z', 'ab', '', '', '',
   E'\\\\x00ff', true, 'NaN', '-infinity', 1, 9223372036854775807),
  (2, -0.01, -1, '9999-12-31', '9999-12-31 23:59:59.999999', '9999-12-31 23:59:59.999999Z', 'é', 'x', ' x ', E'a\n"b"',
   '', false, '-0', '-0', -32768, -9223372036854775808),
  (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)
"""


def test_a_whole_table_has_the_values_of_a_query(db):
    db.ask(WHOLE)
    whole = db.back('SELECT * FROM @S."A table"')
    assert whole.schema == (queried := db.back('SELECT * FROM @S."A table" WHERE true')).schema
    assert [repr(row) for row in whole.sort_by("id").to_pylist()] == [
        repr(row) for row in queried.to_pylist()
    ]
    assert whole["c"].to_pylist() == ["ab   ", "é    ", None]


def test_a_whole_table_is_read_by_all_connections_once(db):
    """The table has grown since the server counted its pages, and changes while it is read."""
    db.ask(
        "CREATE TABLE @S.t AS SELECT i, repeat('x', 500) AS s FROM generate_series(1, 40000) AS i; ANALYZE @S.t"
    )
    db.ask("INSERT INTO @S.t SELECT i, repeat('y', 500) FROM generate_series(40001, 120000) AS i")
    db.ask("UPDATE @S.t SET s = 'z' WHERE i % 7 = 0; DELETE FROM @S.t WHERE i % 11 = 0")
    done = db.read(
        "SELECT * FROM @S.t", "SELECT count(*) AS c, count(DISTINCT i) AS d, sum(i)::BIGINT AS s FROM input"
    )
    assert done.exit_code == 0, done.stderr
    [(count, total)] = db.ask("SELECT count(*), sum(i) FROM @S.t")
    assert pq.read_table(db.work / "out.parquet").to_pylist() == [{"c": count, "d": count, "s": total}]
    assert done.report["rows_read"] == count
    assert done.report["bytes_read"] > 0


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("numeric(5,2)", "NaN", "column 'x y' holds NaN, which no decimal is; cast it in the query"),
        ("date", "infinity", "column 'x y' holds an infinite value, or a year before 1 or after 9999"),
        ("date", "0044-03-15 BC", "column 'x y' holds an infinite value, or a year before 1 or after 9999"),
        ("timestamp", "-infinity", "no timestamp[us] holds it: cast it in the query"),
        ("timestamptz", "294276-12-31", "no timestamp[us, tz=UTC] holds it"),
    ],
)
def test_a_whole_table_with_a_value_that_arrow_has_not(db, kind, value, message):
    (db.work / "out.parquet").write_text("old")
    usual = "0" if kind.startswith("numeric") else "2026-01-01"
    db.ask(f"""CREATE TABLE @S.t ("x y" {kind}); INSERT INTO @S.t VALUES ('{usual}'), (NULL), ('{value}')""")
    done = db.read("SELECT * FROM @S.t")
    assert (done.exit_code, len(done.stderr.splitlines())) == (1, 1)
    assert message in done.stderr
    assert (db.work / "out.parquet").read_text() == "old"
    db.ask(f"""DELETE FROM @S.t WHERE "x y" = '{value}'""")
    assert db.back("select * from @S.t;").num_rows == 2


def test_zeros_of_several_columns_of_which_one_is_nan(db):
    db.ask("CREATE TABLE @S.t (a numeric(5,2), b numeric(5,2)); INSERT INTO @S.t VALUES (0, 0), (1, 'NaN')")
    done = db.read("SELECT * FROM @S.t")
    assert (done.exit_code, len(done.stderr.splitlines())) == (1, 1)
    assert "column 'b' holds NaN" in done.stderr
    db.ask("UPDATE @S.t SET b = 0")
    assert db.back("SELECT * FROM @S.t").num_rows == 2


@pytest.mark.parametrize("kind", ["numeric(38,20)", "numeric(38,38)", "numeric(20,20)"])
def test_zeros_with_many_digits_after_the_point(db, kind):
    db.ask(f"CREATE TABLE @S.t (n {kind}); INSERT INTO @S.t VALUES (0), (0.5), (NULL)")
    assert set(db.back("SELECT * FROM @S.t")["n"].to_pylist()) == {Decimal(0), Decimal("0.5"), None}


@pytest.mark.parametrize(
    "table",
    [
        """t (a bpchar, b int); INSERT INTO @S.t VALUES ('ab ', 1), ('', 2), (NULL, 3)""",
        """t ("A" int, a int); INSERT INTO @S.t VALUES (1, 2), (3, 4)""",
    ],
)
def test_a_whole_table_that_duckdb_would_read_otherwise(db, table):
    db.ask(f"CREATE TABLE @S.{table}")
    whole, queried = (db.back(f"SELECT * FROM @S.t {where}") for where in ("", "WHERE true"))
    assert whole.schema == queried.schema
    assert sorted(map(repr, whole.to_pylist())) == sorted(map(repr, queried.to_pylist()))


def test_a_word_that_asks_a_function_is_no_table(db, monkeypatch, postgres):
    db.ask("""CREATE TABLE @S."user" ("user" text); INSERT INTO @S."user" VALUES ('a row')""")
    monkeypatch.setenv(DSN, f"{postgres}?options=-csearch_path%3D{db.schema}")
    assert db.back("SELECT * FROM user")["user"].to_pylist() == ["postgres"]
    assert db.back('SELECT * FROM "user"')["user"].to_pylist() == ["a row"]


def test_nan_is_not_taken_for_zero_by_one_who_reads_a_part(db):
    db.ask("CREATE TABLE @S.t (n numeric(5,2)); INSERT INTO @S.t VALUES ('NaN'), (1)")
    done = db.read("SELECT * FROM @S.t", "FROM input LIMIT 1")
    assert "column 'n': The string 'NaN' is not a valid decimal128 number" in done.stderr


def test_what_duckdb_says_is_told_without_the_password():
    from batchctl_etl.postgres.table_scan import _explained

    dsn = "user=me password=s3cret host=127.0.0.1 port=1"
    for text in (
        f'IO Error: Unable to connect to Postgres at "{dsn}": connection refused\nIs it running?',
        "IO Error: Failed to fetch header for COPY: FATAL:  terminating connection of s3cret",
    ):
        what, remedy = _explained(text, dsn)
        assert "s3cret" not in what
        assert what.startswith("the connection is lost: ")
        assert remedy == "check the server, and run the task again"
    assert _explained("Binder Error: ERROR:  permission denied for table t\nLINE 1", dsn) == (
        "permission denied for table t",
        "check the table, and run the task again",
    )


def test_tables_that_are_more_than_their_own_rows_are_read_by_a_query(db):
    db.ask("CREATE TABLE @S.parent (i int); CREATE TABLE @S.child () INHERITS (@S.parent)")
    db.ask(
        "INSERT INTO @S.parent VALUES (1); INSERT INTO @S.child VALUES (2); CREATE VIEW @S.v AS SELECT 3 AS i"
    )
    db.ask(
        "CREATE TABLE @S.parts (i int) PARTITION BY LIST (i); CREATE TABLE @S.p1 PARTITION OF @S.parts FOR VALUES IN (4)"
    )
    db.ask("INSERT INTO @S.parts VALUES (4)")
    found = [
        db.back(f"SELECT * FROM @S.{name}")["i"].to_pylist()
        for name in ("parent", "child", "v", "parts", "p1")
    ]
    assert found == [[1, 2], [2], [3], [4], [4]]


def test_a_whole_table_whose_server_goes_away(db, postgres):
    db.ask(
        "CREATE TABLE @S.t AS SELECT i, repeat('x', 100) AS s FROM generate_series(1, 3000000) AS i; ANALYZE @S.t"
    )
    ended = threading.Event()

    def end_connections():
        while not ended.wait(0.01):
            db.ask(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'batchctl-etl' "
                "AND query LIKE 'COPY%binary%'"
            )

    thread = threading.Thread(target=end_connections)
    thread.start()
    try:
        done = db.read("SELECT * FROM @S.t")
    finally:
        ended.set()
        thread.join()
    assert done.exit_code == 1, done.stderr
    assert "query of WAREHOUSE_DSN: the connection is lost" in done.stderr
    assert "check the server, and run the task again" in done.stderr


def test_append_is_once_per_load(db):
    for run in ("r1", "r1", "r2"):
        done = db.load("a,b\n1,x\n2,y\n", run=run)
        assert done.exit_code == 0, done.stderr
    assert db.rows() == [(1, "x"), (1, "x"), (2, "y"), (2, "y")]
    again = db.load(run="r2")
    assert again.report["already_loaded"] is True
    assert again.report["sink"] == "database of WAREHOUSE_DSN"
    assert len(db.ask("SELECT * FROM @S._batchctl_loads")) == 2


def test_replace_keeps_the_table_and_its_views(db):
    db.load("a,b\n1,x\n")
    db.ask("CREATE VIEW @S.v AS SELECT a FROM @S.t; CREATE INDEX ON @S.t (a)")
    assert db.load("b,A\nz,9\n", mode="replace").exit_code == 0
    assert db.rows() == [(9, "z")]
    assert db.ask("SELECT * FROM @S.v") == [(9,)]


def test_a_replacement_of_the_same_types_goes_straight_in_or_not_at_all(db):
    def rows(last):
        return pa.table({"n": range(50_001), "s": ["x"] * 50_000 + [last]})

    assert db.load(rows=rows("first"), mode="replace").report["rows_written"] == 50_001
    db.ask("CREATE VIEW @S.v AS SELECT s FROM @S.t WHERE n = 50000")
    assert db.load(rows=rows("second"), mode="replace").exit_code == 0
    failed = db.load(rows=rows("a\0b"), mode="replace", run="r3")
    assert "invalid byte sequence" in failed.stderr
    assert db.ask("SELECT s, (SELECT count(*) FROM @S.t) FROM @S.v") == [("second", 50_001)]
    assert db.load(rows=rows("third"), mode="replace", run="r3").exit_code == 0
    assert db.ask("SELECT s FROM @S.v") == [("third",)]


def test_merge_on_a_key(db):
    db.load("a,k,b\n1,u,x\n2,u,y\n")
    assert db.load("A,K,B\n2,u,new\n3,u,z\n", mode="merge", key=["a", "K"]).exit_code == 0
    assert db.rows() == [(1, "u", "x"), (2, "u", "new"), (3, "u", "z")]
    done = db.load("a,k,b\n4,u,p\n4,u,q\n", mode="merge", key=["a", "k"])
    assert "2 rows of the source have the key a=4, k=u" in done.stderr
    assert db.load(mode="merge", key=["a", "k"], on_duplicate="last").exit_code == 0
    assert db.rows()[-1] == (4, "u", "q")
    assert "1 rows have no value in the key" in db.load("a,k,b\n,u,p\n", mode="merge", key=["a", "k"]).stderr


def test_text_is_parsed_where_the_table_wants_it(db):
    db.ask("CREATE TABLE @S.t (id uuid, j jsonb, n numeric(6,2), g int GENERATED ALWAYS AS (1) STORED)")
    done = db.load(
        rows=pa.table(
            {
                "id": ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"],
                "j": ['{"a": [1]}'],
                "n": pa.array([Decimal("1.5")], pa.decimal128(4, 1)),
            }
        )
    )
    assert done.exit_code == 0, done.stderr
    assert db.ask("SELECT j, n, g FROM @S.t") == [({"a": [1]}, Decimal("1.50"), 1)]


def test_a_key_is_compared_as_the_table_does_it(db):
    db.ask("CREATE TABLE @S.t (id uuid, c char(4), v bigint)")
    text = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
    for value, code in ((1, "b"), (2, "b  "), (3, "b   ")):
        rows = pa.table({"id": [text], "c": [code], "v": [value]})
        done = db.load(rows=rows, mode="merge", key=["id", "c"])
        assert done.exit_code == 0, done.stderr
        assert db.ask("SELECT v FROM @S.t") == [(value,)]
        text = text.upper()
    rows = pa.table({"id": [text.lower(), text.upper()], "c": ["b", "b"], "v": [4, 5]})
    done = db.load(rows=rows, mode="merge", key=["id", "c"])
    assert f"2 rows of the source have the key id={text.lower()}, c=b" in done.stderr
    assert db.ask("SELECT v FROM @S.t") == [(3,)]


@pytest.mark.parametrize("mode", ["append", "replace", "merge"])
def test_a_column_without_a_value_goes_into_any(db, mode):
    db.ask("CREATE TABLE @S.t (k int, n int, d date, b bytea, m numeric(5,2), j jsonb, s text)")
    done = db.load(
        "k,n,d,b,m,j,s\n1,,,,,,\n2,,,,,,\n", mode=mode, **({"key": ["k"]} if mode == "merge" else {})
    )
    assert done.exit_code == 0, done.stderr
    assert db.rows() == [(1, *[None] * 6), (2, *[None] * 6)]


BAD_LOADS = [
    ("a int UNIQUE", "1\n1", "duplicate key value violates unique constraint", 'or use mode "merge"'),
    ("a int NOT NULL", '1\n""', "'a' is text in the source and integer in the table", ""),
    ("a int CHECK (a > 0)", "1\n-1", "violates check constraint", "filter the rows in the transform"),
    ("a smallint", "1\n70000", "smallint out of range", "make the column of the table wider"),
    ("a varchar(3)", "abc\nabcd", "value too long for type character varying(3)", ""),
    ("a numeric(5,2)", "1\n1.005", "'a' is double precision in the source and numeric(5,2)", ""),
    ("a date", "x", "'a' is text in the source and date in the table", ""),
    ("b int", "1", "'b' is missing in the source, 'a' is not in the table", ""),
    ("a int REFERENCES @S.other", "7", "violates foreign key", "load the rows it refers to first"),
    ("a numeric(5,-2)", "123", "'a' is bigint in the source and numeric(5,-2)", ""),
    ("a real", "16777216\n16777217", "column 'a': 16777217 would be another number", "round it in the"),
    ("a float8", "9223372036854775807", "bigint out of range", "make the column of the table wider"),
    ("a json", "{", "invalid input syntax for type json", ""),
]


@pytest.mark.parametrize(
    ("column", "values", "message", "remedy"), BAD_LOADS, ids=[row[0] for row in BAD_LOADS]
)
@pytest.mark.parametrize("mode", ["append", "replace"])
def test_rows_that_do_not_fit_leave_the_table_as_it_was(db, column, values, message, remedy, mode):
    db.ask(f"CREATE TABLE @S.other (id int PRIMARY KEY); CREATE TABLE @S.t ({column})")
    db.ask("INSERT INTO @S.t DEFAULT VALUES" if "NOT NULL" not in column else "INSERT INTO @S.t VALUES (1)")
    before = db.rows()
    done = db.load(f"a\n{values}\n", mode=mode)
    assert (done.exit_code, len(done.stderr.splitlines())) == (1, 1)
    assert "etl: load: table 't' in the database of WAREHOUSE_DSN: " in done.stderr
    assert message in done.stderr
    assert remedy in done.stderr
    assert db.rows() == before
    assert db.ask("SELECT to_regclass('@S._batchctl_loads') IS NULL") == [(True,)]


def test_a_missing_value_names_the_column(db):
    db.ask("CREATE TABLE @S.t (a int, b int NOT NULL)")
    done = db.load("a,b\n1,2\n3,\n")
    assert "violates not-null constraint" in done.stderr
    assert 'null value in column "b"' in done.stderr
    assert "fill the column in the transform" in done.stderr
    assert db.rows() == []


def test_the_connection_string_is_never_shown(db, monkeypatch, postgres, etl):
    secret = "s3cret-pass"
    bad = [
        (f"postgresql://me:{secret}@127.0.0.1:1/x", 1, "cannot be reached"),
        (f"this is {secret} no dsn", 2, "sink.dsn_env: WAREHOUSE_DSN holds no connection string"),
        (postgres.replace("postgres@", f"nobody:{secret}@"), 1, 'role "nobody" does not exist'),
        ("", 2, "sink.dsn_env: WAREHOUSE_DSN is not set; list it in the task's secrets"),
    ]
    for value, exit_code, message in bad:
        monkeypatch.setenv(DSN, value)
        done = db.load("a\n1\n")
        assert (done.exit_code, len(done.stderr.splitlines())) == (exit_code, 1)
        assert message in done.stderr
        assert secret not in done.stderr
    monkeypatch.setenv(DSN, postgres)


def test_a_schema_that_does_not_exist_and_text_with_a_zero_byte(db):
    assert "create it, or name another in db_schema" in db.load("a\n1\n", db_schema="nowhere").stderr
    done = db.load(rows=pa.table({"s": ["ok", "a\0b"]}))
    assert "invalid byte sequence" in done.stderr
    assert "column s" in done.stderr
    done = db.load(rows=pa.table({"l": [[1]]}))
    assert "column 'l' is list<element: int64>, which has no place in a table here" in done.stderr


def test_another_process_has_the_table(db, postgres):
    db.load("a\n1\n")
    with psycopg.connect(postgres) as other:
        schema = db.schema
        other.execute(f"LOCK TABLE {schema}.t IN EXCLUSIVE MODE")
        done = db.load("a\n2\n", lock_timeout_seconds=0.2)
        assert "another process has the table; end it, or raise lock_timeout_seconds" in done.stderr
    assert db.rows() == [(1,)]


def test_loads_into_one_table_wait_for_each_other(db, postgres):
    """Both make the table, and both merge the same key: one row must remain."""
    (db.work / "in.csv").write_text("k,v\n1,x\n")
    schema = db.schema
    sink = {
        "type": "postgres",
        "dsn_env": DSN,
        "db_schema": schema,
        "table": "t",
        "mode": "merge",
        "key": ["k"],
    }
    config = json.dumps({"source": {"url": "in.csv"}, "sink": sink})
    command = [sys.executable, "-m", "batchctl_etl.main", "load", "--config-json", config]
    environ = os.environ | {DSN: postgres}
    loads = [subprocess.Popen(command, cwd=db.work, env=environ, stdout=subprocess.DEVNULL) for _ in range(3)]
    assert [process.wait(timeout=120) for process in loads] == [0, 0, 0]
    assert db.rows() == [(1, "x")]
    assert len(db.ask("SELECT * FROM @S._batchctl_loads")) == 3


def test_a_server_that_goes_away(db, postgres):
    """The connection is ended in the middle of a load, and of a query."""
    db.load("a\n1\n")
    ending = threading.Event()

    def end_connections():
        while not ending.wait(0.05):
            db.ask(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'batchctl-etl' "
                "AND query LIKE 'COPY%'"
            )

    thread = threading.Thread(target=end_connections)
    thread.start()
    try:
        done = db.read("SELECT i, pg_sleep(0.001) IS NULL AS p FROM generate_series(1, 100000) AS i")
        loaded = db.load("a\n" + "1\n" * 6_000_000)
    finally:
        ending.set()
        thread.join()
    assert done.exit_code == 1
    assert "check the server, and run the task again" in done.stderr
    assert loaded.exit_code == 1
    assert "check the server, and run the task again" in loaded.stderr
    assert db.rows() == [(1,)]
    assert db.load("a\n2\n").exit_code == 0
    assert db.rows() == [(1,), (2,)]

"""Whole tables of PostgreSQL, which are read the fast way: the same values as by a query, or an error."""

import threading
from decimal import Decimal

import pyarrow.parquet as pq
import pytest

from tests.services.etl.conftest import DSN

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

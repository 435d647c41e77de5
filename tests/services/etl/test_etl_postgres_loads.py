"""PostgreSQL as a target, against a real server: all rows of a load once, or none."""

import json
import os
import subprocess
import sys
import threading
from decimal import Decimal

import psycopg
import pyarrow as pa
import pytest

from tests.services.etl.conftest import DSN


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

"""`etl load` into a table, the same for DuckDB and SQLite: once, whole, and clear about what does not fit."""

import json
import sqlite3
import subprocess
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from batchctl_etl.errors import WorkFailed
from batchctl_etl.tables.duckdb_engine import DuckdbEngine
from batchctl_etl.tables.duckdb_stage import remedy

ENGINES = ["duckdb", "sqlite"]


@pytest.fixture(params=ENGINES)
def db(request, etl, tmp_path):
    """A database of each kind, and how to load into and to ask it."""

    class Database:
        type = request.param
        path = tmp_path / f"work/db/x.{request.param}"
        work = tmp_path / "work"

        def sink(self, mode="append", **more):
            return {"type": self.type, "url": str(self.path), "table": "t", "mode": mode, **more}

        def load(self, text=None, *, run=None, mode="append", source=None, **more):
            if text is not None:
                (self.work / "in.csv").write_text(text)
            return etl(
                "load", {"source": source or {"url": "in.csv"}, "sink": self.sink(mode, **more)}, run=run
            )

        def load_rows(self, rows, **more):
            pq.write_table(rows, self.work / "in.parquet")
            return self.load(source={"url": "in.parquet"}, **more)

        def ask(self, sql):
            connection = duckdb.connect(self.path) if self.type == "duckdb" else sqlite3.connect(self.path)
            try:
                rows = connection.execute(sql).fetchall()
                connection.commit()
            finally:
                connection.close()
            return rows

        def rows(self):
            return sorted(self.ask("SELECT * FROM t"))

    return Database()


def test_a_missing_table_is_made_and_filled(db):
    done = db.load("a,b\n1,x\n2,y\n")
    assert done.exit_code == 0, done.stderr
    assert db.rows() == [(1, "x"), (2, "y")]
    assert (done.report["rows_read"], done.report["rows_written"]) == (2, 2)
    assert done.report["bytes_read"] == 12


def test_append_adds_once_per_run(db):
    first = db.load("a,b\n1,x\n", run="r1")
    again = db.load("a,b\n1,x\n", run="r1")
    assert db.rows() == [(1, "x")]
    assert "already_loaded" not in first.report
    assert (again.report["already_loaded"], again.report["rows_written"]) == (True, 1)
    db.load("a,b\n1,x\n", run="r2")
    db.load("a,b\n1,x\n")
    assert db.rows() == [(1, "x")] * 3


def test_the_ledger_remembers_each_load(db):
    db.load("a,b\n1,x\n2,y\n", run="r1")
    (row,) = db.ask('SELECT load_id, "table", "rows", CAST("at" AS TEXT) FROM _batchctl_loads')
    assert row[:3] == ("r1/load", "t", 2)
    assert abs((datetime.fromisoformat(row[3]).replace(tzinfo=UTC) - datetime.now(UTC)).total_seconds()) < 60


def test_an_append_whose_table_was_dropped_is_done_again(db):
    db.load("a\n1\n", run="r1")
    db.ask("DROP TABLE t")
    db.load("a\n1\n", run="r1")
    assert db.rows() == [(1,)]


def test_replace_leaves_these_rows_only(db):
    db.load("a\n1\n2\n", run="r1", mode="replace")
    for _ in range(2):
        done = db.load("a\n3\n", run="r2", mode="replace")
    assert db.rows() == [(3,)]
    assert done.report["rows_written"] == 1


def test_merge_gives_way_to_the_new_rows(db):
    db.load("k,l,v\n1,a,old\n2,a,old\n2,b,old\n", mode="merge", key=["k", "l"])
    for _ in range(2):
        done = db.load("k,l,v\n2,b,new\n3,c,new\n", mode="merge", key=["k", "l"], run="r2")
    assert db.rows() == [(1, "a", "old"), (2, "a", "old"), (2, "b", "new"), (3, "c", "new")]
    assert done.report["rows_written"] == 2


def test_merge_works_on_a_table_with_a_primary_key(db):
    db.load("k,v\n1,old\n", run="r0")
    db.ask("DROP TABLE t")
    db.ask("CREATE TABLE t (v TEXT, k BIGINT PRIMARY KEY)")
    db.ask("INSERT INTO t VALUES ('old', 1), ('old', 2)")
    done = db.load("k,v\n2,new\n3,new\n", mode="merge", key=["K"])
    assert done.exit_code == 0, done.stderr
    assert db.rows() == [("new", 2), ("new", 3), ("old", 1)]


def test_a_key_that_comes_twice_is_an_error_that_names_it(db):
    db.load("k,l,v\n1,a,old\n", mode="merge", key=["k", "l"])
    done = db.load("k,l,v\n1,a,x\n7,b,x\n7,b,y\n", mode="merge", key=["k", "l"])
    assert done.exit_code == 1
    assert "2 rows of the source have the key k=7, l=b; remove them in the transform" in done.stderr
    assert db.rows() == [(1, "a", "old")]


def test_the_last_of_a_key_that_comes_twice(db):
    done = db.load("k,v\n7,x\n1,x\n7,y\n7,z\n", mode="merge", key=["k"], on_duplicate="last")
    assert db.rows() == [(1, "x"), (7, "z")]
    assert (done.report["rows_read"], done.report["rows_written"]) == (4, 2)


def test_the_last_is_the_last_over_many_batches(db):
    keys = [number % 1000 for number in range(200_000)]
    table = pa.table({"k": keys, "v": list(range(200_000))})
    db.load_rows(table, mode="merge", key=["k"], on_duplicate="last")
    assert db.rows() == [(number, 199_000 + number) for number in range(1000)]


def test_a_key_without_a_value_is_an_error(db):
    done = db.load("k,v\n1,x\n,y\n", mode="merge", key=["k"])
    assert done.exit_code == 1
    assert "1 rows have no value in the key (k)" in done.stderr
    assert not db.path.exists()


def test_a_key_that_is_no_column(db):
    done = db.load("k,v\n1,x\n", mode="merge", key=["id"])
    assert "the key names the column 'id', which the source has not; its columns are k, v" in done.stderr
    assert not db.path.exists()


def test_columns_that_do_not_match_are_all_named_and_nothing_changes(db):
    db.load("a,b,c\n1,x,1.5\n")
    done = db.load("a,c,d\n1,x,1\n")
    assert done.exit_code == 1
    for part in ("'b' is missing in the source", "'d' is not in the table", "'c' is "):
        assert part in done.stderr
    assert db.rows() == [(1, "x", 1.5)]
    assert len(done.stderr.splitlines()) == 1


def test_the_order_and_case_of_columns_do_not_matter(db):
    db.load("a,b\n1,x\n")
    assert db.load("B,A\ny,2\n").exit_code == 0
    assert db.rows() == [(1, "x"), (2, "y")]


def test_whole_numbers_go_into_a_column_of_fractions_and_not_the_reverse(db):
    db.load("a\n1.5\n")
    assert db.load("a\n2\n").exit_code == 0
    assert db.rows() == [(1.5,), (2.0,)]
    db.ask("DROP TABLE t")
    db.load("a\n1\n", mode="replace")
    done = db.load("a\n1.5\n")
    assert done.exit_code == 1
    assert "'a' is " in done.stderr


def test_a_whole_number_that_a_fraction_is_not_leaves_the_table_as_it_was(db):
    db.load("a,b\n1.5,x\n")
    assert db.load(f"a,b\n{2**53},y\n{-(2**60)},\n").exit_code == 0
    done = db.load(f"a,b\n1,z\n{2**53 + 1},z\n")
    assert (done.exit_code, len(done.stderr.splitlines())) == (1, 1)
    assert "column 'a': 9007199254740993 would be another number in a column of type " in done.stderr
    assert db.ask("SELECT a FROM t ORDER BY a") == [(float(-(2**60)),), (1.5,), (float(2**53),)]


def test_a_column_without_a_value_fits_any_column(db):
    db.load("a,d\n1,2026-01-31\n")
    assert db.load("a,d\n2,\n").exit_code == 0
    assert [row[1] is None for row in db.rows()] == [False, True]


def test_a_column_without_a_value_cannot_make_a_table(db):
    done = db.load("a,d\n1,\n")
    assert done.exit_code == 1
    assert "the type of 'd' is unknown: it has no value; cast it in the transform" in done.stderr
    assert not db.path.exists()


def test_names_of_any_kind(db):
    table = pa.table({'we"ird ; name': [1], "select": [2]})
    done = db.load_rows(table, table='ta"b; DROP')
    assert done.exit_code == 0, done.stderr
    assert db.ask('SELECT "we""ird ; name", "select" FROM "ta""b; DROP"') == [(1, 2)]


def test_names_that_differ_only_in_case_are_refused(db):
    done = db.load_rows(pa.table({"a": [1], "A": [2]}))
    assert "two columns are named 'a', for SQL knows no case" in done.stderr


TYPES = pa.table(
    {
        "flag": pa.array([True, None]),
        "small": pa.array([1, None], pa.int8()),
        "price": pa.array([Decimal("12345678901234567890.50"), None], pa.decimal128(22, 2)),
        "day": pa.array([date(2026, 1, 31), None]),
        "at": pa.array(["2026-01-31T06:00:00.000005", None]).cast(pa.timestamp("us")),
        "when": pa.array([datetime(2026, 1, 31, 6, tzinfo=UTC), None], pa.timestamp("us", "Europe/Paris")),
        "clock": pa.array([21_600_000_000, None], pa.time64("us")),
        "raw": pa.array([b"\x00\xff", None]),
        "word": pa.array(["é", None]).dictionary_encode(),
    }
)


def test_types_survive(db):
    for _ in range(2):
        done = db.load_rows(TYPES, run=None)
        assert done.exit_code == 0, done.stderr
    texts = db.ask('SELECT CAST(price AS TEXT), CAST(day AS TEXT), CAST("at" AS TEXT), raw, word FROM t')
    assert texts[0] == (
        "12345678901234567890.50",
        "2026-01-31",
        "2026-01-31 06:00:00.000005",
        b"\x00\xff",
        "é",
    )
    assert texts[1] == (None,) * 5


def test_a_time_that_would_lose_digits_is_refused(db):
    done = db.load_rows(pa.table({"at": pa.array([1], pa.timestamp("ns"))}))
    assert done.exit_code == 1
    assert "column 'at' does not fit timestamp[us]" in done.stderr
    assert not db.path.exists()


def test_bad_input_leaves_the_table_as_it_was(db):
    db.load("a\n1\n")
    done = db.load("a\n" + "1\n" * 3_000_000 + "x\n", mode="replace")
    assert done.exit_code == 1
    assert "set options.types for the column" in done.stderr
    assert db.rows() == [(1,)]


def test_a_constraint_that_fails_leaves_the_table_as_it_was(db):
    db.load("a\n1\n")
    db.ask("DROP TABLE t")
    db.ask("CREATE TABLE t (a BIGINT PRIMARY KEY)")
    db.ask("INSERT INTO t VALUES (5)")
    done = db.load("a\n1\n5\n", run="r9")
    assert done.exit_code == 1
    assert len(done.stderr.splitlines()) == 1
    assert db.rows() == [(5,)]
    assert db.ask("SELECT count(*) FROM _batchctl_loads WHERE load_id = 'r9/load'") == [(0,)]


def test_a_file_that_is_no_database(db):
    db.path.parent.mkdir()
    db.path.write_text("not a database, and long enough to be looked at " * 100)
    done = db.load("a\n1\n")
    assert done.exit_code == 1
    assert str(db.path) in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert db.path.read_text().startswith("not a database")


def test_a_folder_that_cannot_be_made(db):
    db.path.parent.write_text("a file")
    done = db.load("a\n1\n")
    assert done.exit_code == 1
    assert len(done.stderr.splitlines()) == 1


HOLDER = {
    "duckdb": "import duckdb, sys; c = duckdb.connect(sys.argv[1])",
    "sqlite": "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('BEGIN EXCLUSIVE')",
}


@pytest.fixture
def holder(db):
    """Another process that has the database, until its standard input is closed."""
    db.load("a\n1\n")
    program = HOLDER[db.type] + "; print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", program, str(db.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield process


def test_a_database_that_another_process_has_is_waited_for_up_to_a_limit(db, holder):
    done = db.load("a\n2\n", lock_timeout_seconds=0.3)
    assert done.exit_code == 1
    assert "another process has the database" in done.stderr.splitlines()[-1]
    assert "try later" in done.stderr
    holder.stdin.close()
    holder.wait()
    assert db.rows() == [(1,)]


def test_two_loads_at_once_both_arrive(db):
    db.load("a\n0\n")
    program = (
        "import json, os, sys; from batchctl_etl.main import main;"
        "os.environ['BATCHCTL_RUN'] = sys.argv[2]; sys.exit(main(['load', '--config-json', sys.argv[1]]))"
    )
    (db.work / "in.csv").write_text("a\n1\n2\n")
    config = json.dumps({"source": {"url": "in.csv"}, "sink": db.sink()})
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, config, f"r{number}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for number in range(3)
    ]
    for process in processes:
        _, stderr = process.communicate(timeout=120)
        assert process.returncode == 0, stderr
    assert db.rows() == [(0,), (1,), (1,), (1,), (2,), (2,), (2,)]


@pytest.mark.parametrize(("rows", "exit_code"), [("a\n1\n", 0), ("a\n5\n", 1)])
def test_no_room_to_take_over_the_log_of_duckdb_changes_nothing(etl, monkeypatch, rows, exit_code):
    """What was committed is loaded, and what was wrong before is what is told."""
    with duckdb.connect("x.duckdb") as database:
        database.execute("CREATE TABLE t (a BIGINT PRIMARY KEY)")
        database.execute("INSERT INTO t VALUES (5)")
    query = DuckdbEngine.query

    def without_room(engine, sql, *parameters):
        if sql == "DETACH target":
            raise WorkFailed("x.duckdb", "CHECKPOINT during DETACH failed")
        return query(engine, sql, *parameters)

    monkeypatch.setattr(DuckdbEngine, "query", without_room)
    Path("in.csv").write_text(rows)
    sink = {"type": "duckdb", "url": "x.duckdb", "table": "t", "mode": "append"}
    done = etl("load", {"source": {"url": "in.csv"}, "sink": sink})
    assert done.exit_code == exit_code
    assert "CHECKPOINT" not in done.stderr
    assert ('use mode "merge"' in done.stderr) == bool(exit_code)
    with duckdb.connect("x.duckdb") as database:
        assert database.execute("FROM t ORDER BY a").fetchall() == ([(5,)] if exit_code else [(1,), (5,)])


@pytest.mark.parametrize(("said", "remedy_"), [("No space left on device", "free some space"), ("?", "")])
def test_what_to_do_about_what_duckdb_says(said, remedy_):
    assert remedy(duckdb.IOException(said)) == remedy_

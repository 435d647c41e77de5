"""The types of each database, where the two differ; and the pure parts of identity and places."""

import sqlite3
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from batchctl_etl.identity import file_stem, load_id
from batchctl_etl.storage.locations import FileLocation, HttpLocation, base_name, location, shown
from batchctl_etl.tables.sqlite_types import declared_type, fits_declared, stored_values


@pytest.mark.parametrize(
    ("kind", "declared"),
    [
        (pa.bool_(), "BOOLEAN"),
        (pa.uint64(), "INTEGER"),
        (pa.float32(), "REAL"),
        (pa.decimal128(10, 2), "DECIMAL_TEXT"),
        (pa.string(), "TEXT"),
        (pa.binary(), "BLOB"),
        (pa.date32(), "DATE"),
        (pa.timestamp("us"), "TIMESTAMP"),
        (pa.timestamp("us", "UTC"), "TIMESTAMP_UTC"),
        (pa.time64("us"), "TIME"),
        (pa.list_(pa.int64()), None),
        (pa.struct([("a", pa.int64())]), None),
    ],
)
def test_sqlite_declares(kind, declared):
    assert declared_type(kind) == declared


@pytest.mark.parametrize("declared", ["DECIMAL_TEXT", "DATE", "TIMESTAMP", "TIMESTAMP_UTC", "TIME"])
def test_sqlite_keeps_the_text_of_what_it_has_no_type_for(declared):
    connection = sqlite3.connect(":memory:")
    connection.execute(f"CREATE TABLE t (x {declared})")
    for text in ("12.50", "2026-01-31", "2026-01-31 06:00:00.000000Z", "06:00:00.000000"):
        if declared == "DECIMAL_TEXT" or not text.startswith("12"):
            connection.execute("INSERT INTO t VALUES (?)", (text,))
            assert connection.execute("SELECT x, typeof(x) FROM t").fetchall() == [(text, "text")]
            connection.execute("DELETE FROM t")
    connection.close()


def test_sqlite_stores_times_so_that_they_sort_and_its_functions_read_them():
    (text,) = stored_values(pa.array([1_767_225_600_000_001], pa.timestamp("us", "UTC")))
    assert text == "2026-01-01 00:00:00.000001Z"
    connection = sqlite3.connect(":memory:")
    assert connection.execute("SELECT date(?)", (text,)).fetchone() == ("2026-01-01",)
    connection.close()


def test_sqlite_refuses_an_integer_it_cannot_hold(etl, tmp_path):
    pq.write_table(pa.table({"n": pa.array([2**63], pa.uint64())}), tmp_path / "work/in.parquet")
    sink = {"type": "sqlite", "url": "x.db", "table": "t", "mode": "append"}
    done = etl("load", {"source": {"url": "in.parquet"}, "sink": sink})
    assert done.exit_code == 1
    assert "column 'n': Integer value 9223372036854775808 not in range" in done.stderr
    assert not (tmp_path / "work/x.db").exists()


def test_sqlite_refuses_nested_columns(etl, tmp_path):
    pq.write_table(pa.table({"l": [[1]]}), tmp_path / "work/in.parquet")
    sink = {"type": "sqlite", "url": "x.db", "table": "t", "mode": "append"}
    done = etl("load", {"source": {"url": "in.parquet"}, "sink": sink})
    assert "column 'l' is list<element: int64>, which SQLite has no place for; take it apart" in done.stderr


@pytest.mark.parametrize(
    ("source", "table", "fits"),
    [
        ("INTEGER", "BIGINT", True),
        ("INTEGER", "DOUBLE", True),
        ("INTEGER", "DATE", False),
        ("REAL", "INTEGER", False),
        ("TEXT", "VARCHAR(20)", True),
        ("TEXT", "DATE", False),
        ("TEXT", "NUMERIC", False),
        ("DATE", "TEXT", True),
        ("DATE", "TIMESTAMP", False),
        ("TIMESTAMP", "DATETIME", True),
        ("TIMESTAMP_UTC", "TIMESTAMP", False),
        ("DECIMAL_TEXT", "DECIMAL(10,2)", False),
        ("BOOLEAN", "INTEGER", True),
        ("BLOB", "TEXT", False),
    ],
)
def test_sqlite_fits(source, table, fits):
    assert fits_declared(source, table) is fits


@pytest.mark.parametrize(
    ("source", "table", "fits"),
    [
        ("DECIMAL(10,2)", "DECIMAL(12,2)", True),
        ("DECIMAL(10,4)", "DECIMAL(12,2)", False),
        ("BIGINT", "INTEGER", True),
        ("DATE", "TIMESTAMP", True),
        ("VARCHAR", "DATE", False),
        ("DOUBLE", "BIGINT", False),
    ],
)
def test_duckdb_fits(etl, tmp_path, source, table, fits):
    value = "DATE '2026-01-31'" if source == "DATE" else "'2026-01-31'" if source == "VARCHAR" else "1.5"
    path = str(tmp_path / "work/in.parquet")
    connection = duckdb.connect(tmp_path / "x.duckdb")
    connection.execute(f"COPY (SELECT CAST({value} AS {source}) AS a) TO '{path}' (FORMAT parquet)")
    connection.execute(f"CREATE TABLE t (a {table})")
    connection.close()
    sink = {"type": "duckdb", "url": str(tmp_path / "x.duckdb"), "table": "t", "mode": "append"}
    done = etl("load", {"source": {"url": path}, "sink": sink})
    assert done.exit_code == (0 if fits else 1), done.stderr
    if not fits:
        assert f"'a' is {source} in the source and {table} in the table" in done.stderr


def test_duckdb_refuses_a_number_that_is_too_large(etl, tmp_path):
    (tmp_path / "work/in.csv").write_text("a\n3000000000\n")
    connection = duckdb.connect(tmp_path / "x.duckdb")
    connection.execute("CREATE TABLE t (a INTEGER)")
    connection.close()
    sink = {"type": "duckdb", "url": str(tmp_path / "x.duckdb"), "table": "t", "mode": "append"}
    done = etl("load", {"source": {"url": "in.csv"}, "sink": sink})
    assert done.exit_code == 1
    assert "3000000000" in done.stderr


def test_the_load_id_is_the_same_for_every_attempt():
    environ = {"BATCHCTL_RUN": "r1", "AZ_BATCH_TASK_ID": "load"}
    assert load_id(environ, configured=None, otherwise="x") == "r1/load"
    assert load_id(environ, configured="mine", otherwise="x") == "mine"
    assert load_id({}, configured=None, otherwise="x") == "x"


def test_names_of_files_are_readable_and_different():
    assert file_stem("r1/load").startswith("r1-load-")
    assert (
        len({file_stem(name) for name in ("r1/load", "r1-load", "r1 load", "é", "..", "a" * 500, "a" * 501)})
        == 7
    )
    assert all(len(file_stem(name)) < 200 for name in ("a" * 500, ".."))


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("a/b.csv", FileLocation(path=Path("a/b.csv"), is_folder=False)),
        ("a/b/", FileLocation(path=Path("a/b"), is_folder=True)),
        ("file:///a%20b/c%25", FileLocation(path=Path("/a b/c%"), is_folder=False)),
        ("file://localhost/a", FileLocation(path=Path("/a"), is_folder=False)),
        ("https://x.org/a?b", HttpLocation(url="https://x.org/a?b")),
    ],
)
def test_what_a_url_names(url, found):
    assert location(url) == found


def test_the_name_of_a_download_is_never_a_way_out():
    assert base_name("https://x.org/a/b%20c.csv?d=e/f") == "b c.csv"
    assert base_name("https://x.org/a/..%2F..%2Fetc") == ""
    assert base_name("https://x.org/a/%2E%2E") == ""


def test_passwords_and_tokens_are_not_shown():
    assert shown("https://me:pw@x.org:8080/a.csv?sig=secret") == "https://x.org:8080/a.csv?…"
    assert shown("a/b?c") == "a/b?c"

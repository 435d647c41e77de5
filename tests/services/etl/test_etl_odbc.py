"""Databases behind ODBC: PostgreSQL's driver and SQLite's, with real servers and files."""

import sqlite3
import uuid
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

A, B, C = ({"i": 1, "v": "a"}, {"i": 2, "v": "b"}, {"i": 3, "v": "c"})


class Postgres:
    def __init__(self, url):
        parts = urlsplit(url)
        self.dialect, self.url, self.schema = "postgresql", url, f"s{uuid.uuid4().hex[:8]}"
        self.dsn = f"Driver={{PostgreSQL Unicode}};Server={parts.hostname};Port={parts.port};UID={parts.username};Database=postgres"
        self.sink = {"db_schema": self.schema}
        self.query(f"CREATE SCHEMA {self.schema}")
        self.prefix = f"{self.schema}."

    def query(self, sql):
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(sql)
            return cursor.fetchall() if cursor.description else []


class Sqlite:
    dialect, sink, prefix = "sqlite", {}, ""

    def __init__(self, path):
        self.path = path
        self.dsn = f"Driver=SQLite3;Database={path}"

    def query(self, sql):
        connection = sqlite3.connect(self.path)
        try:
            found = connection.execute(sql).fetchall()
            connection.commit()
            return found
        finally:
            connection.close()


@pytest.fixture(params=["postgresql", "sqlite"])
def database(request, odbc_drivers, postgres, tmp_path, monkeypatch):
    made = Postgres(postgres) if request.param == "postgresql" else Sqlite(tmp_path / "x.db")
    monkeypatch.setenv("DB_DSN", made.dsn)
    return made


@pytest.fixture
def load(etl, database):
    def run(source, run="r1", load_id=None, **sink):
        table = source if isinstance(source, pa.Table) else pa.Table.from_pylist(source)
        pq.write_table(table, "in.parquet")
        config = {
            "type": "odbc",
            "dsn_env": "DB_DSN",
            "dialect": database.dialect,
            "table": "t",
            "mode": "append",
        }
        return etl("load", {"source": {"url": "in.parquet"}, "sink": config | database.sink | sink}, run=run)

    return run


def rows(database, columns="i, v"):
    return database.query(f"SELECT {columns} FROM {database.prefix}t ORDER BY 1")


def read(etl, query, **source):
    config = {"input": {"type": "odbc", "dsn_env": "DB_DSN", "query": query} | source, "sql": "FROM input"}
    done = etl("transform", config | {"sink": {"url": "out.parquet"}})
    return done, (pq.read_table("out.parquet") if done.exit_code == 0 else None)


def test_append_once_per_load(load, database):
    first = load([A, B])
    assert (first.exit_code, first.report["rows_written"]) == (0, 2)
    assert load([C], run="r2").exit_code == 0
    again = load([A, B])
    assert (again.report["already_loaded"], again.report["rows_written"]) == (True, 2)
    assert rows(database) == [(1, "a"), (2, "b"), (3, "c")]


def test_replace(load, database):
    load([A, B])
    for _ in range(2):
        assert load([C], run="r2", mode="replace").exit_code == 0
        assert rows(database) == [(3, "c")]


def test_merge(load, database):
    merge = {"mode": "merge", "key": ["i"]}
    load([A, B], **merge)
    for _ in range(2):
        assert load([{"V": "new", "I": 2}, {"V": "c", "I": 3}], mode="merge", key=["I"]).exit_code == 0
        assert rows(database) == [(1, "a"), (2, "new"), (3, "c")]
    twice = load([A, A | {"v": "last"}], **merge)
    assert "2 rows of the source have the key i=1" in twice.stderr
    assert load([A, A | {"v": "last"}], on_duplicate="last", **merge).exit_code == 0
    assert rows(database)[0] == (1, "last")
    assert "1 rows have no value in the key" in load([A | {"i": None}, B], **merge).stderr


def test_odd_names(load, database):
    assert load([{'a "b"': 1, "select": 2, "ü;": "x"}], table='o"dd t').exit_code == 0
    assert database.query(f'SELECT "a ""b""", "select", "ü;" FROM {database.prefix}"o""dd t"') == [
        (1, 2, "x")
    ]


def test_a_mismatch_names_every_column(load, database):
    load([A | {"w": 1}])
    bad = load([{"i": "x", "v": "a", "n": 1}], run="r2")
    for part in ("'w' is missing in the source", "'n' is not in the table", "'i' is"):
        assert part in bad.stderr
    assert rows(database) == [(1, "a")]


def test_values_of_every_type(load, etl, database):
    sqlite = database.dialect == "sqlite"
    moment = datetime(2026, 1, 31, 6, 0, 0, 123456, tzinfo=UTC)
    table = pa.table(
        {
            "n": [1, 2],
            "f": [0.1, float("inf")],
            "s": ["", 'ü\n"b";😀'],
            "d": [date(2026, 1, 31), date(9999, 12, 31)],
            "t": pa.array([moment.replace(tzinfo=None), None], pa.timestamp("us")),
            "z": pa.array([moment, None], pa.timestamp("us", "UTC")),
            "k": pa.array([time(1, 2, 3, 456789), None], pa.time64("us")),
            "c": pa.array([Decimal("1234567890123456789012345678.5000000001"), None], pa.decimal128(38, 10)),
            "g": [2**62, -(2**63)],
        }
    )
    if not sqlite:
        table = table.append_column("b", pa.array([b"\0\xff", None]))
    assert load(table).exit_code == 0
    if sqlite:
        # Its driver tells that moments have no fractions.
        short, _ = read(etl, "SELECT t FROM t ORDER BY n")
        assert "cast the column to text in the query" in short.stderr
    columns = "n, f, s, d, CAST(t AS TEXT) AS t, CAST(z AS TEXT) AS z, c, g" if sqlite else "*"
    done, found = read(etl, f"SELECT {columns} FROM {database.prefix}t ORDER BY n")
    assert done.exit_code == 0, done.stderr
    first, second = found.to_pylist()
    assert (first["s"], first["f"], first["g"], first["d"]) == ("", 0.1, 2**62, date(2026, 1, 31))
    assert (second["s"], second["f"]) == ('ü\n"b";😀', float("inf"))
    naive = moment.replace(tzinfo=None)
    assert first["t"] == (str(naive) if sqlite else naive)
    if sqlite:
        assert first["z"] == f"{naive}Z"
        assert Decimal(first["c"]) == table["c"][0].as_py()
    else:
        assert (first["b"], second["b"]) == (b"\0\xff", None)
        assert (first["z"], first["k"], first["c"]) == (naive, time(1, 2, 3, 456789), table["c"][0].as_py())


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()])
def test_bytes_of_different_lengths(load, database, kind):
    """SQLite's driver would take all for as long as the first, or the longest so far."""
    values = [b"abc", b"", None, b"0123456789", b"\0", bytes(range(256))]
    done = load(pa.table({"i": list(range(6)), "b": pa.array(values, kind)}))
    if database.dialect == "sqlite":
        assert done.exit_code == 1
        assert f"column 'b' is {kind}, which has no place in a table here" in done.stderr
    else:
        assert done.exit_code == 0, done.stderr
        assert [row[1] for row in rows(database, "i, b")] == values


def test_a_zero_byte_in_a_text_is_kept_or_an_error(load, database):
    done = load([{"i": 1, "v": "a\0b"}])
    if database.dialect == "sqlite":
        assert rows(database) == [(1, "a\0b")]
    else:
        assert (done.exit_code, len(done.stderr.splitlines())) == (1, 1)
        assert "a text holds a zero byte" in done.stderr


def test_moments_before_1970_with_a_fraction(load, database):
    moments = [datetime(*parts, tzinfo=UTC) for parts in [(1969, 12, 31, 23, 59, 59, 999999), (1, 1, 1)]]
    done = load(pa.table({"i": [1, 2], "z": pa.array(moments, pa.timestamp("us", "UTC"))}))
    assert done.exit_code == 0, done.stderr
    texts = [row[1][:26] for row in rows(database, "i, CAST(z AS TEXT)")]
    assert [text.removesuffix("+00")[:19] for text in texts] == ["1969-12-31 23:59:59", "0001-01-01 00:00:00"]
    assert texts[0] == "1969-12-31 23:59:59.999999"


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 'infinity'::date AS x",
        "SELECT '-infinity'::timestamp AS x",
        "SELECT 'NaN'::numeric(10,2) AS x",
    ],
)
def test_what_the_driver_makes_up_is_an_error(etl, odbc_drivers, postgres, monkeypatch, query):
    monkeypatch.setenv("DB_DSN", Postgres(postgres).dsn)
    done, found = read(etl, query)
    assert done.exit_code == 1, found
    assert "query of DB_DSN: column 'x' does not fit" in done.stderr


def test_many_rows_in_bounded_batches(load, etl, database):
    count = 20_000
    assert load(pa.table({"i": range(count), "v": [f"text {i}" for i in range(count)]})).exit_code == 0
    done, found = read(etl, f"SELECT i, v FROM {database.prefix}t", max_text_bytes=200)
    assert (done.report["rows_read"], found.num_rows) == (count, count)
    assert sorted(found["i"].to_pylist()) == list(range(count))


def test_a_query_that_is_wrong(etl, database):
    assert "DB_DSN" in read(etl, "SELECT * FROM nix")[0].stderr
    assert "two columns are named 'a'; name one with AS" in read(etl, "SELECT 1 AS a, 2 AS a")[0].stderr
    long = read(etl, "SELECT '" + "x" * 300 + "' AS a", max_text_bytes=100)[0]
    assert long.exit_code == 1
    assert "raise source.max_text_bytes" in long.stderr


def test_a_key_violation_leaves_the_table_as_it_was(load, database):
    load([A, B])
    database.query(f"CREATE UNIQUE INDEX u ON {database.prefix}t (i)")
    bad = load([C, A], run="r2")
    assert bad.exit_code == 1
    assert 'correct the rows, or use mode "merge"' in bad.stderr
    assert rows(database) == [(1, "a"), (2, "b")]
    assert load([C], run="r2").exit_code == 0


def test_the_connection_string_is_never_shown(etl, load, monkeypatch, odbc_drivers):
    for dsn in (
        "Driver={PostgreSQL Unicode};Server=127.0.0.1;Port=1;UID=u;PWD=s3cr3t;Database=x",
        "Driver={No Such Driver};PWD=s3cr3t",
        "nonsense s3cr3t",
    ):
        monkeypatch.setenv("DB_DSN", dsn)
        bad = load([A])
        assert bad.exit_code == 1
        assert "the database of DB_DSN: cannot be reached" in bad.stderr
        assert "s3cr3t" not in bad.stderr
    monkeypatch.delenv("DB_DSN")
    assert load([A]).exit_code == 2


def test_bad_rows_leave_no_trace(etl, load, database):
    load([A])
    Path("bad.csv").write_text("i,v\n" + "7,x\n" * 300_000 + "oops,x\n" * 300_000)
    source = {"url": "bad.csv", "options": {"types": {"i": "int64"}}}
    sink = {"type": "odbc", "dsn_env": "DB_DSN", "dialect": database.dialect, "table": "t", "mode": "append"}
    bad = etl("load", {"source": source, "sink": sink | database.sink})
    assert bad.exit_code == 1
    assert "bad.csv" in bad.stderr
    assert rows(database) == [(1, "a")]

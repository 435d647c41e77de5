"""A load that is killed, without a chance to clean up, at random moments: old rows or new ones, never between."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
import uuid

import duckdb
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

ROWS = 200_000
KILLS = 4


class Folder:
    """A folder of Parquet files, which is replaced."""

    def __init__(self, place):
        self.path = place / "lake"
        self.sink = {"type": "parquet", "url": f"{self.path}/", "mode": "replace"}

    def state(self):
        tables = [pq.read_table(path, columns=["g"]) for path in sorted(self.path.glob("*.parquet"))]
        return sorted(
            (row["values"], row["counts"])
            for row in pa.concat_tables(tables)["g"].combine_chunks().value_counts().to_pylist()
        )


class Table:
    """A table whose rows are replaced, or all merged by their key."""

    query = "SELECT g, count(*) FROM t GROUP BY g ORDER BY g"

    def __init__(self, place, kind, mode):
        self.path = place / f"x.{kind}"
        self.kind = kind
        self.sink = {"type": kind, "url": str(self.path), "table": "t", "mode": mode}
        self.sink |= {"key": ["i"]} if mode == "merge" else {}

    def state(self):
        connection = duckdb.connect(self.path) if self.kind == "duckdb" else sqlite3.connect(self.path)
        try:
            return connection.execute(self.query).fetchall()
        finally:
            connection.close()


class PostgresTable(Table):
    """The same in PostgreSQL."""

    def __init__(self, place, mode, dsn):
        super().__init__(place, "postgres", mode)
        self.table = f"t{uuid.uuid4().hex[:8]}"
        self.dsn = dsn
        del self.sink["url"]
        self.sink |= {"dsn_env": "WAREHOUSE_DSN", "table": self.table}

    def state(self):
        with psycopg.connect(self.dsn) as connection:
            return connection.execute(self.query.replace("FROM t", f"FROM {self.table}")).fetchall()


@pytest.fixture(
    params=["folder", "duckdb-replace", "duckdb-merge", "sqlite-replace", "sqlite-merge", "postgres-merge"]
)
def target(request, tmp_path):
    kind, _, mode = request.param.partition("-")
    if kind == "folder":
        return Folder(tmp_path)
    if kind == "postgres":
        return PostgresTable(tmp_path, mode, request.getfixturevalue("postgres"))
    return Table(tmp_path, kind, mode)


def test_killed_at_random_moments(target, tmp_path, request):
    chance = random.Random(request.node.name)
    environ = os.environ | {"TMPDIR": str(tmp_path), "WAREHOUSE_DSN": getattr(target, "dsn", "")}

    def start(generation):
        rows = pa.table({"i": pa.array(range(ROWS)), "g": pa.array([generation] * ROWS, pa.int64())})
        pq.write_table(rows, tmp_path / "in.parquet")
        config = {"source": {"url": "in.parquet"}, "sink": target.sink, "load_id": f"generation-{generation}"}
        command = [sys.executable, "-m", "batchctl_etl.main", "load", "--config-json", json.dumps(config)]
        return subprocess.Popen(
            command, cwd=tmp_path, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )

    began = time.monotonic()
    assert start(0).communicate(timeout=120)[1].startswith(b"etl: load: 200000 rows in")
    duration = time.monotonic() - began
    for generation in range(1, KILLS + 1):
        process = start(generation)
        try:
            process.wait(timeout=duration * chance.uniform(0.2, 1.0))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        process.communicate(timeout=120)
        assert target.state() in ([(generation - 1, ROWS)], [(generation, ROWS)])
        again = start(generation)
        _, story = again.communicate(timeout=120)
        assert again.returncode == 0, story
        assert target.state() == [(generation, ROWS)]

"""Loads of what is new, killed at random moments or between two steps: in the end every row is there exactly once."""

import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid

import psycopg
import pyarrow.parquet as pq
import pytest
from batchctl_etl.storage.documents import read_document
from deltalake import DeltaTable

DSN = "WAREHOUSE_DSN"
BATCH, KILLS = 20_000, 6
KILLING = """
import os, signal, sys
import batchctl_etl.stages.incremental as module
from batchctl_etl.main import main
module.Progress.advance = lambda self: os.kill(os.getpid(), signal.SIGKILL)
sys.exit(main())
"""


def start(config, run, folder, code="import sys; from batchctl_etl.main import main; sys.exit(main())"):
    (folder / "killed").mkdir(exist_ok=True)
    environ = os.environ | {"BATCHCTL_RUN": run, "AZ_BATCH_TASK_ID": "load", "TMPDIR": str(folder / "killed")}
    environ |= {"BATCHCTL_CONFIG": json.dumps(config)}
    return subprocess.Popen(
        [sys.executable, "-c", code, "load"],
        cwd=folder,
        env=environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def test_killed_at_random_moments(etl, postgres, monkeypatch, tmp_path):
    monkeypatch.setenv(DSN, postgres)
    chance, schema = random.Random(7), f"s{uuid.uuid4().hex[:8]}"
    sink = {"type": "postgres", "dsn_env": DSN, "db_schema": schema, "table": "t", "mode": "append"}
    source = {"type": "postgres", "dsn_env": DSN, "query": f"SELECT * FROM {schema}.orders"}
    watermark = {"type": "column", "column": "id", "state": "state/orders.json"}
    config = {"source": source, "sink": sink, "watermark": watermark}
    with psycopg.connect(postgres, autocommit=True) as db:
        db.execute(f"CREATE SCHEMA {schema}")
        db.execute(f"CREATE TABLE {schema}.orders (id int, text text)")

        def more():
            db.execute(
                f"INSERT INTO {schema}.orders SELECT n, repeat('x', 50) FROM generate_series("
                f"(SELECT coalesce(max(id), 0) + 1 FROM {schema}.orders), "
                f"(SELECT coalesce(max(id), 0) + {BATCH} FROM {schema}.orders)) n"
            )

        more()
        began = time.monotonic()
        assert (
            start(config, "first", tmp_path)
            .communicate(timeout=120)[1]
            .startswith(b"etl: load: 20000 rows in")
        )
        duration = time.monotonic() - began
        for number in range(KILLS):
            more()
            process = start(config, f"r{number}", tmp_path)
            try:
                process.wait(timeout=duration * chance.uniform(0.4, 1.0))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
            process.communicate(timeout=120)
            (there, different) = db.execute(f"SELECT count(*), count(DISTINCT id) FROM {schema}.t").fetchone()
            assert (there % BATCH, there) == (0, different)
        for run in ("healing", "last"):
            done = etl("load", config, run=run)
            assert done.exit_code == 0, done.stderr
        found = db.execute(f"SELECT count(*), count(DISTINCT id), max(id) FROM {schema}.t").fetchone()
        assert found == ((KILLS + 1) * BATCH,) * 3
        db.execute(f"DROP SCHEMA {schema} CASCADE")
    assert read_document("state/orders.json").content["value"] == str((KILLS + 1) * BATCH)


def parquet_rows(folder):
    return sorted(n for path in folder.glob("*.parquet") for n in pq.read_table(path)["n"].to_pylist())


def delta_rows(folder):
    return sorted(DeltaTable(str(folder)).to_pyarrow_table()["n"].to_pylist())


@pytest.mark.parametrize(("kind", "rows"), [("parquet", parquet_rows), ("delta", delta_rows)])
def test_killed_after_the_commit_of_a_sink_without_a_ledger(etl, tmp_path, kind, rows):
    sink = {"type": kind, "url": "lake/", "mode": "append"}
    watermark = {"type": "column", "column": "n", "state": "state/n.json"}
    config = {"source": {"url": "in.csv"}, "sink": sink, "watermark": watermark}
    (tmp_path / "in.csv").write_text("n\n1\n2\n")
    process = start(config, "r1", tmp_path, KILLING)
    assert (process.communicate(timeout=120)[1], process.returncode) == (b"", -9)
    assert rows(tmp_path / "lake") == [1, 2]
    (tmp_path / "in.csv").write_text("n\n1\n2\n3\n")
    for run, wanted in (("r2", [1, 2]), ("r3", [1, 2, 3])):
        assert etl("load", config, run=run).exit_code == 0
        assert rows(tmp_path / "lake") == wanted

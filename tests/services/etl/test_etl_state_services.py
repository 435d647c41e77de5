"""Watermarks with real services: kept in Azure, of a PostgreSQL query, loaded into PostgreSQL, killed in between."""

import json
import os
import subprocess
import sys
import time
import uuid

import psycopg
import pytest
from azure.storage.blob import BlobClient, BlobServiceClient
from batchctl_etl.errors import Changed, WorkFailed
from batchctl_etl.main import main
from batchctl_etl.storage.documents import read_document, replace_document

DSN = "WAREHOUSE_DSN"


@pytest.fixture
def lake(azurite, etl, monkeypatch):
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", azurite)
    with BlobServiceClient.from_connection_string(azurite) as service:
        container = service.create_container(f"lake-{uuid.uuid4().hex}")
        yield f"az://{container.account_name}/{container.container_name}"
        container.delete_container()


@pytest.fixture
def db(postgres, monkeypatch):
    """`db(sql)` in a schema of its own, named @S."""
    name = f"s{uuid.uuid4().hex[:8]}"
    monkeypatch.setenv(DSN, postgres)

    def ask(sql):
        with psycopg.connect(postgres, autocommit=True) as connection:
            cursor = connection.execute(sql.replace("@S", name))
            return cursor.fetchall() if cursor.description else []

    ask.schema = name
    ask("CREATE SCHEMA @S")
    yield ask
    # A test that failed may have left a program that holds the table.
    ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'batchctl-etl'")
    ask("DROP SCHEMA @S CASCADE")


def test_a_blob_that_another_has_changed_is_not_written(lake):
    url = f"{lake}/state/x.json"
    first = read_document(url)
    assert first.content is None
    replace_document(first, {"n": 1})
    with pytest.raises(Changed):
        replace_document(first, {"n": 2})
    with pytest.raises(Changed):
        replace_document(first, {"n": 1})  # The same bytes from another are not ours.
    second = read_document(url)
    replace_document(second, {"n": 3})
    with pytest.raises(Changed):
        replace_document(second, {"n": 4})
    assert read_document(url).content == {"n": 3}
    with pytest.raises(WorkFailed, match="there is no such container"):
        read_document(f"{lake}-gone/x.json")
    with pytest.raises(WorkFailed, match="there is no such container"):
        replace_document(read_document(url).__class__(url=f"{lake}-gone/x", content=None, version=None), {})


def test_an_answer_that_was_lost_is_no_conflict(lake, monkeypatch):
    upload, url = BlobClient.upload_blob, f"{lake}/state/x.json"

    def asked_again(self, *arguments, **more):
        upload(self, *arguments, **more)
        return upload(self, *arguments, **more)

    monkeypatch.setattr(BlobClient, "upload_blob", asked_again)
    for number in (1, 2):
        replace_document(read_document(url), {"n": number})
    assert read_document(url).content == {"n": 2}


COUNTING = """
import sys
from batchctl_etl.state.changing import change_document
for _ in range(5):
    change_document(sys.argv[1], lambda found: ({"n": (found.content or {"n": 0})["n"] + 1}, None))
"""


def test_three_programs_that_count_at_once_lose_nothing(lake):
    url = f"{lake}/n.json"
    programs = [subprocess.Popen([sys.executable, "-c", COUNTING, url]) for _ in range(3)]
    assert [program.wait(timeout=120) for program in programs] == [0] * 3
    assert read_document(url).content == {"n": 15}


def query(db, column="changed", **more):
    source = {"type": "postgres", "dsn_env": DSN, "query": f"SELECT * FROM {db.schema}.orders;"}
    sink = {"type": "postgres", "dsn_env": DSN, "db_schema": db.schema, "table": "t", "mode": "append"}
    watermark = {"type": "column", "column": column, "state": "state.json"}
    return {"source": source, "sink": sink, "watermark": watermark | more}


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("timestamptz", ["2026-01-01 00:00:00+00", "2026-01-01 00:00:00.000001+00"]),
        ("timestamp", ["0001-01-01 00:00:00", "2026-01-01 00:00:00"]),
        ("date", ["2026-01-01", "2026-01-02"]),
        ("bigint", ["-9223372036854775808", "9223372036854775807"]),
        ("numeric(38,2)", ["9", "123456789012345678901234567890123456.78"]),
        ("text", ["it's", "it's 2"]),
    ],
)
def test_a_column_of_a_query(etl, db, kind, values):
    db(f"CREATE TABLE @S.orders (id int, changed {kind})")
    for run, value in enumerate(values):
        db(f"INSERT INTO @S.orders VALUES ({run}, '{value.replace(chr(39), chr(39) * 2)}')")
        done = etl("load", query(db), run=f"r{run}")
        assert (done.exit_code, done.report.get("rows_read")) == (0, 1), done.stderr
    assert etl("load", query(db), run="last").report["nothing_new"]
    assert db("SELECT id FROM @S.t ORDER BY id") == [(0,), (1,)]
    assert read_document("state.json").content["value"] == values[1]


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("date", "NULL", "1 rows have no value in 'changed', and would never be read"),
        ("date", "'infinity'", "column 'changed' holds infinity: nothing comes after that"),
        ("float8", "'NaN'", "holds NaN"),
    ],
)
def test_a_column_with_what_nothing_comes_after(etl, db, kind, value, message):
    db(f"CREATE TABLE @S.orders (id int, changed {kind}); INSERT INTO @S.orders VALUES (1, {value})")
    done = etl("load", query(db), run="r")
    assert (done.exit_code, message in done.stderr) == (1, True), done.stderr
    assert db("SELECT count(*) FROM pg_tables WHERE schemaname = '@S'") == [(1,)]


KILLING = """
import os, signal, sys
import batchctl_etl.stages.incremental as module
from batchctl_etl.main import main
module.Progress.advance = lambda self: os.kill(os.getpid(), signal.SIGKILL)
sys.exit(main())
"""
WAITING = """
import sys, time
from pathlib import Path
import batchctl_etl.stages.incremental as module
from batchctl_etl.main import main
claim = module.Progress.claim
def claim_later(self):
    Path("waiting").touch()
    while not Path("go").exists():
        time.sleep(0.02)
    claim(self)
module.Progress.claim = claim_later
sys.exit(main())
"""


def start(code, config, run, folder):
    environ = os.environ | {"BATCHCTL_RUN": run, "AZ_BATCH_TASK_ID": "load", "TMPDIR": str(folder)}
    environ |= {"BATCHCTL_CONFIG": json.dumps(config)}
    return subprocess.Popen(
        [sys.executable, "-c", code, "load"], env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def test_killed_between_the_commit_and_the_record_in_azure(etl, db, lake, tmp_path):
    state = f"{lake}/state/orders.json"
    db("CREATE TABLE @S.orders (id int, changed timestamptz); INSERT INTO @S.orders VALUES (1, '2026-01-01')")
    assert etl("load", query(db, state=state), run="r1").exit_code == 0
    db("INSERT INTO @S.orders VALUES (2, '2026-01-02')")
    (tmp_path / "killed").mkdir()
    process = start(KILLING, query(db, state=state), "r2", tmp_path / "killed")
    assert (process.communicate(timeout=120)[1], process.returncode) == (b"", -9)
    assert db("SELECT id FROM @S.t ORDER BY id") == [(1,), (2,)]
    found = read_document(state).content
    assert (found["generation"], found["claim"]["run"]) == (1, "r2")
    db("INSERT INTO @S.orders VALUES (3, '2026-01-03')")
    done = etl("load", query(db, state=state), run="r3")
    assert (done.exit_code, done.report["already_loaded"]) == (0, True)
    assert read_document(state).content["generation"] == 2
    assert etl("load", query(db, state=state), run="r4").exit_code == 0
    assert db("SELECT id FROM @S.t ORDER BY id") == [(1,), (2,), (3,)]


def test_of_two_loads_at_once_one_loses(etl, db, lake, tmp_path):
    state = f"{lake}/state/orders.json"
    db("CREATE TABLE @S.orders (id int, changed date); INSERT INTO @S.orders VALUES (1, '2026-01-01')")
    slow = start(WAITING, query(db, state=state), "slow", tmp_path / "tmp")
    deadline = time.monotonic() + 120
    while not (tmp_path / "waiting").exists():
        assert time.monotonic() < deadline
        assert slow.poll() is None
        time.sleep(0.02)
    assert etl("load", query(db, state=state), run="fast").exit_code == 0
    (tmp_path / "go").touch()
    story = slow.communicate(timeout=120)[1].decode()
    assert slow.returncode == 1
    assert (
        "orders.json: run fast has advanced it since this run read its source; nothing was written" in story
    )
    assert (db("SELECT id FROM @S.t"), read_document(state).content["generation"]) == ([(1,)], 1)


def test_new_blobs_of_a_pipeline(etl, db, lake, azurite):
    def stage(name, run, config):
        done = etl(name, config, run=run)
        assert done.exit_code == 0, done.stderr
        return done

    state = {"state": f"{lake}/state/drop.json"}
    with BlobServiceClient.from_connection_string(azurite) as service:
        container = service.get_container_client(lake.rpartition("/")[2])
        for run, names in (("r1", ["1.csv", "2.csv"]), ("r2", ["3.csv"]), ("r3", [])):
            for name in names:
                container.upload_blob(f"drop/{name}", f"id\n{name[0]}\n")
            source = {"type": "file", "url": f"{lake}/drop/*.csv"}
            sink = {"url": f"{lake}/raw/{run}/"}
            stage("extract", run, {"source": source, "sink": sink, "watermark": state | {"type": "files"}})
            rows = {"url": f"{lake}/raw/{run}/*.csv"}
            load = query(db) | {"source": rows, "watermark": state | {"type": "run"}}
            done = stage("load", run, load)
            assert done.report["rows_read"] == len(names)
    assert db("SELECT id FROM @S.t ORDER BY id") == [(1,), (2,), (3,)]


def test_a_catalogue_in_azure(etl, lake, tmp_path, capsys):
    (tmp_path / "in.csv").write_text("n\n1\n")
    sink = {"type": "parquet", "url": f"{lake}/sales/{{version}}/", "mode": "replace"}
    dataset = {"catalogue": f"{lake}/catalogue/", "name": "sales", "contract": "freeze"}
    config = {"source": {"url": "in.csv"}, "sink": sink, "dataset": dataset}
    first = etl("load", config, run="r1").report["dataset"]["version"]
    (tmp_path / "in.csv").write_text("n\n1\n2\n")
    second = etl("load", config, run="r2").report["dataset"]["version"]
    assert etl("load", config, run="r2").report["dataset"]["version"] == second
    assert main(["datasets", "list", f"{lake}/catalogue", "-o", "json"]) == 0
    assert [item["version"] for item in json.loads(capsys.readouterr().out)] == [second]
    assert main(["datasets", "diff", f"{lake}/catalogue", "sales"]) == 0
    assert capsys.readouterr().out.splitlines()[:2] == [f"{first} -> {second}", "  rows: 1 -> 2 (+1)"]
    source = {"type": "dataset", "catalogue": f"{lake}/catalogue/", "name": "sales"}
    for more, rows in (({}, 2), ({"version": first}, 1)):
        done = etl("transform", {"input": source | more, "sql": "FROM input", "sink": {"url": "back.csv"}})
        assert (done.exit_code, done.report["rows_written"]) == (0, rows)
    (tmp_path / "in.csv").write_text("m\n1\n")
    done = etl("load", config, run="r3")
    assert (done.exit_code, "column 'n' is missing; column 'm' is new" in done.stderr) == (3, True)

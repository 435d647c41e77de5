"""Datasets: versions in a catalogue, and the contract between one version's columns and the next's."""

import json
import os
import subprocess
import sys
import uuid
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from batchctl_etl.config.dataset import Contract
from batchctl_etl.datasets.contract import Agreement, agreed, wider
from batchctl_etl.main import main

DATASET = {"catalogue": "catalogue/", "name": "sales"}


@pytest.fixture
def work(etl, tmp_path, monkeypatch):
    monkeypatch.setenv("BATCHCTL_PIPELINE", "shop")
    monkeypatch.setenv("BATCHCTL_SCHEDULED_AT", "2026-01-31T06:00:00Z")
    return tmp_path / "work"


@pytest.fixture
def load(etl, work):
    def load(run, table, sink=None, checks=(), **dataset):
        pq.write_table(table if isinstance(table, pa.Table) else pa.table(table), work / "in.parquet")
        sink = sink or {"type": "parquet", "url": "lake/sales/{version}/", "mode": "replace"}
        config = {
            "source": {"url": "in.parquet"},
            "sink": sink,
            "dataset": DATASET | dataset,
            "checks": checks,
        }
        return etl("load", config, run=run)

    return load


@pytest.fixture
def ask(capsys):
    def ask(*arguments, code=0):
        capsys.readouterr()
        assert main(["datasets", *arguments]) == code
        captured = capsys.readouterr()
        return captured.err if code else json.loads(captured.out) if arguments[-1] == "json" else captured.out

    return ask


def rows(work, version, name="sales"):
    return [
        row
        for path in (work / "lake" / name / version).glob("**/*.parquet")
        for row in pq.read_table(path).to_pylist()
    ]


def test_each_load_is_a_version_with_a_path_of_its_own(load, work, ask):
    more = {"description": "Sales by day.", "tags": ["gold", "pii:no"]}
    done = load("r1", {"n": [1, 2]}, **more)
    assert done.exit_code == 0, done.stderr
    first = done.report["dataset"]["version"]
    second = load("r2", {"n": [1, 2, 3]}, **more).report["dataset"]["version"]
    assert uuid.UUID(first) != uuid.UUID(second)
    assert (len(rows(work, first)), len(rows(work, second))) == (2, 3)
    found = ask("show", "catalogue", "sales", "-o", "json")
    size = next((work / "lake/sales" / second).iterdir()).stat().st_size
    assert found.pop("created_at") >= "2026"
    assert found == {
        "name": "sales",
        "version": second,
        "versions": [second, first],
        "location": {
            "type": "file",
            "url": f"{(work / 'lake/sales' / second).as_uri()}/**/*.parquet",
            "format": "parquet",
        },
        "columns": [{"name": "n", "type": "int64"}],
        "rows": 3,
        "bytes": size,
        "tags": ["gold", "pii:no"],
        "description": "Sales by day.",
        "contract": None,
        "producer": {
            "load_id": "r2/load",
            "pipeline": "shop",
            "run": "r2",
            "task": "load",
            "scheduled_at": "2026-01-31T06:00:00+00:00",
        },
    }
    assert ask("show", "catalogue", "sales", "--version", first[:8], "-o", "json")["rows"] == 2


def test_a_second_attempt_is_the_same_version(load, work, ask):
    first = load("r1", {"n": [1]}).report["dataset"]["version"]
    load("r2", {"n": [2]})
    before = sorted(str(path) for path in work.rglob("*"))
    assert load("r1", {"n": [1]}).report["dataset"]["version"] == first
    assert load("r2", {"n": [2]}).exit_code == 0
    assert sorted(str(path) for path in work.rglob("*")) == before
    assert len(ask("show", "catalogue", "sales", "-o", "json")["versions"]) == 2


def test_a_transform_registers_its_file_and_another_stage_reads_it(etl, work, ask):
    (work / "in.csv").write_text("n,s\n1,a\n2,b\n")
    config = {
        "input": {"url": "in.csv"},
        "sql": "FROM input",
        "sink": {"url": "out/{version}.csv"},
        "dataset": DATASET,
    }
    first = etl("transform", config, run="r1").report["dataset"]["version"]
    (work / "in.csv").write_text("n,s\n3,c\n")
    assert etl("transform", config, run="r2").exit_code == 0
    for version, expected in [(None, '"n"\n3\n'), (first[:6], '"n"\n1\n2\n')]:
        source = {"type": "dataset", "catalogue": "catalogue/", "name": "sales"} | (
            {"version": version} if version else {}
        )
        done = etl("transform", {"input": source, "sql": "SELECT n FROM input", "sink": {"url": "back.csv"}})
        assert (done.exit_code, (work / "back.csv").read_text()) == (0, expected), done.stderr
    check = {"type": "foreign_key", "columns": ["n"], "source": DATASET | {"type": "dataset"}}
    done = etl(
        "load",
        {
            "source": {"url": "in.csv"},
            "sink": {"type": "parquet", "url": "x/", "mode": "replace"},
            "checks": [check],
        },
    )
    assert done.report["checks"][0]["status"] == "passed"


def test_a_table_of_a_database_is_registered_where_it_is(load, etl, ask):
    sink = {"type": "duckdb", "url": "x.duckdb", "table": "t", "mode": "replace"}
    assert load("r1", {"n": [1]}, sink=sink).exit_code == 0
    found = ask("show", "catalogue", "sales", "-o", "json")
    assert (found["location"], found["bytes"]) == ({"type": "duckdb", "url": "x.duckdb", "table": "t"}, None)
    done = etl(
        "transform", {"input": DATASET | {"type": "dataset"}, "sql": "FROM input", "sink": {"url": "y.csv"}}
    )
    assert (done.exit_code, "is a table of duckdb" in done.stderr) == (1, True)


def test_the_catalogue_for_people(load, ask):
    first = load("r1", {"n": pa.array([1], pa.int32()), "gone": ["x"]}).report["dataset"]["version"]
    second = load("r2", {"n": [1.5], "new": [True], "other": [b""]}, tags=["gold"]).report["dataset"][
        "version"
    ]
    load("r1", {"n": [1]}, name="another")
    table = ask("list", "catalogue/").splitlines()
    assert [line.split()[0] for line in table] == ["dataset", "another", "sales"]
    assert table[2].split()[1] == second[:8]
    assert [item["name"] for item in ask("list", "catalogue", "-o", "json")] == ["another", "sales"]
    text = ask("show", "catalogue", "sales")
    assert (
        "producer   load_id r2/load, pipeline shop, run r2, task load, scheduled_at 2026-01-31T06:00:00+00:00"
        in text
    )
    assert f"versions, the newest first\n  {second}\n  {first}\n" in text
    difference = ask("diff", "catalogue", "sales").splitlines()
    assert difference[:5] == [
        f"{first} -> {second}",
        "+ new  bool",
        "+ other  binary",
        "- gone  string",
        "~ n  int32 -> double",
    ]
    assert "  tags:  -> gold" in difference
    found = ask("diff", "catalogue", "sales", first[:8], second[:8], "-o", "json")
    assert (found["changed"], found["tags"]) == ({"n": ["int32", "double"]}, [[], ["gold"]])
    assert "no difference" in ask("diff", "catalogue", "sales", second, second)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["show", "catalogue", "sale"], 1, "there is no dataset sale; there is sales"),
        (["show", "nowhere", "sales"], 1, "there is no dataset sales; check the URL"),
        (["show", "catalogue", "sales", "--version", "zz"], 1, "no versions of sales begin with 'zz'"),
        (["diff", "catalogue", "sales"], 1, "sales has no version before"),
        (["list", "http://h/"], 2, "is a folder on disk or in Azure"),
    ],
)
def test_what_is_not_in_the_catalogue(load, ask, arguments, code, message):
    load("r1", {"n": [1]})
    assert message in ask(*arguments, code=code)


def test_the_row_count_is_compared_with_the_versions(load):
    check = {"type": "row_count", "change": "10%"}
    assert load("r1", {"n": [1] * 10}, checks=[check]).exit_code == 0
    done = load("r2", {"n": [1] * 12}, checks=[check])
    assert (done.exit_code, done.report["checks"][0]["before"]) == (3, 10)
    assert load("r1", {"n": [1] * 12}, checks=[check]).exit_code == 0  # Not compared with itself.
    assert load("r3", {"n": [1] * 11}, checks=[check]).exit_code == 0


KNOWN = {"a": pa.array([1], pa.int32()), "b": ["x"], "c": pa.array([Decimal("1.50")])}


def test_freeze_fails_naming_every_column(load, work, ask):
    assert load("r1", KNOWN, contract="freeze").exit_code == 0
    assert load("r2", {"c": KNOWN["c"], "b": ["y"], "a": KNOWN["a"]}, contract="freeze").exit_code == 0
    found = ask("show", "catalogue", "sales", "-o", "json")
    assert [column["name"] for column in found["columns"]] == ["a", "b", "c"]
    done = load("r3", {"a": [1], "b": ["x"], "d": [1]}, contract="freeze")
    assert done.exit_code == 3
    problems = ["column 'a' is int64 and was int32", "column 'c' is missing", "column 'd' is new"]
    told = f"contract freeze of dataset sales in catalogue/: {'; '.join(problems)}"
    assert f"{told}; correct the source, or choose another contract" in done.stderr
    assert done.report["checks"] == [
        {"check": "contract(freeze)", "level": "error", "status": "failed", "problems": problems}
    ]
    assert (len(found["versions"]), len(list((work / "lake/sales").iterdir()))) == (2, 2)


def test_evolve_adds_and_widens(load, work, ask):
    assert load("r1", KNOWN, contract="evolve").exit_code == 0
    done = load("r2", {"new": [1], "a": [2**40], "c": pa.array([Decimal("123.4")])}, contract="evolve")
    differs = {
        "added": ["new"],
        "missing": ["b"],
        "widened": ["a: int32 -> int64", "c: decimal128(3, 2) -> decimal128(5, 2)"],
    }
    assert done.report["dataset"]["contract"] == differs
    assert rows(work, done.report["dataset"]["version"]) == [
        {"a": 2**40, "b": None, "c": Decimal("123.40"), "new": 1}
    ]
    done = load("r3", KNOWN | {"new": pa.array([1], pa.int8())}, contract="evolve")
    assert "contract" not in done.report["dataset"]
    types = [column["type"] for column in ask("show", "catalogue", "sales", "-o", "json")["columns"]]
    assert types == ["int64", "string", "decimal128(5, 2)", "int64"]
    done = load("r4", KNOWN | {"b": [1]}, contract="evolve")
    assert (done.exit_code, "column 'b' is int64 and was string" in done.stderr) == (3, True)
    done = load("r5", {"a": [0.5]} | {"b": ["x"]}, contract="evolve")
    assert done.report["dataset"]["contract"]["widened"] == ["a: int64 -> double"]
    done = load("r6", {"a": [2**53 + 1]}, contract="evolve")
    assert (done.exit_code, "column 'a' does not fit double" in done.stderr) == (1, True)


def test_discard_drops_new_columns_and_tells(load, work):
    assert load("r1", KNOWN, contract="discard").exit_code == 0
    done = load("r2", {"new": [1], "a": pa.array([7], pa.int8()), "b": ["y"]}, contract="discard")
    assert done.report["dataset"]["contract"] == {"missing": ["c"], "discarded": ["new"]}
    assert "column 'new' is new, and dropped" in done.stderr
    assert rows(work, done.report["dataset"]["version"]) == [{"a": 7, "b": "y", "c": None}]
    done = load("r3", {"a": [1], "b": ["y"]}, contract="discard")
    assert (done.exit_code, "column 'a' is int64 and was int32" in done.stderr) == (3, True)


def test_checks_see_the_rows_under_the_contract(load):
    load("r1", KNOWN, contract="evolve")
    check = {"type": "not_null", "columns": ["b"]}
    assert load("r2", {"a": KNOWN["a"]}, contract="evolve", checks=[check]).exit_code == 3


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        (pa.int8(), pa.int64(), pa.int64()),
        (pa.uint8(), pa.int8(), pa.int16()),
        (pa.uint64(), pa.int64(), None),
        (pa.float32(), pa.int16(), pa.float64()),
        (pa.decimal128(10, 2), pa.int64(), pa.decimal128(21, 2)),
        (pa.decimal128(38, 0), pa.decimal128(2, 1), None),
        (pa.decimal128(5, 2), pa.float64(), None),
        (pa.date32(), pa.timestamp("us"), pa.timestamp("us")),
        (pa.date32(), pa.timestamp("us", "UTC"), None),
        (pa.timestamp("ms", "UTC"), pa.timestamp("us", "Asia/Tokyo"), pa.timestamp("us", "UTC")),
        (pa.timestamp("us"), pa.timestamp("us", "UTC"), None),
        (pa.null(), pa.bool_(), pa.bool_()),
        (pa.string(), pa.dictionary(pa.int8(), pa.string()), pa.string()),
        (pa.bool_(), pa.int8(), None),
        (pa.string(), pa.int64(), None),
        (pa.list_(pa.int8()), pa.list_(pa.int16()), None),
    ],
    ids=str,
)
def test_the_wider_type(one, other, both):
    assert wider(one, other) == both
    back = wider(other, one)
    assert (back is None) == (both is None)


def test_ways_to_keep_text_are_no_difference():
    one = pa.schema([("t", pa.string())])
    for kind in (pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string()), pa.null()):
        for contract in Contract:
            assert agreed(contract, one, pa.schema([("t", kind)])) == Agreement(schema=one)


@pytest.mark.parametrize(
    ("sink", "dataset", "message"),
    [
        ({"type": "parquet", "url": "x/", "mode": "replace"}, DATASET, "write {version} into sink.url"),
        (
            {"type": "parquet", "url": "x/{version}/", "mode": "replace"},
            None,
            "means something with dataset only",
        ),
        (
            {"type": "parquet", "url": "x/{version}/", "mode": "replace"},
            DATASET | {"catalogue": "c"},
            "end it in /",
        ),
        (
            {"type": "parquet", "url": "x/{version}/", "mode": "replace"},
            DATASET | {"name": "a/b"},
            "dataset.name",
        ),
        (
            {"type": "parquet", "url": "x/{version}/", "mode": "replace"},
            DATASET | {"contract": "x"},
            "contract",
        ),
    ],
)
def test_a_registration_that_cannot_be(etl, work, sink, dataset, message):
    done = etl(
        "load", {"source": {"url": "in.parquet"}, "sink": sink} | ({"dataset": dataset} if dataset else {})
    )
    assert (done.exit_code, message in done.stderr) == (2, True), done.stderr


KILLING = """
import os, signal, sys
import batchctl_etl.datasets.catalogue as catalogue
from batchctl_etl.main import main
publishing = catalogue.change_document
catalogue.change_document = lambda url, change: publishing(url, change) if "versions" in url else os.kill(os.getpid(), signal.SIGKILL)
sys.exit(main())
"""


def test_killed_before_the_head_the_next_attempt_completes_it(load, etl, work, ask):
    load("r1", {"n": [1]})
    pq.write_table(pa.table({"n": [2]}), work / "in.parquet")
    sink = {"type": "parquet", "url": "lake/sales/{version}/", "mode": "replace"}
    config = {"source": {"url": "in.parquet"}, "sink": sink, "dataset": DATASET}
    environ = os.environ | {
        "BATCHCTL_RUN": "r2",
        "AZ_BATCH_TASK_ID": "load",
        "BATCHCTL_CONFIG": json.dumps(config),
    }
    process = subprocess.run(
        [sys.executable, "-c", KILLING, "load"], cwd=work, env=environ, capture_output=True
    )
    assert process.returncode == -9, process.stderr
    assert ask("show", "catalogue", "sales", "-o", "json")["rows"] == 1
    assert len(ask("show", "catalogue", "sales", "-o", "json")["versions"]) == 1
    assert etl("load", config, run="r2").exit_code == 0
    assert len(ask("show", "catalogue", "sales", "-o", "json")["versions"]) == 2
    assert len(list((work / "catalogue/sales/versions").iterdir())) == 2


def test_programs_that_register_at_once_are_all_there(work, ask):
    pq.write_table(pa.table({"n": [2]}), work / "in.parquet")
    sink = {"type": "parquet", "url": "lake/sales/{version}/", "mode": "replace"}
    config = {"source": {"url": "in.parquet"}, "sink": sink, "dataset": DATASET | {"contract": "freeze"}}
    programs = [
        subprocess.Popen(
            [str(Path(sys.executable).parent / "etl"), "load", "--config-json", json.dumps(config)],
            cwd=work, env=os.environ | {"BATCHCTL_RUN": f"r{number}"}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        for number in range(3)
    ]  # fmt: skip
    assert [program.wait(timeout=120) for program in programs] == [0] * 3
    assert len(set(ask("show", "catalogue", "sales", "-o", "json")["versions"])) == 3


def test_a_catalogue_without_datasets_is_told(capsys, work):
    assert main(["datasets", "list", "nosuch"]) == 0
    assert "no stage has registered a dataset in nosuch/" in capsys.readouterr().err

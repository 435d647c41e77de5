"""`etl load` into a file of CSV or JSON lines: complete or as it was, and a version of a dataset if asked."""

import json
from pathlib import Path

import pytest

WRITTEN = {"csv": '"a","b"\n1,"x"\n2,\n', "jsonl": '{"a":1,"b":"x"}\n{"a":2,"b":null}\n'}


@pytest.fixture(autouse=True)
def rows(etl):
    Path("in.csv").write_text("a,b\n1,x\n2,\n")


def _config(kind, **more):
    return {"source": {"url": "in.csv"}, "sink": {"type": kind, "url": f"out/rows.{kind}"}} | more


@pytest.mark.parametrize("kind", WRITTEN)
def test_it_holds_the_rows_of_the_last_load(etl, kind):
    for _ in range(2):
        done = etl("load", _config(kind), run="r1")
    text = Path(f"out/rows.{kind}").read_text()
    assert text == WRITTEN[kind]
    assert (done.report["rows_written"], done.report["bytes_written"]) == (2, len(text))
    Path("in.csv").write_text("a,b\n" + "1,x\n" * 2_000_000 + "x\n")
    assert etl("load", _config(kind)).exit_code == 1
    assert Path(f"out/rows.{kind}").read_text() == text


def test_a_closed_gate_leaves_it(etl):
    etl("load", _config("csv"))
    checks = [{"type": "not_null", "columns": ["b"]}]
    assert etl("load", _config("csv", checks=checks)).exit_code == 3
    assert Path("out/rows.csv").read_text() == WRITTEN["csv"]


def test_a_version_of_a_dataset(etl):
    dataset = {"catalogue": "catalogue/", "name": "d"}
    assert etl("load", _config("csv", dataset=dataset)).exit_code == 2
    config = _config("csv", dataset=dataset) | {"sink": {"type": "csv", "url": "out/{version}.csv"}}
    done = etl("load", config)
    assert Path(f"out/{done.report['dataset']['version']}.csv").read_text() == WRITTEN["csv"]
    source = {"type": "dataset", "catalogue": "catalogue/", "name": "d"}
    config = {"input": source, "sql": "SELECT sum(a) AS s FROM input", "sink": {"url": "sum.jsonl"}}
    assert etl("transform", config).exit_code == 0
    assert json.loads(Path("sum.jsonl").read_text()) == {"s": 3}


def test_only_what_is_new_would_delete_the_rest(etl):
    watermark = {"type": "column", "column": "a", "state": "state.json"}
    done = etl("load", _config("csv", watermark=watermark))
    assert done.exit_code == 2
    assert "mode replace would delete all the rest" in done.stderr

"""Parquet as a sink asks for it: compression, row groups, and a folder for each value of some columns."""

import json
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from batchctl_etl.writers import spool

ODD = [
    {"k": "a/b", "n": 1, "v": 1},
    {"k": "ü %", "n": 2, "v": 2},
    {"k": None, "n": 3, "v": 3},
    {"k": "..", "n": None, "v": 4},
    {"k": "a/b", "n": 1, "v": 5},
]


def _sink(mode="replace", **more):
    return {"type": "parquet", "url": "lake/", "mode": mode, "partition_by": ["k", "n"]} | more


def _load(etl, rows, sink, run=None):
    Path("in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    types = {"k": "string", "n": "int64", "v": "int64"}
    source = {"url": "in.jsonl", "options": {"types": {name: types[name] for name in rows[0]}}}
    return etl("load", {"source": source, "sink": sink}, run=run)


def _read(etl, partitions=None):
    source = {"url": "lake/**/*.parquet", "partitions": partitions or {"k": "string", "n": "int64"}}
    done = etl(
        "transform",
        {"input": source, "sql": "SELECT k, n, v FROM input ORDER BY v", "sink": {"url": "out.jsonl"}},
    )
    assert done.exit_code == 0, done.stderr
    return [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("mode", ["replace", "append"])
def test_each_value_has_its_folder_and_is_read_back(etl, mode):
    for _ in range(2):
        done = _load(etl, ODD, _sink(mode), run="r1")
    files = list(Path("lake").rglob("*.parquet"))
    assert len(files) == 4
    assert done.report["rows_written"] == 5
    assert done.report["bytes_written"] == sum(file.stat().st_size for file in files)
    assert {str(file.parent) for file in files} == {
        "lake/k=a%2Fb/n=1",
        "lake/k=%C3%BC %25/n=2",
        "lake/k=__HIVE_DEFAULT_PARTITION__/n=3",
        "lake/k=../n=__HIVE_DEFAULT_PARTITION__",
    }
    assert pq.ParquetFile(files[0]).schema_arrow.names == ["v"]
    assert _read(etl) == ODD


def test_texts_and_bytes_of_another_layout(etl):
    """As newer libraries write them into the file's own description of its types."""
    table = pa.table(
        {
            "k": pa.array(["a", "b"], pa.string_view()),
            "s": pa.array(["x", None], pa.string_view()),
            "b": pa.array([b"\xff", None], pa.binary_view()),
        }
    )
    pq.write_table(table, "in.parquet")
    done = etl("load", {"source": {"url": "in.parquet"}, "sink": _sink(partition_by=["k"])})
    assert done.exit_code == 0, done.stderr
    assert pq.read_table("lake/k=a")["s"].to_pylist() == ["x"]
    assert pq.read_schema(next(Path("lake/k=a").iterdir())).types == [pa.string(), pa.binary()]


def test_replace_leaves_these_rows_only(etl):
    _load(etl, ODD, _sink(), run="r1")
    _load(etl, ODD[1:2], _sink(), run="r2")
    assert _read(etl) == ODD[1:2]
    assert [path.name for path in Path("lake").iterdir()] == ["k=%C3%BC %25"]


def test_append_adds_and_a_second_attempt_takes_back_what_the_first_had_added(etl):
    _load(etl, ODD[:2], _sink("append"), run="r1")
    _load(etl, ODD[2:], _sink("append"), run="r2")
    assert _read(etl) == ODD
    _load(etl, ODD[4:], _sink("append"), run="r2")
    assert _read(etl) == [*ODD[:2], ODD[4]]


def test_below_a_partition_that_is_named(etl):
    _load(etl, ODD, _sink(partition="day=1"))
    _load(etl, ODD[:1], _sink(partition="day=2"))
    assert len(list(Path("lake/day=1").rglob("*.parquet"))) == 4
    assert len(list(Path("lake/day=2").rglob("*.parquet"))) == 1


def test_nothing_but_partitions_is_replaced(etl):
    for name in ("k=a/notes.txt", "k=a/other=1/x.parquet"):
        path = Path("lake") / name
        path.parent.mkdir(parents=True)
        path.write_text("mine")
        done = _load(etl, ODD, _sink())
        assert done.exit_code == 1
        assert "replacing it would delete" in done.stderr
        path.unlink()
        path.parent.rmdir()


@pytest.mark.parametrize(
    ("rows", "by", "message"),
    [
        ([{"k": "", "n": 1, "v": 1}], ["k", "n"], "a row has '' in the column 'k'"),
        ([{"k": "x", "v": 1}], ["z"], "partition_by names the column 'z', which is not there"),
        ([{"k": "x", "v": 1}], ["k", "v"], "partition_by leaves no column for the files"),
    ],
)
def test_what_cannot_be_a_folder_changes_nothing(etl, rows, by, message):
    _load(etl, ODD, _sink())
    done = _load(etl, rows, _sink(partition_by=by))
    assert done.exit_code == 1
    assert message in done.stderr
    assert _read(etl) == ODD


def test_fractions_and_moments_are_no_folders(etl):
    pq.write_table(pa.table({"x": [1.5], "v": [1]}), "in.parquet")
    sink = {"type": "parquet", "url": "lake/", "mode": "append", "partition_by": ["x"]}
    done = etl("load", {"source": {"url": "in.parquet"}, "sink": sink})
    assert done.exit_code == 1
    assert "column 'x' is of type double" in done.stderr
    assert "derive such a column in the transform" in done.stderr
    assert not Path("lake").exists()


def test_more_rows_than_memory_is_given_keep_their_order(etl, monkeypatch):
    monkeypatch.setattr(spool, "HELD_BYTES", 1000)
    rows = [{"k": "ab"[i % 7 == 0], "n": i % 3, "v": i} for i in range(5000)]
    _load(etl, rows, _sink())
    assert _read(etl) == rows
    (file,) = Path("lake/k=b/n=0").iterdir()
    assert pq.ParquetFile(file).read()["v"].to_pylist() == [i for i in range(5000) if i % 21 == 0]


def test_a_dataset_knows_its_partitions(etl):
    days = [date(2026, 1, 1), date(2026, 1, 2), date(2026, 1, 2)]
    pq.write_table(pa.table({"day": days, "ok": [True, False, True], "v": [1, 2, 3]}), "in.parquet")
    sink = {"type": "parquet", "url": "lake/{version}/", "mode": "replace", "partition_by": ["day", "ok"]}
    dataset = {"catalogue": "catalogue/", "name": "d"}
    assert etl("load", {"source": {"url": "in.parquet"}, "sink": sink, "dataset": dataset}).exit_code == 0
    source = {"type": "dataset", "catalogue": "catalogue/", "name": "d"}
    columns = {"type": "select", "columns": ["ok", "day"]}
    config = {"input": source, "steps": [columns], "sink": {"url": "out.parquet"}}
    assert etl("transform", config).exit_code == 0
    found = pq.read_table("out.parquet")
    assert found.schema.names == ["ok", "day"]
    assert sorted(zip(*found.to_pydict().values(), strict=True)) == sorted(
        zip([True, False, True], days, strict=True)
    )


@pytest.mark.parametrize(
    ("url", "partitions", "message"),
    [
        ("in.jsonl", {"day": "date"}, "no folder of its path is called day=…"),
        ("lake/**/*.parquet", {"k": "int64"}, "in its path is not of type int64, which partitions gives 'k'"),
        ("lake/**/*.parquet", {"k": "string", "n": "int64", "v": "int64"}, "called v=…"),
    ],
)
def test_a_path_that_does_not_tell(etl, url, partitions, message):
    _load(etl, ODD, _sink())
    done = etl(
        "transform",
        {"input": {"url": url, "partitions": partitions}, "sql": "FROM input", "sink": {"url": "out.csv"}},
    )
    assert done.exit_code == 1
    assert message in done.stderr


@pytest.mark.parametrize("stage", ["load", "transform"])
def test_compression_and_row_groups(etl, stage):
    pq.write_table(pa.table({"v": range(250)}), "in.parquet", row_group_size=33)
    form = {"compression": "snappy", "row_group_size": 100}
    if stage == "load":
        sink = {"type": "parquet", "url": "lake/", "mode": "replace"}
        config = {"source": {"url": "in.parquet"}, "sink": sink | form}
    else:
        config = {
            "input": {"url": "in.parquet"},
            "sql": "FROM input",
            "sink": {"url": "lake/x.parquet"} | form,
        }
    assert etl(stage, config).exit_code == 0
    (file,) = Path("lake").iterdir()
    metadata = pq.ParquetFile(file).metadata
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == [100, 100, 50]
    assert metadata.row_group(0).column(0).compression == "SNAPPY"
    assert pq.read_table(file)["v"].to_pylist() == list(range(250))


def test_the_form_is_of_parquet_only(etl):
    config = {
        "input": {"url": "in.csv"},
        "sql": "FROM input",
        "sink": {"url": "x.csv", "compression": "snappy"},
    }
    done = etl("transform", config)
    assert done.exit_code == 2
    assert "compression and row_group_size mean nothing for csv" in done.stderr

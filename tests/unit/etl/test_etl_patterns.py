"""Many files as one source: those that match a pattern, in the order of their names, with the same columns."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from batchctl_etl.storage.locations import pattern_regex


@pytest.fixture
def work(etl, tmp_path):
    return tmp_path / "work"


def transform(etl, url, sql="SELECT * FROM input", **source):
    return etl("transform", {"input": {"url": url, **source}, "sql": sql, "sink": {"url": "out.jsonl"}})


def rows(work):
    return [json.loads(line) for line in (work / "out.jsonl").read_text().splitlines()]


def test_files_that_match_are_read_in_order(etl, work):
    for name, text in {"b": "n,s\n2,y\n", "a": "n,s\n1,x\n", "c": "s,n\nz,3\n"}.items():
        (work / f"{name}.csv").write_text(text)
    (work / ".hidden.csv").write_text("n,s\n9,q\n")
    done = transform(etl, "*.csv")
    assert rows(work) == [{"n": 1, "s": "x"}, {"n": 2, "s": "y"}, {"n": 3, "s": "z"}]
    assert (done.report["rows_read"], done.report["bytes_read"]) == (3, 24)
    (work / ".hidden.csv").unlink()


def test_folders_and_uris(etl, work):
    for day in ("day=1", "day=2/more"):
        (work / "lake" / day).mkdir(parents=True)
        pq.write_table(pa.table({"n": [int(day[4])]}), work / "lake" / day / "part.parquet")
    assert transform(etl, f"file://{work}/lake/**/*.parquet").exit_code == 0
    assert rows(work) == [{"n": 1}, {"n": 2}]
    assert transform(etl, "lake/*/part.parquet").exit_code == 0
    assert rows(work) == [{"n": 1}]


def test_a_file_whose_name_looks_like_a_pattern_is_itself(etl, work):
    (work / "a*.csv").write_text("n\n1\n")
    (work / "ab.csv").write_text("n\n2\n")
    transform(etl, "a*.csv")
    assert rows(work) == [{"n": 1}]


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ("n,q\n2,y\n", "b.csv: its columns are not those of the files before it: 's' is missing, 'q' is new"),
        ("n,s\n2.5,y\n", "b.csv, row 1: column 'n': CSV conversion error to int64: invalid value '2.5'"),
        ("", "b.csv: the file is empty"),
    ],
)
def test_files_that_do_not_agree(etl, work, second, message):
    (work / "a.csv").write_text("n,s\n1,x\n")
    (work / "b.csv").write_text(second)
    done = transform(etl, "?.csv")
    assert done.exit_code == 1
    assert message in done.stderr
    assert not (work / "out.jsonl").exists()


def test_a_wider_parquet_file_does_not_fit_in_silence(etl, work):
    pq.write_table(pa.table({"n": pa.array([1], pa.int32())}), work / "a.parquet")
    pq.write_table(pa.table({"n": pa.array([2**40], pa.int64())}), work / "b.parquet")
    assert (
        "b.parquet: cannot be read as parquet: Integer value 1099511627776 not in range"
        in transform(etl, "*.parquet").stderr
    )


def test_nothing_matches(etl, work):
    done = transform(etl, "nowhere/*.csv")
    assert "nowhere/*.csv: no file matches; check the pattern" in done.stderr


def test_extract_copies_all_that_match(etl, work):
    for name in ("a.csv", "b.csv", "c.txt"):
        (work / name).write_text(name)
    config = {"source": {"type": "file", "url": "*.csv"}, "sink": {"url": "raw/"}}
    done = etl("extract", config)
    assert sorted(path.name for path in (work / "raw").iterdir()) == ["a.csv", "b.csv"]
    assert done.report == {
        "bytes_read": 10,
        "bytes_written": 10,
        "files": 2,
        "source": "*.csv",
        "sink": "raw/",
    }


def test_load_reads_all_that_match(etl, work):
    (work / "a.csv").write_text("n\n1\n")
    (work / "b.csv").write_text("n\n2\n")
    sink = {"type": "sqlite", "url": "x.db", "table": "t", "mode": "replace"}
    assert etl("load", {"source": {"url": "?.csv"}, "sink": sink}).report["rows_written"] == 2


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("a/*.csv", ["a/b.csv"], ["a/b/c.csv", "a/.b.csv", "xa/b.csv", "a/b.csvx"]),
        ("**/*.csv", ["b.csv", "a/b/c.csv"], [".a/b.csv", "a/.b.csv"]),
        ("a/**/b?.csv", ["a/b1.csv", "a/x/y/b2.csv"], ["a/b.csv", "a/x/b12.csv"]),
    ],
)
def test_what_a_pattern_stands_for(pattern, yes, no):
    regex = pattern_regex(pattern)
    assert [name for name in yes + no if regex.fullmatch(name)] == yes


def test_headers_for_an_input_on_the_web(etl, work, server, monkeypatch):
    monkeypatch.setenv("TOKEN", "sesame")
    server.replies = [lambda h: h.reply(200, b"n\n1\n")]
    done = transform(etl, f"{server.url}/a.csv", headers={"Authorization": "Bearer ${TOKEN}"})
    assert server.requests[0]["authorization"] == "Bearer sesame"
    assert rows(work) == [{"n": 1}]
    assert "sesame" not in json.dumps(done.report) + done.stderr
    monkeypatch.delenv("TOKEN")
    done = transform(etl, f"{server.url}/a.csv", headers={"Authorization": "Bearer ${TOKEN}"})
    assert (done.exit_code, done.stderr) == (
        2,
        "etl: transform: source.headers: ${TOKEN} is not set; list it in the task's secrets\n",
    )

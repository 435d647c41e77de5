"""`etl transform`: what goes in, what comes out, and what goes wrong."""

import csv
import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from batchctl_etl.errors import WorkFailed
from batchctl_etl.transforms import sql as sql_transform

WEATHER = Path(__file__).parents[3] / "jobspecs/samples/seattle-weather.csv"


def _config(sql, url, sink="out/x.jsonl", **source):
    return {"input": {"url": str(url), **source}, "sql": sql, "sink": {"url": sink}}


def _rows(tmp_path, name="x.jsonl"):
    return [json.loads(line) for line in (tmp_path / "work/out" / name).read_text().splitlines()]


def test_the_sample_in_numbers(etl, tmp_path):
    sql = """SELECT year(date) AS y, count(*) AS days, sum(precipitation)::decimal(10,1) AS rain
             FROM input GROUP BY y ORDER BY y"""
    done = etl("transform", _config(sql, WEATHER, "out/x.parquet"))
    with WEATHER.open() as file:
        days = [row["date"][:4] for row in csv.DictReader(file)]
    table = pq.read_table(tmp_path / "work/out/x.parquet")
    assert table.column("days").to_pylist() == [days.count(str(year)) for year in (2012, 2013, 2014, 2015)]
    assert table.schema.field("rain").type == pa.decimal128(10, 1)
    assert done.report == {
        "rows_read": len(days),
        "rows_written": 4,
        "bytes_read": WEATHER.stat().st_size,
        "bytes_written": (tmp_path / "work/out/x.parquet").stat().st_size,
        "inputs": {"input": str(WEATHER)},
        "sink": "out/x.parquet",
    }


def test_inputs_of_every_format_are_views_by_name(etl, tmp_path):
    work = tmp_path / "work"
    (work / "a.csv").write_text("id,x\n1,a\n2,b\n")
    (work / "b.csv.gz").write_bytes(gzip.compress(b"id,y\n1,c\n2,d\n"))
    (work / "c.json").write_text('[\n {"id": 1,\n "z": 1.5},\n {"id": 2, "z": null}]\n')
    (work / "d.jsonl").write_text('{"id": 1, "l": [1]}\n{"id": 2, "l": []}\n')
    pq.write_table(pa.table({"id": [1, 2], "w": [True, False]}), work / "e.parquet")
    inputs = {path.name[0]: {"url": path.name} for path in work.iterdir()}
    sql = (
        "SELECT * FROM a JOIN b USING (id) JOIN c USING (id) JOIN d USING (id) JOIN e USING (id) ORDER BY id"
    )
    done = etl("transform", {"inputs": inputs, "sql": sql, "sink": {"url": "out/x.jsonl"}})
    assert done.exit_code == 0, done.stderr
    assert _rows(tmp_path) == [
        {"id": 1, "x": "a", "y": "c", "z": 1.5, "l": [1], "w": True},
        {"id": 2, "x": "b", "y": "d", "z": None, "l": [], "w": False},
    ]
    assert done.report["rows_read"] == 10


def test_an_input_read_twice_is_whole_both_times_and_counted_once(etl, tmp_path):
    (tmp_path / "work/a.csv").write_text("id\n" + "\n".join(map(str, range(1000))))
    done = etl("transform", _config("SELECT count(*) AS n FROM input a, input b WHERE a.id = b.id", "a.csv"))
    assert _rows(tmp_path) == [{"n": 1000}]
    assert done.report["rows_read"] == 1000


def test_the_options_of_csv(etl, tmp_path):
    (tmp_path / "work/a.csv").write_bytes("01;caf\xe9;NA\n02;'a;b';7\n".encode("latin-1"))
    options = {
        "delimiter": ";",
        "quote": "'",
        "header": False,
        "columns": ["id", "name", "n"],
        "encoding": "latin-1",
        "null_values": ["NA"],
        "types": {"id": "string", "n": "decimal(5,2)"},
    }
    done = etl("transform", _config("SELECT * FROM input", "a.csv", options=options))
    assert done.exit_code == 0, done.stderr
    assert _rows(tmp_path) == [
        {"id": "01", "name": "café", "n": None},
        {"id": "02", "name": "a;b", "n": 7.00},
    ]


def test_an_empty_field_is_no_value_and_an_empty_text_is_text(etl, tmp_path):
    (tmp_path / "work/a.csv").write_text('a,b\nx,1\n,\n"",2\nNA,3\n')
    etl("transform", _config("SELECT * FROM input", "a.csv"))
    assert [row["a"] for row in _rows(tmp_path)] == ["x", None, "", "NA"]
    assert [row["b"] for row in _rows(tmp_path)] == [1, None, 2, 3]
    etl("transform", _config("SELECT * FROM input", "a.csv", "out/b.csv"))
    assert (tmp_path / "work/out/b.csv").read_text() == '"a","b"\n"x",1\n,\n"",2\n"NA",3\n'


def test_a_moment_that_json_has_no_text_for_names_the_column(etl, tmp_path):
    work = tmp_path / "work"
    (work / "a.csv").write_text("n\n1\n")
    done = etl("transform", _config("SELECT n, DATE '0044-03-15 (BC)' AS ides FROM input", "a.csv"))
    assert (done.exit_code, len(done.stderr.splitlines())) == (1, 1)
    assert "x.jsonl: cannot be written as jsonl: column 'ides': " in done.stderr


def test_values_keep_their_meaning_in_jsonl(etl, tmp_path):
    (tmp_path / "work/a.csv").write_text("a\n1\n")
    sql = """SELECT DATE '2026-01-31' AS d, TIMESTAMP '2026-01-31 06:00:00.5' AS t, 12.50::decimal(9,2) AS p,
             TIMESTAMPTZ '2026-01-31 06:00:00+01' AS z, 'nan'::double AS n, 'ab'::blob AS b, 9007199254740993 AS i,
             {'x': [1]} AS s, sum(a) AS h FROM input"""
    etl("transform", _config(sql, "a.csv"))
    line = (tmp_path / "work/out/x.jsonl").read_text()
    assert '"p":12.50' in line
    assert json.loads(line) == {
        "d": "2026-01-31",
        "t": "2026-01-31T06:00:00.500000",
        "p": 12.5,
        "z": "2026-01-31T05:00:00+00:00",
        "n": None,
        "b": "YWI=",
        "i": 9007199254740993,
        "s": {"x": [1]},
        "h": 1,
    }


def test_no_rows_are_a_result(etl, tmp_path):
    (tmp_path / "work/a.csv").write_text("a,b\n")
    for name in ("x.parquet", "x.csv", "x.jsonl"):
        done = etl("transform", _config("SELECT * FROM input", "a.csv", f"out/{name}"))
        assert (done.exit_code, done.report["rows_written"]) == (0, 0)
    assert pq.read_table(tmp_path / "work/out/x.parquet").column_names == ["a", "b"]


def test_small_batches_become_large_row_groups(etl, tmp_path):
    (tmp_path / "work/a.csv").write_text("a\n1\n")
    etl("transform", _config("SELECT range AS i FROM range(300000), input", "a.csv", "out/x.parquet"))
    metadata = pq.read_metadata(tmp_path / "work/out/x.parquet")
    assert metadata.num_rows == 300000
    assert metadata.num_row_groups <= 3


def test_more_than_memory_holds_is_sorted_on_disk(etl, tmp_path):
    (tmp_path / "work/a.csv").write_text("a\n1\n")
    sql = "SELECT md5(range::text) AS h, repeat('x', 50) AS p FROM range(500000), input ORDER BY h"
    config = _config(sql, "a.csv", "out/x.parquet") | {"memory_limit": "48MB", "threads": 1}
    done = etl("transform", config)
    assert done.exit_code == 0, done.stderr
    hashes = pq.read_table(tmp_path / "work/out/x.parquet", columns=["h"]).column(0).to_pylist()
    assert len(hashes) == 500000
    assert hashes == sorted(hashes)


BAD_INPUT = [
    ("a.csv", b"", "a.csv: the file is empty; check what wrote it"),
    ("a.csv", b"a,b\n1,2,3\n", "a.csv, row 1: cannot be read as csv: CSV parse error"),
    ("a.csv", b"a,b\n1,caf\xe9\n", "a.csv: column 'b' is not UTF-8; set options.encoding"),
    ("a.csv", b"a,a\n1,2\n", "a.csv: two columns are named 'a'"),
    ("a.csv.gz", gzip.compress(b"a\n" + b"1\n" * 90000)[:-20], "a.csv.gz: it is cut short; fetch it again"),
    ("a.csv.gz", gzip.compress(b"a\n1\n")[:4] + b"garbagegarbage", "a.csv.gz: cannot be unpacked: Error -3"),
    (
        "a.csv",
        b"a\n" + b"1\n" * 3_000_000 + b"x\n",
        "a.csv, row 3000001: column 'a': CSV conversion error",
    ),
    (
        "a.csv",
        b"a\n" + b"1\n" * 3_000_000 + b"1,2\n",
        "a.csv, row 3000001: cannot be read as csv: CSV parse",
    ),
    ("a.csv", b'a\n1\n"' + b"1\n" * 5_000_000, "a row is longer than 4 MB, or a quote in it is not closed"),
    ("a.csv", b"a\n" + b"word\n" * 2_000_000 + b"caf\xe9\n", "the text is not in the expected encoding"),
    ("a.parquet", b"PAR1 but no more", "a.parquet: cannot be read as parquet"),
    ("a.jsonl", b'{"a": 1}\n{"a": \n', "a.jsonl, row 2: cannot be read as jsonl: Invalid value"),
    ("a.json", b'{"a": 1}', "an array of objects is expected"),
    ("a.json", b'[{"a": 1}, 2]', "the array holds a int, and only objects are rows"),
    ("a.json", b'[{"a": 1}, {"a"', "a.json: cannot be read as json"),
    ("a.json", b"not json", "a.json: cannot be read as json"),
]


@pytest.mark.parametrize(("name", "content", "message"), BAD_INPUT, ids=[row[2][:40] for row in BAD_INPUT])
def test_bad_input_is_one_clear_line_and_the_sink_stays(etl, tmp_path, name, content, message):
    (tmp_path / "work" / name).write_bytes(content)
    (tmp_path / "work/out").mkdir()
    (tmp_path / "work/out/x.parquet").write_text("old")
    done = etl("transform", _config("SELECT * FROM input", name, "out/x.parquet"))
    assert done.exit_code == 1
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert (tmp_path / "work/out/x.parquet").read_text() == "old"
    assert done.report == {}


def test_a_mark_at_the_beginning_and_line_ends_of_every_kind(etl, tmp_path):
    mark = b"\xef\xbb\xbf"
    files = {
        "a.csv": b"n,s\r\n1,x\n2,y\r\n",
        "b.jsonl": b'{"n": 1}\r\n{"n": 2}\n',
        "c.json": b'[{"n": 1}, {"n": 2}]',
    }
    for name, content in files.items():
        (tmp_path / "work" / name).write_bytes(mark + content)
        assert etl("transform", _config("SELECT n FROM input ORDER BY n", name)).exit_code == 0
        assert _rows(tmp_path) == [{"n": 1}, {"n": 2}]


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELEC 1", 'sql: Parser Error: syntax error at or near "SELEC"'),
        ("SELECT * FROM weather", "Table with name weather does not exist"),
        ("SELECT nope FROM input", "nope"),
        ("SELECT a::date FROM input", "sql: "),
        ("SELECT 1 AS x, 2 AS x FROM input", "sql: "),
        ("SELECT 1; SELECT 2", "it is not one SELECT"),
        ("COPY input TO 'stolen.csv'", "it is not one SELECT"),
        ("CREATE TABLE t AS SELECT 1", "it is not one SELECT"),
        ("SET enable_external_access = true", "it is not one SELECT"),
        ("SELECT * FROM read_csv('/etc/passwd')", "sql: Permission Error"),
        ("SELECT * FROM '/etc/passwd'", "sql: "),
        ("SELECT * FROM views", "Table with name views does not exist"),
        ("", "sql"),
    ],
)
def test_bad_sql_is_one_clear_line(etl, tmp_path, sql, message):
    (tmp_path / "work/a.csv").write_text("a\nb\n")
    done = etl("transform", _config(sql, "a.csv"))
    assert done.exit_code == (1 if sql else 2)
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["a.csv"]


def test_an_unknown_table_names_the_inputs(etl, tmp_path):
    (tmp_path / "work/a.csv").write_text("a\nb\n")
    assert etl("transform", _config("SELECT * FROM nope", "a.csv")).stderr.endswith(
        "; the inputs are input\n"
    )


def test_an_error_in_the_middle_leaves_the_old_sink(etl, tmp_path):
    (tmp_path / "work/a.csv").write_text("a\n1\n")
    (tmp_path / "work/out").mkdir()
    (tmp_path / "work/out/x.jsonl").write_text("old")
    sql = "SELECT CASE WHEN range = 290000 THEN error('boom') ELSE 'ok' END AS x FROM range(300000), input"
    done = etl("transform", _config(sql, "a.csv"))
    assert done.exit_code == 1
    assert "boom" in done.stderr
    assert (tmp_path / "work/out/x.jsonl").read_text() == "old"


class Interrupted:
    """A relation whose rows end as DuckDB's now and then do, when it is another thread that failed."""

    def to_arrow_reader(self, _size: int) -> pa.RecordBatchReader:
        def batches() -> Iterator[pa.RecordBatch]:
            yield pa.record_batch({"x": ["ok"]})
            raise OSError("INTERRUPT Error: Interrupted!")

        return pa.RecordBatchReader.from_batches(pa.schema({"x": pa.string()}), batches())


@pytest.mark.parametrize(
    ("expression", "message"),
    [("error('boom')", "sql: Invalid Input Error: boom"), ("'ok'", "sql: INTERRUPT Error: Interrupted!")],
)
def test_what_went_wrong_is_told_though_duckdb_only_says_that_it_was_interrupted(
    monkeypatch: pytest.MonkeyPatch, expression: str, message: str
) -> None:
    relations, real = [Interrupted()], sql_transform._relation
    monkeypatch.setattr(
        sql_transform, "_relation", lambda *given: relations.pop() if relations else real(*given)
    )
    query = f"SELECT {expression} AS x FROM range(10)"
    with (
        pytest.raises(WorkFailed, match=f"^{re.escape(message)}$"),
        sql_transform.select(query, {}, memory_limit="100MB") as reader,
    ):
        reader.read_all()


def test_a_memory_limit_that_is_too_small_is_one_clear_line(etl, tmp_path):
    (tmp_path / "work/a.csv").write_text("a\n1\n")
    for limit in ("0GB", "1KB"):
        done = etl("transform", _config("SELECT * FROM input ORDER BY a", "a.csv") | {"memory_limit": limit})
        assert done.exit_code == 1
        assert len(done.stderr.splitlines()) == 1


def test_no_room_for_temporary_files_is_one_clear_line(etl, tmp_path, monkeypatch):
    (tmp_path / "work/a.csv").write_text("a\n1\n")
    with monkeypatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
        done = etl("transform", _config("SELECT a FROM input", "a.csv"))
    assert done.exit_code == 1
    assert "No such file or directory" in done.stderr


def test_a_missing_input_is_found_even_if_it_is_not_read(etl):
    done = etl("transform", _config("SELECT 1 AS x", "nowhere.csv"))
    assert done.exit_code == 1
    assert "nowhere.csv: cannot be read: No such file or directory; check the path" in done.stderr


def test_a_column_that_the_format_cannot_hold(etl, tmp_path):
    (tmp_path / "work/a.csv").write_text("a\n1\n")
    done = etl("transform", _config("SELECT [1, 2] AS l FROM input", "a.csv", "out/x.csv"))
    assert done.exit_code == 1
    assert "out/x.csv: cannot be written as csv" in done.stderr
    assert not (tmp_path / "work/out").exists()


def test_an_input_from_the_web(etl, tmp_path, server):
    server.replies = [lambda h: h.reply(200, WEATHER.read_bytes())]
    done = etl("transform", _config("SELECT count(*) AS n FROM input", f"{server.url}/w.csv?token=secret"))
    assert _rows(tmp_path) == [{"n": done.report["rows_read"]}]
    assert "secret" not in json.dumps(done.report)
    server.replies = [lambda h: h.reply(404)]
    assert "HTTP 404" in etl("transform", _config("SELECT 1", f"{server.url}/w.csv")).stderr

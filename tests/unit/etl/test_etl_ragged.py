"""CSV whose rows differ in length: lists of texts, taken apart in SQL."""

import gzip
import json

import pytest

READINGS = "SELECT fields[1] AS who, unnest(fields[2:])::INT AS n FROM input"


def _config(url="a.csv", sql=READINGS, **options):
    source = {"url": url, "options": {"ragged": True, **options}}
    return {"input": source, "sql": sql, "sink": {"url": "out/x.jsonl"}}


def _rows(tmp_path):
    return [json.loads(line) for line in (tmp_path / "work/out/x.jsonl").read_text().splitlines()]


def test_every_row_has_its_own_length(etl, tmp_path):
    (tmp_path / "work/a.csv").write_bytes(b'\xef\xbb\xbfa,1,2,3\r\n\r\n"b,\nc",4\nd\n')
    done = etl("transform", _config())
    assert done.exit_code == 0, done.stderr
    assert done.report["rows_read"] == 3
    assert _rows(tmp_path) == [
        {"who": "a", "n": 1},
        {"who": "a", "n": 2},
        {"who": "a", "n": 3},
        {"who": "b,\nc", "n": 4},
    ]


def test_values_are_text_as_they_are(etl, tmp_path):
    (tmp_path / "work/a.csv").write_bytes("é; 007 ;;'x;y'\n".encode("latin-1"))
    done = etl("transform", _config(sql="FROM input", delimiter=";", quote="'", encoding="latin-1"))
    assert done.exit_code == 0, done.stderr
    assert _rows(tmp_path) == [{"fields": ["é", " 007 ", "", "x;y"]}]


def test_many_rows_come_in_many_batches_from_many_files(etl, tmp_path):
    for name in ("a", "b"):
        lines = "".join(f"{name},{','.join(map(str, range(n % 9)))}\n" for n in range(20_000))
        (tmp_path / f"work/{name}.csv.gz").write_bytes(gzip.compress(lines.encode()))
    sql = (
        "SELECT fields[1] AS name, count(*) AS n, sum(len(fields)) AS cells FROM input GROUP BY 1 ORDER BY 1"
    )
    done = etl("transform", _config("*.csv.gz", sql))
    assert done.exit_code == 0, done.stderr
    cells = sum(1 + max(n % 9, 1) for n in range(20_000))
    assert _rows(tmp_path) == [{"name": name, "n": 20_000, "cells": cells} for name in ("a", "b")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'a,1\nb,2\n"c,3\n', "a.csv, line 3: unexpected end of data; correct the line"),
        (b'a,1\n"b"x,2\n', "a.csv, line 2: ',' expected after '\"'"),
        (b'a,1\n"' + b"x\n" * 100_000, "field larger than field limit"),
        (b"a,1\n\xe9,2\n", "not in the expected encoding"),
        (b"", "the file is empty"),
    ],
)
def test_a_bad_row_is_one_clear_line_and_the_sink_stays(etl, tmp_path, content, message):
    (tmp_path / "work/a.csv").write_bytes(content)
    done = etl("transform", _config())
    assert done.exit_code == 1
    assert message in done.stderr
    assert not (tmp_path / "work/out/x.jsonl").exists()


@pytest.mark.parametrize(
    "options", [{"header": False}, {"columns": ["a"], "header": False}, {"types": {"a": "date"}}]
)
def test_what_lists_do_not_have_is_refused(etl, options):
    done = etl("transform", _config(**options))
    assert done.exit_code == 2
    assert f"{min(options)} means nothing for ragged rows" in done.stderr

"""Configured types of JSON and JSON lines: dates, times and decimals exactly, and what does not fit is named."""

import json
from datetime import date, time
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

TYPES = {"d": "date", "t": "time", "m": "decimal(38,2)", "i": "int64", "f": "float64"}
ROWS = [
    '{"i": 1, "d": "2026-01-31", "t": "06:00", "m": 123456789012345678901234567890123456.78, "f": 0.5, "o": {"x": 1.5}}',
    '{"i": 2, "d": null, "t": null, "m": null, "f": null, "o": null}',
    '{"i": 3, "d": "0001-01-01", "t": "23:59:59.999999", "m": "-0.01", "f": 2, "o": {"x": 0.25}}',
    '{"i": 4, "d": "9999-12-31", "t": "00:00:01.5", "m": 12345678901234567890123456789012345678e-2, "f": 1e300}',
    '{"i": 5, "d": "2024-02-29", "t": "12:30:00", "m": 7}',
]
FORMATS = ["x.json", "x.jsonl"]


def write(name, rows):
    Path(name).write_text(f"[{','.join(rows)}]" if name.endswith(".json") else "\n".join(rows) + "\n")


def transform(etl, url, sql="FROM input", types=TYPES):
    Path("out.parquet").write_text("old")
    config = {
        "input": {"url": url, "options": {"types": types}},
        "sql": sql,
        "sink": {"url": "out.parquet"},
    }
    done = etl("transform", config)
    if done.exit_code != 0:
        assert len(done.stderr.splitlines()) == 1
        assert Path("out.parquet").read_text() == "old"
    return done


@pytest.mark.parametrize("name", FORMATS)
def test_every_value_is_exact(etl, name):
    write(name, ROWS)
    done = transform(etl, name)
    assert done.exit_code == 0, done.stderr
    table = pq.read_table("out.parquet")
    assert [table.schema.field(column).type for column in "dtm"] == [
        pa.date32(),
        pa.time64("us"),
        pa.decimal128(38, 2),
    ]
    assert table["d"].to_pylist() == [
        date(2026, 1, 31),
        None,
        date(1, 1, 1),
        date(9999, 12, 31),
        date(2024, 2, 29),
    ]
    assert table["t"].to_pylist() == [
        time(6),
        None,
        time(23, 59, 59, 999999),
        time(0, 0, 1, 500_000),
        time(12, 30),
    ]
    assert table["m"].to_pylist() == [
        Decimal("123456789012345678901234567890123456.78"),
        None,
        Decimal("-0.01"),
        Decimal("123456789012345678901234567890123456.78"),
        Decimal("7.00"),
    ]
    assert table["f"].to_pylist() == [0.5, None, 2.0, 1e300, None]
    assert table["o"].to_pylist() == [{"x": 1.5}, None, {"x": 0.25}, None, None]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("d", "2026-02-29"),
        ("d", "2026-01-31T00:00:00"),
        ("d", "31/01/2026"),
        ("d", ""),
        ("t", "24:00:00"),
        ("t", "06:00:00.1234567"),
        ("t", "06"),
        ("t", "6:00"),
        ("t", "06:00Z"),
        ("t", "06:00\n"),
        ("t", "noon"),
    ],
)
def test_a_text_that_is_none_is_named_with_row_and_column(etl, name, column, value):
    write(name, [*ROWS, json.dumps({"i": 6, column: value})])
    done = transform(etl, name)
    assert done.exit_code == 1
    kind = TYPES[column]
    shown = " ".join(repr(value).split())
    assert (
        f"{name}, row 6: column {column!r}: {shown} is not of type {kind}; correct it, or make it a string"
        in done.stderr
    )


@pytest.mark.parametrize("name", FORMATS)
def test_the_row_is_counted_beyond_the_first_block(etl, name):
    good = ['{"d": "2026-01-31", "s": "%s"}' % ("x" * 90)] * 60_000
    write(name, [*good, '{"d": "soon"}', *good[:10]])
    done = transform(etl, name, "SELECT count(*) AS n, max(d) AS d FROM input", {"d": "date"})
    assert done.exit_code == 1
    assert f"{name}, row 60001: column 'd': 'soon' is not of type date" in done.stderr
    write(name, good)
    done = transform(etl, name, "SELECT count(*) AS n, max(d) AS d FROM input", {"d": "date"})
    assert done.exit_code == 0, done.stderr
    assert pq.read_table("out.parquet").to_pylist() == [{"n": 60_000, "d": date(2026, 1, 31)}]


@pytest.mark.parametrize("value", ["12", "true", '{"a": 1}'])
def test_a_number_is_no_date(etl, value):
    write("x.jsonl", ['{"d": "2026-01-31"}', f'{{"d": {value}}}'])
    done = transform(etl, "x.jsonl", types={"d": "date"})
    assert done.exit_code == 1
    assert "x.jsonl, row 2: column 'd' changed from string to" in done.stderr


def test_a_decimal_with_more_digits_than_its_type_is_refused(etl):
    for name in FORMATS:
        write(name, ['{"m": 1.25}', '{"m": 1.255}'])
        done = transform(etl, name, types={"m": "decimal(10,2)"})
        assert done.exit_code == 1
        assert "1.255" in done.stderr


def test_types_hold_for_all_files_of_a_pattern(etl):
    write("a.jsonl", ['{"d": "2026-01-31", "t": "06:00", "n": 1}'])
    write("b.jsonl", ['{"d": "2026-02-28", "t": "07:00", "n": 2}'])
    types = {"d": "date", "t": "time"}
    assert transform(etl, "?.jsonl", types=types).exit_code == 0
    assert pq.read_table("out.parquet").to_pylist() == [
        {"d": date(2026, 1, 31), "t": time(6), "n": 1},
        {"d": date(2026, 2, 28), "t": time(7), "n": 2},
    ]
    write(
        "b.jsonl", ['{"d": "2026-02-28", "t": "07:00", "n": 2}', '{"d": "2026-02-30", "t": "07:00", "n": 2}']
    )
    assert (
        "b.jsonl, row 2: column 'd': '2026-02-30' is not of type date"
        in transform(etl, "?.jsonl", types=types).stderr
    )

"""Casts keep the order of rows, however many threads there are: the number of a bad row is its number."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

ROWS = 200_000
CASTS = {
    "bool": ({"to": "bool"}, "yes"),
    "date": (
        {"to": "date", "null_values": ["", "-", "?", "n/a", "none", "null", "nil", "0", "00"]},
        "2026-01-31",
    ),
    "decimal": ({"to": "decimal(5,2)"}, "1.50"),
    "timestamptz": ({"to": "timestamptz", "zone": "Europe/Berlin"}, "2026-01-31 06:00:00"),
}


def _config(work, texts, cast, **more):
    table = pa.table({"n": range(ROWS), "x": texts})
    pq.write_table(table, work / "in.parquet", row_group_size=1000)
    step = {"type": "cast", "columns": {"x": cast}}
    return {
        "input": {"url": "in.parquet"},
        "steps": [step],
        "sink": {"url": "out/x.parquet"},
        "threads": 4,
        **more,
    }


@pytest.mark.parametrize("kind", CASTS)
def test_rows_stay_in_order(etl, tmp_path, kind):
    cast, text = CASTS[kind]
    done = etl("transform", _config(tmp_path / "work", [text] * ROWS, cast))
    assert done.exit_code == 0, done.stderr
    assert pq.read_table(tmp_path / "work/out/x.parquet")["n"].to_pylist() == list(range(ROWS))


@pytest.mark.parametrize("kind", CASTS)
def test_the_number_of_a_bad_row_is_its_number(etl, tmp_path, kind):
    cast, text = CASTS[kind]
    texts = [text] * ROWS
    texts[144_999] = "bad"
    done = etl("transform", _config(tmp_path / "work", texts, cast))
    assert done.exit_code == 1
    assert "in.parquet, row 145000: column 'x': 'bad' is not of type" in done.stderr

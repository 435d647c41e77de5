"""A SELECT of everything: the same rows and types whether or not DuckDB is in between."""

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from batchctl_etl.transforms.untouched import is_whole


@pytest.mark.parametrize("sql", ["FROM input", "select *\n from Input ;", "  FROM input"])
def test_what_asks_for_everything(sql: str) -> None:
    assert is_whole(sql, "input")


@pytest.mark.parametrize(
    "sql", ["FROM other", "SELECT a FROM input", "FROM input WHERE a", "FROM input, input", "FROM input -- x"]
)
def test_what_asks_for_something_else(sql: str) -> None:
    assert not is_whole(sql, "input")


COLUMNS: dict[str, pa.Array] = {
    "kept": pa.array([1, None, 3], pa.int64()),
    "decimal": pa.array([None, "1.50", "-2.25"]).cast(pa.decimal128(38, 10)),
    "text": pa.array(["", None, "a\n'b'"], pa.string()),
    "at": pa.array([0, 1, None], pa.timestamp("us", "UTC")),
    "plain": pa.array([0, 1, None], pa.timestamp("us")),
    "float": pa.array([float("nan"), float("inf"), None], pa.float64()),
    "raw": pa.array([b"\x00", None, b""], pa.binary()),
}
OTHERS: dict[str, pa.Array] = {
    "large": pa.array(["a", None, "b"], pa.large_string()),
    "nano": pa.array([1, 2, None], pa.timestamp("ns")),
    "nested": pa.array([{"a": 1}, None, {"a": 2}]),
    "repeated": pa.array(["x", "x", None]).dictionary_encode(),
}


@pytest.mark.parametrize(
    ("columns", "kind"),
    [(COLUMNS, "parquet"), (COLUMNS, "jsonl"), (OTHERS, "parquet"), (COLUMNS | OTHERS, "parquet")],
    ids=["passed on", "passed on as text", "through DuckDB", "one column is enough"],
)
def test_the_same_rows_and_types_either_way(
    etl: Any, tmp_path: Any, columns: dict[str, pa.Array], kind: str
) -> None:
    pq.write_table(pa.table(columns), tmp_path / "work/in.parquet")
    for name, sql in {"whole": "FROM input", "duckdb": "FROM input WHERE true"}.items():
        config = {"input": {"url": "in.parquet"}, "sql": sql, "sink": {"url": f"{name}.{kind}"}}
        assert etl("transform", config).exit_code == 0
    whole, through = (tmp_path / f"work/{name}.{kind}" for name in ("whole", "duckdb"))
    if kind == "jsonl":
        assert whole.read_text() == through.read_text()
    else:
        made, expected = pq.read_table(whole), pq.read_table(through)
        assert made.schema == expected.schema
        assert made.combine_chunks().to_string(preview_cols=99) == expected.combine_chunks().to_string(
            preview_cols=99
        )

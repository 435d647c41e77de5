"""Parquet: which columns get a dictionary, and that every type is written."""

import io
from datetime import date
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from batchctl_etl.writers.parquet import dictionaries, write_parquet


def test_only_repetitive_columns_get_a_dictionary() -> None:
    count = 1000
    rows = pa.table(
        {
            "few": ["a", "b"] * (count // 2),
            "all": [f"text {i}" for i in range(count)],
            "day": [date(2026, 1, 1 + i % 28) for i in range(count)],
            "price": pa.array([Decimal(i) for i in range(count)], pa.decimal128(10, 2)),
            "none": pa.nulls(count, pa.int64()),
        }
    )
    assert dictionaries(rows) == ["few", "day", "none"]
    assert dictionaries(rows.select(["all"])) is False
    assert dictionaries(rows.append_column("l", pa.array([[1]] * count))) is True


@pytest.mark.parametrize(
    "kind",
    [
        *(pa.bool_(), pa.int8(), pa.uint64(), pa.float16(), pa.float64(), pa.string(), pa.large_string()),
        *(
            pa.string_view(),
            pa.binary(),
            pa.binary(2),
            pa.date32(),
            pa.time64("us"),
            pa.timestamp("us", "UTC"),
        ),
        *(pa.decimal128(38, 2), pa.decimal256(50, 2), pa.null(), pa.dictionary(pa.int32(), pa.string())),
        *(pa.list_(pa.int8()), pa.struct([("a", pa.string())]), pa.map_(pa.string(), pa.int8())),
    ],
    ids=str,
)
def test_every_type_is_written(kind: pa.DataType) -> None:
    file = io.BytesIO()
    assert write_parquet(pa.table({"x": pa.nulls(3, kind)}).to_reader(), file) == 3  # type: ignore[arg-type]
    assert pq.read_table(file)["x"].to_pylist() == [None] * 3


def test_no_rows() -> None:
    file = io.BytesIO()
    assert write_parquet(pa.table({"x": pa.array([], pa.int8())}).to_reader(), file) == 0  # type: ignore[arg-type]
    assert pq.read_table(file).schema.names == ["x"]

"""JSONL: one object a line. Dates and times as ISO 8601, decimals as exact numbers, bytes in base64, NaN as
null."""

import base64
from collections.abc import Iterable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import orjson
import pyarrow as pa

from batchctl_etl.storage.streams import SinkStream

SLICE_ROWS = 4096


def write_jsonl(reader: pa.RecordBatchReader, stream: SinkStream) -> int:
    """Write all rows; how many there were. Raises `TypeError` for a value that JSON cannot hold."""
    rows = 0
    for batch in reader:
        for start in range(0, batch.num_rows, SLICE_ROWS):
            stream.write(json_lines(_objects(batch.slice(start, SLICE_ROWS))))
        rows += batch.num_rows
    return rows


def _objects(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    try:
        objects: list[dict[str, Any]] = batch.to_pylist()
    except (OverflowError, ValueError):
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            try:
                column.to_pylist()
            except (OverflowError, ValueError) as error:  # A moment outside of the years 1 to 9999.
                raise TypeError(f"column {name!r}: {error}") from error
        raise
    return objects


def json_lines(rows: Iterable[dict[str, Any]]) -> bytes:
    """The rows, one object a line, each line ended. Raises `TypeError` for a value that JSON cannot hold."""
    return b"".join(orjson.dumps(row, default=_plain) + b"\n" for row in rows)


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return orjson.Fragment(format(value, "f")) if value.is_finite() else None
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, timedelta):
        return value.total_seconds()
    raise TypeError(f"a {type(value).__name__} has no JSON form")

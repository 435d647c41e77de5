"""Parquet, in row groups of a useful size whatever the size of the batches."""

import itertools
from collections.abc import Iterable, Iterator
from typing import BinaryIO, cast

import pyarrow as pa
import pyarrow.compute as arrow_compute
import pyarrow.parquet as arrow_parquet
import pyarrow.types as kinds

from batchctl_etl.ahead import ahead
from batchctl_etl.storage.streams import SinkStream

GROUP_ROWS = 131_072
SAMPLE_ROWS = 16_384
GROUP_BYTES = 64 * 1024 * 1024
BATCHES_AHEAD = 4


def write_parquet(reader: pa.RecordBatchReader, stream: SinkStream) -> int:
    """Write all rows, compressed with zstd; how many there were. Raises `pa.ArrowException` for a type it
    cannot hold."""
    with ahead(reader, BATCHES_AHEAD) as batches:
        groups, rows = _groups(batches, reader.schema), 0
        first = next(groups, None)
        repetitive = dictionaries(first) if first is not None else False
        with arrow_parquet.ParquetWriter(
            cast(BinaryIO, stream), reader.schema, compression="zstd", use_dictionary=repetitive
        ) as writer:
            for group in itertools.chain([first] if first is not None else [], groups):
                writer.write_table(group, row_group_size=GROUP_ROWS)
                rows += group.num_rows
    return rows


def dictionaries(rows: pa.Table) -> list[str] | bool:
    """The columns whose values come again and again: a dictionary makes the others slower and no smaller.

    `True`, which means all, if there are nested columns: their leaves have other names.
    """
    if any(kinds.is_nested(field.type) for field in rows.schema):
        return True
    sample = rows.slice(0, SAMPLE_ROWS)
    few = max(sample.num_rows // 4, 1)
    counts = [
        arrow_compute.count_distinct(column, mode="all").as_py() if _is_counted(column.type) else 0
        for column in sample.columns
    ]
    return [name for name, count in zip(sample.schema.names, counts, strict=True) if count <= few] or False


def _is_counted(kind: pa.DataType) -> bool:
    """Whether Arrow counts its distinct values."""
    plain = (kinds.is_integer, kinds.is_floating, kinds.is_string, kinds.is_binary, kinds.is_decimal128)
    return any(is_kind(kind) for is_kind in (*plain, kinds.is_date, kinds.is_timestamp))


def _groups(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.Table]:
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        rows, size = sum(item.num_rows for item in held), sum(item.nbytes for item in held)
        if rows >= GROUP_ROWS or size >= GROUP_BYTES:
            yield pa.Table.from_batches(held, schema)
            held = []
    if held:
        yield pa.Table.from_batches(held, schema)

"""Parquet in the form that a sink asks for: its compression, and row groups of exactly so many rows."""

from collections.abc import Iterator
from typing import BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as arrow_parquet

from batchctl_etl.config.parquet import Compression, ParquetForm
from batchctl_etl.storage.streams import SinkStream

GROUP_ROWS = 131_072


def write_parquet_form(reader: pa.RecordBatchReader, stream: SinkStream, form: ParquetForm) -> int:
    """Write all rows; how many there were. Raises `pa.ArrowException` for a type it cannot hold."""
    size, rows = form.row_group_size or GROUP_ROWS, 0
    with arrow_parquet.ParquetWriter(
        cast(BinaryIO, stream), reader.schema, compression=(form.compression or Compression.ZSTD).value
    ) as writer:
        for group in row_groups(reader, size):
            writer.write_table(group, row_group_size=size)
            rows += group.num_rows
    return rows


def row_groups(reader: pa.RecordBatchReader, size: int) -> Iterator[pa.Table]:
    """Tables of `size` rows each, the last one of what is left."""
    held: list[pa.RecordBatch] = []
    count = 0
    for batch in reader:
        start = 0
        while count + batch.num_rows - start >= size:
            held.append(batch.slice(start, size - count))
            start += size - count
            yield pa.Table.from_batches(held, reader.schema)
            held, count = [], 0
        if start < batch.num_rows:
            held.append(batch.slice(start))
            count += batch.num_rows - start
    if held:
        yield pa.Table.from_batches(held, reader.schema)

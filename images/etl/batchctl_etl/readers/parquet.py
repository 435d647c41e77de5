"""Parquet: row group by row group."""

from collections.abc import Sequence
from typing import BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as arrow_parquet

from batchctl_etl.storage.streams import SourceStream

BATCH_ROWS = 16_384


def parquet_rows(stream: SourceStream, only: Sequence[str] = ()) -> pa.RecordBatchReader:
    """The rows of a Parquet file, with `only` these columns of them. Raises `pa.ArrowInvalid` if it is none."""
    file = arrow_parquet.ParquetFile(cast(BinaryIO, stream), pre_buffer=False)
    schema = pa.schema([field for field in file.schema_arrow if not only or field.name in only])
    batches = file.iter_batches(batch_size=BATCH_ROWS, columns=list(only) or None)
    return pa.RecordBatchReader.from_batches(schema, batches)

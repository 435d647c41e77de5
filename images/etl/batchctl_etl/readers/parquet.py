"""Parquet: row group by row group."""

from collections.abc import Sequence
from typing import BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as arrow_parquet

from batchctl_etl.storage.streams import SourceStream

BATCH_ROWS = 16_384
_PLAIN = {pa.string_view(): pa.string(), pa.binary_view(): pa.binary(), pa.float16(): pa.float32()}
"""Types in whose place others come, for little can be done with them."""


def parquet_rows(stream: SourceStream, only: Sequence[str] = ()) -> pa.RecordBatchReader:
    """The rows of a Parquet file, with `only` these columns of them. Raises `pa.ArrowInvalid` if it is none."""
    file = arrow_parquet.ParquetFile(cast(BinaryIO, stream), pre_buffer=False)
    schema = pa.schema([field for field in file.schema_arrow if not only or field.name in only])
    batches = file.iter_batches(batch_size=BATCH_ROWS, columns=list(only) or None)
    plain = pa.schema([field.with_type(_PLAIN.get(field.type, field.type)) for field in schema])
    if plain != schema:
        return pa.RecordBatchReader.from_batches(plain, (batch.cast(plain) for batch in batches))
    return pa.RecordBatchReader.from_batches(schema, batches)

"""CSV: a header, quotes where needed; no value is nothing at all, an empty text is two quotes."""

from typing import BinaryIO, cast

import pyarrow as pa
import pyarrow.csv as arrow_csv

from batchctl_etl.ahead import ahead
from batchctl_etl.storage.streams import SinkStream

BATCHES_AHEAD = 4


def write_csv(reader: pa.RecordBatchReader, stream: SinkStream) -> int:
    """Write all rows; how many there were. Raises `pa.ArrowException` for nested columns."""
    rows = 0
    with (
        ahead(reader, BATCHES_AHEAD) as batches,
        arrow_csv.CSVWriter(cast(BinaryIO, stream), reader.schema) as writer,
    ):
        for batch in batches:
            writer.write_batch(batch)
            rows += batch.num_rows
    return rows

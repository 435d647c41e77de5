"""A stream of rows given to a library that reports what the stream raised as its own text only."""

from collections.abc import Iterator

import pyarrow as pa

from batchctl_etl.errors import WorkFailed


class Watched:
    """Give away `reader`; afterwards `rows` is how many went, and `failure` what stopped them, if something did.

    Setting `stopped` ends the stream with an error at its next batch.
    """

    def __init__(self, reader: pa.RecordBatchReader) -> None:
        self.rows = 0
        self.stopped = False
        self.failure: WorkFailed | None = None
        self.reader = pa.RecordBatchReader.from_batches(reader.schema, self._batches(reader))

    def _batches(self, reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        try:
            for batch in reader:
                if self.stopped:
                    raise WorkFailed("load", "it was interrupted")
                self.rows += batch.num_rows
                yield batch
        except WorkFailed as error:
            self.failure = error
            raise

"""The rows of a Delta table, streamed: as it is, or as it was."""

from collections.abc import Iterator
from contextlib import ExitStack

import pyarrow as pa

from batchctl_etl.config.delta import DeltaRows
from batchctl_etl.delta.opening import delta_errors, existing_table, place, travel
from batchctl_etl.tables.columns import cast_rows, table_schema


class DeltaInput:
    """All openings see the version that there was at the first. The order of the rows is nobody's promise."""

    def __init__(self, source: DeltaRows, _stack: ExitStack) -> None:
        where = place(source.url)
        self._table = existing_table(where)
        travel(self._table, source.version, source.timestamp, where=where.name)
        self.name = f"{where.name} (version {self._table.version()})"
        self._counts: list[int] = []

    def open(self) -> pa.RecordBatchReader:
        with delta_errors(self.name):
            reader = pa.RecordBatchReader.from_stream(self._table.scan())
        plain = table_schema(reader.schema, where=self.name)
        self._counts.append(0)
        counted = pa.RecordBatchReader.from_batches(
            reader.schema, self._batches(reader, len(self._counts) - 1)
        )
        return cast_rows(counted, plain, where=self.name)

    def _batches(self, reader: pa.RecordBatchReader, scan: int) -> Iterator[pa.RecordBatch]:
        with delta_errors(self.name):
            for batch in reader:
                self._counts[scan] += batch.num_rows
                yield batch

    def place(self, row: int) -> str:
        return f"{self.name}, row {row}"

    @property
    def rows(self) -> int:
        return max(self._counts, default=0)

    @property
    def bytes(self) -> int:
        """Of the version's files, if they were read."""
        if not self._counts:
            return 0
        sizes = self._table.get_add_actions(flatten=True).column("size_bytes")
        return int(sum(pa.chunked_array(sizes).to_pylist()))

"""Rows of one query through an ODBC driver, streamed as Arrow batches.

Drivers make values of what they cannot express: PostgreSQL's turns an infinite date into today and NaN into
zero, SQLite's drops microseconds. So moments and decimals are asked for as text, and read here, where what is
none fails.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.types as kinds

from batchctl_etl.config.odbc import OdbcRows
from batchctl_etl.errors import WorkFailed
from batchctl_etl.odbc.connection import connect, odbc_errors

if TYPE_CHECKING:
    from arrow_odbc import BatchReader  # type: ignore[import-untyped]

BATCH_BYTES = 32 * 1024 * 1024
"""Of a batch, if all its values were as long as they may be."""
BATCH_ROWS = 65_536


class OdbcInput:
    """The rows of a query. Each opening is a connection of its own."""

    def __init__(self, source: OdbcRows, stack: ExitStack) -> None:
        self.name = f"query of {source.dsn_env}"
        self._source = source
        self._stack = stack
        self._counts: list[int] = []

    def open(self) -> pa.RecordBatchReader:
        connection = connect(self._source.dsn_env, key="source.dsn_env")
        told: list[pa.Schema] = []

        def asked(schema: pa.Schema) -> pa.Schema:
            told.append(schema)
            return asked_schema(schema)

        with odbc_errors(self.name):
            reader = connection.read_arrow_batches(
                self._source.query.strip().removesuffix(";"),
                batch_size=BATCH_ROWS,
                max_bytes_per_batch=BATCH_BYTES,
                max_text_size=self._source.max_text_bytes,
                max_binary_size=self._source.max_text_bytes,
                map_schema=asked,
                fetch_concurrently=True,
            )
        names = told[0].names if told else []
        if not names:
            raise WorkFailed(self.name, "it has no columns", "check the query")
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise WorkFailed(self.name, f"two columns are named {twice[0]!r}", "name one with AS")
        schema = given_schema(told[0])
        self._counts.append(0)
        return pa.RecordBatchReader.from_batches(schema, self._batches(reader, schema, len(self._counts) - 1))

    def _batches(self, reader: "BatchReader", schema: pa.Schema, scan: int) -> Iterator[pa.RecordBatch]:
        with odbc_errors(self.name):
            for batch in reader:
                yield _typed(batch, schema, self.name)
                self._counts[scan] += batch.num_rows

    def place(self, row: int) -> str:
        return f"{self.name}, row {row}"

    @property
    def rows(self) -> int:
        return max(self._counts, default=0)

    @property
    def bytes(self) -> int:
        """Drivers do not tell."""
        return 0


def asked_schema(schema: pa.Schema) -> pa.Schema:
    """What to ask the driver for, which said that it has `schema`."""
    return pa.schema([field.with_type(_asked(field.type)) for field in schema])


def given_schema(schema: pa.Schema) -> pa.Schema:
    """The types of the rows we give, where the driver said that it has `schema`."""
    return pa.schema([field.with_type(_given(field.type)) for field in schema])


def _asked(kind: pa.DataType) -> pa.DataType:
    if kinds.is_timestamp(kind) or kinds.is_date(kind) or kinds.is_time32(kind) or kinds.is_decimal(kind):
        return pa.string()
    if kinds.is_int32(kind):
        return pa.int64()  # SQLite's driver calls all integers so.
    if kinds.is_fixed_size_binary(kind):
        return pa.binary()
    return pa.float64() if kinds.is_floating(kind) else kind  # PostgreSQL's driver takes double for single.


def _given(kind: pa.DataType) -> pa.DataType:
    if kinds.is_timestamp(kind):
        return pa.timestamp("us")
    return kind if kinds.is_date(kind) or kinds.is_decimal(kind) else _asked(kind)


def _typed(batch: pa.RecordBatch, schema: pa.Schema, where: str) -> pa.RecordBatch:
    columns = []
    for column, field in zip(batch.columns, schema, strict=True):
        try:
            columns.append(column if column.type == field.type else column.cast(field.type))
        except pa.ArrowException as error:
            what = f"column {field.name!r} does not fit {field.type}: {error}"
            raise WorkFailed(where, what, "leave it out, or cast it in the query") from error
    return pa.RecordBatch.from_arrays(columns, schema=schema)

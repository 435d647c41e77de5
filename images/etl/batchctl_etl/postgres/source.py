"""Rows of one query, streamed by COPY as CSV into typed Arrow batches: one connection, memory bounded. Those of a
whole table are read faster (`table_scan`).

CSV keeps NULL and '' apart, and every type that Arrow has is told to it, so nothing is guessed: a value that
the type cannot hold (an infinite date, NaN in a numeric) is an error, never another value.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, BinaryIO, cast

import pyarrow as pa
import pyarrow.csv as arrow_csv

from batchctl_etl.config.rows import PostgresRows
from batchctl_etl.errors import WorkFailed
from batchctl_etl.postgres.connection import connect, postgres_errors
from batchctl_etl.postgres.copying import CopyFile
from batchctl_etl.postgres.table_scan import TableScan, WholeTable, whole_table
from batchctl_etl.postgres.types import BYTEA, column_type

if TYPE_CHECKING:
    import psycopg

BLOCK_BYTES = 8 * 1024 * 1024
"""What is parsed at once; the longest row must fit."""


class PostgresInput:
    """The rows of a query. Each opening is a connection and a read-only transaction of its own."""

    def __init__(self, source: PostgresRows, stack: ExitStack) -> None:
        self.name = f"query of {source.dsn_env}"
        self._source = source
        self._stack = stack
        self._counts: list[int] = []
        self._read: list[Callable[[], int]] = []

    def open(self) -> pa.RecordBatchReader:
        return self._open(to_the_end=False)

    def open_all(self) -> pa.RecordBatchReader:
        return self._open(to_the_end=True)

    def _open(self, *, to_the_end: bool) -> pa.RecordBatchReader:
        query = self._source.query.strip().removesuffix(";")
        self._counts.append(0)
        scan = len(self._counts) - 1
        connection = connect(self._source.dsn_env, key="source.dsn_env")
        self._stack.callback(connection.close)
        with postgres_errors(self.name):
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            schema, binary = self._described(connection, query)
            table = whole_table(connection, query, _with_binary(schema, binary))
            if table is not None and (to_the_end or not table.numerics):
                connection.close()
                return self._scanned(table, scan)
            file = CopyFile(connection, f"COPY ({query}\n) TO STDOUT (FORMAT csv)", self.name)
        self._stack.callback(file.close)
        self._read.append(lambda: file.count)
        batches = self._batches(file, schema, binary, scan)
        return pa.RecordBatchReader.from_batches(_with_binary(schema, binary), batches)

    def _scanned(self, table: WholeTable, scan: int) -> pa.RecordBatchReader:
        reading = TableScan(table, self._source.dsn_env, key="source.dsn_env", where=self.name)
        self._stack.callback(reading.close)
        self._read.append(lambda: reading.bytes)
        return pa.RecordBatchReader.from_batches(table.arrow, self._counted(reading.rows(), scan))

    def _counted(self, batches: Iterable[pa.RecordBatch], scan: int) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            self._counts[scan] += batch.num_rows
            yield batch

    def _described(self, connection: "psycopg.Connection", query: str) -> tuple[pa.Schema, list[int]]:
        cursor = connection.execute(f"SELECT * FROM ({query}\n) AS q LIMIT 0".encode())
        columns = cursor.description or []
        names = [column.name for column in columns]
        if not names:
            raise WorkFailed(self.name, "it has no columns", "check the query")
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise WorkFailed(self.name, f"two columns are named {twice[0]!r}", "name one with AS")
        types = [column_type(column, where=self.name) for column in columns]
        fields = [pa.field(name, kind) for name, kind in zip(names, types, strict=True)]
        return pa.schema(fields), [i for i, column in enumerate(columns) if column.type_code == BYTEA]

    def _batches(
        self, file: CopyFile, schema: pa.Schema, binary: list[int], scan: int
    ) -> Iterator[pa.RecordBatch]:
        try:
            if not file.has_rows():
                return
            for batch in self._counted(_csv(file, schema), scan):
                yield _decoded(batch, binary)
        except pa.ArrowException as error:
            raise _unfit(self.name, schema, str(error)) from error

    def place(self, row: int) -> str:
        return f"{self.name}, row {row}"

    @property
    def rows(self) -> int:
        return max(self._counts, default=0)

    @property
    def bytes(self) -> int:
        return max((count() for count in self._read), default=0)


def _csv(file: CopyFile, schema: pa.Schema) -> pa.RecordBatchReader:
    return arrow_csv.open_csv(
        cast(BinaryIO, file),
        read_options=arrow_csv.ReadOptions(block_size=BLOCK_BYTES, column_names=schema.names),
        # An empty line is a row of one column whose value is NULL.
        parse_options=arrow_csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        convert_options=arrow_csv.ConvertOptions(
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            true_values=["t"],
            false_values=["f"],
            column_types={field.name: field.type for field in schema},
        ),
    )


def _with_binary(schema: pa.Schema, binary: list[int]) -> pa.Schema:
    for index in binary:
        schema = schema.set(index, schema.field(index).with_type(pa.binary()))
    return schema


def _decoded(batch: pa.RecordBatch, binary: list[int]) -> pa.RecordBatch:
    """With what arrived as `\\x00ff` turned into bytes."""
    for index in binary:
        texts = batch.column(index).to_pylist()
        values = [None if text is None else bytes.fromhex(text[2:]) for text in texts]
        batch = batch.set_column(
            index, pa.field(batch.schema.names[index], pa.binary()), pa.array(values, pa.binary())
        )
    return batch


def _unfit(where: str, schema: pa.Schema, text: str) -> WorkFailed:
    if match := re.search(r"column #(\d+): .*conversion error to ([^:]+): invalid value '(.*)'", text, re.S):
        what = f"column {schema.names[int(match[1])]!r}: {match[3]!r} does not fit {match[2]}"
        return WorkFailed(where, what, "leave it out, or cast it in the query")
    if match := re.search(r"column #(\d+): (.*)", text, re.S):
        return WorkFailed(
            where, f"column {schema.names[int(match[1])]!r}: {match[2]}", "cast it in the query"
        )
    if "straddl" in text:
        return WorkFailed(where, f"a row is longer than {BLOCK_BYTES >> 20} MB", "leave out the long column")
    return WorkFailed(where, text, "cast the column to text in the query")

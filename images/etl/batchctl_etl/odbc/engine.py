"""A database behind an ODBC driver as a target: one connection, one transaction from the stage to the ledger.

The stage is a temporary table, filled by bulk insertion; it goes with the transaction or the connection.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import arrow_odbc  # type: ignore[import-untyped]
import pyarrow as pa

from batchctl_etl.config.odbc import OdbcSink
from batchctl_etl.config.table import LEDGER
from batchctl_etl.errors import WorkFailed
from batchctl_etl.odbc.connection import connect, odbc_errors
from batchctl_etl.odbc.dialects import database_of
from batchctl_etl.odbc.row_number import ROW
from batchctl_etl.tables.statements import quoted

CHUNK_ROWS = 1024
"""Rows that one call hands to the driver."""
LONGEST_ANSWER = 4000


class OdbcEngine:
    """The database that the sink's variable names."""

    def __init__(self, sink: OdbcSink, *, where: str) -> None:
        self._database = database_of(sink.dialect, sink.db_schema)
        self.dialect = self._database.dialect
        self._table = sink.table
        self._where = where
        self._connection = connect(sink.dsn_env, key="sink.dsn_env")
        for statement in self._database.beginning(sink.lock_timeout_seconds):
            self.query(statement)

    def close(self) -> None:
        with suppress(arrow_odbc.Error):
            self._connection.rollback()

    def stage(self, reader: pa.RecordBatchReader) -> dict[str, str]:
        columns = {field.name: self._declared(field) for field in reader.schema}
        self.query(self._database.stage_creation(columns | {ROW: "BIGINT"}))
        stored = self._database.stored_schema(reader.schema)
        # The library writes names into its INSERT as they are.
        schema = pa.schema(
            [*(pa.field(quoted(field.name), field.type) for field in stored), (quoted(ROW), pa.int64())]
        )
        failure: list[WorkFailed] = []
        numbered = pa.RecordBatchReader.from_batches(schema, self._numbered(reader, schema, failure))
        try:
            with odbc_errors(self._where):
                self._connection.insert_into_table(numbered, self.dialect.stage, CHUNK_ROWS)
        except WorkFailed as error:
            raise (failure or [error])[0] from error
        return columns

    def _declared(self, field: pa.Field) -> str:
        declared = self._database.declared_type(field.type)
        if declared is None:
            what = f"column {field.name!r} is {field.type}, which has no place in a table here"
            raise WorkFailed(self._where, what, "take it apart, or cast it, in the transform")
        return declared

    def _numbered(
        self, reader: pa.RecordBatchReader, schema: pa.Schema, failure: list[WorkFailed]
    ) -> Iterator[pa.RecordBatch]:
        before = 0
        try:
            for batch in reader:
                columns = [
                    self._database.stored(column, field.type)
                    for column, field in zip(batch.columns, schema, strict=False)
                ]
                numbers = pa.array(range(before, before + batch.num_rows), pa.int64())
                before += batch.num_rows
                yield pa.RecordBatch.from_arrays([*columns, numbers], schema=schema)
        except WorkFailed as error:
            failure.append(error)
            raise
        except pa.ArrowException as error:
            failure.append(WorkFailed(self._where, str(error), "cast the column in the transform"))
            raise failure[0] from error

    def query(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        texts = [str(value) for value in parameters] or None
        with odbc_errors(self._where):
            if not sql.startswith("SELECT"):
                self._connection.execute(sql, parameters=texts)
                return []
            reader = self._connection.read_arrow_batches(
                sql, parameters=texts, max_text_size=LONGEST_ANSWER, fetch_concurrently=False
            )
            return [
                row for batch in reader for row in zip(*(c.to_pylist() for c in batch.columns), strict=True)
            ]

    def has_target(self) -> bool:
        return bool(self.columns(self._table))

    @contextmanager
    def attached(self) -> Iterator[None]:
        try:
            for name in (LEDGER, self._table):
                for statement in self._database.waiting_for_others(name):
                    self.query(statement)
            yield
            with odbc_errors(self._where):
                self._connection.commit()
        except BaseException:
            with suppress(arrow_odbc.Error):
                self._connection.rollback()
            raise

    def columns(self, table: str) -> dict[str, str]:
        sql, parameters = self._database.columns_query(table)
        return {row[0]: row[1] for row in self.query(sql, *parameters)}

    def fits(self, source: str, table: str) -> bool:
        return self._database.fits(source, table)

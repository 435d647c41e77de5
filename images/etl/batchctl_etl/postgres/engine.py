"""PostgreSQL as a target: one connection, one transaction from the stage to the ledger.

The stage is a temporary table, filled by COPY in binary; nobody else sees it and it goes with the transaction.
Loads into one table wait for each other; readers of it wait for nobody and see the old rows until the commit.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
import pyarrow as pa

from batchctl_etl.ahead import ahead
from batchctl_etl.config.table import LEDGER
from batchctl_etl.errors import WorkFailed
from batchctl_etl.postgres.connection import connect, postgres_errors, postgres_extra
from batchctl_etl.postgres.types import declared_type, fits_declared, is_parsed
from batchctl_etl.tables.statements import Dialect, quoted, table_creation

PIECE_ROWS = 2_048
"""Sent at once: the server holds a message whole, and large ones cost it a fifth more time."""
PIECES_AHEAD = 16


class PostgresEngine:
    """The schema `schema` of the database that the variable `dsn_env` names."""

    def __init__(
        self, dsn_env: str, *, schema: str, table: str, where: str, lock_timeout_seconds: float
    ) -> None:
        self.dialect = Dialect(
            stage="pg_temp.stage",
            target=f"{quoted(schema)}.",
            row="ctid",
            parameter="%s",
            is_parsed=is_parsed,
        )
        self._schema = schema
        self._table = table
        self._where = where
        self._connection = connect(dsn_env, key="sink.dsn_env")
        try:
            self.query(f"SET lock_timeout = {max(int(lock_timeout_seconds * 1000), 1)}")
            self.query("BEGIN")
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        self._connection.close()

    def stage(self, reader: pa.RecordBatchReader) -> dict[str, str]:
        columns = self._columns_of(reader.schema)
        self.query(table_creation("pg_temp.stage", columns) + " ON COMMIT DROP")
        self._copy(reader, "pg_temp.stage", columns)
        return columns

    def takes(self, schema: pa.Schema, table: str) -> bool:
        wanted, there = self._columns_of(schema), self.columns(table)
        return not there or there == wanted

    def copy(self, reader: pa.RecordBatchReader, table: str) -> int:
        columns, target = self._columns_of(reader.schema), self.dialect.table(table)
        if not self.columns(table):
            self.query(table_creation(target, columns))
        return self._copy(reader, target, columns)

    def _copy(self, reader: pa.RecordBatchReader, table: str, columns: Iterable[str]) -> int:
        with postgres_extra():
            from pgpq import ArrowToPostgresBinaryEncoder

        encoder, rows = ArrowToPostgresBinaryEncoder(reader.schema), 0

        def encoded() -> Iterator[bytes]:
            nonlocal rows
            yield encoder.write_header()
            for batch in reader:
                rows += batch.num_rows
                for start in range(0, batch.num_rows, PIECE_ROWS):
                    yield encoder.write_batch(batch.slice(start, PIECE_ROWS))
            yield encoder.finish()

        names = ", ".join(map(quoted, columns))
        with (
            ahead(encoded(), PIECES_AHEAD) as pieces,
            postgres_errors(self._where),
            self._connection.cursor() as cursor,
            cursor.copy(f"COPY {table} ({names}) FROM STDIN (FORMAT binary)".encode()) as copy,
        ):
            for piece in pieces:
                copy.write(piece)
        return rows

    def _columns_of(self, schema: pa.Schema) -> dict[str, str]:
        return {field.name: self._declared(field) for field in schema}

    def _declared(self, field: pa.Field) -> str:
        declared = declared_type(field.type)
        if declared is None:
            what = f"column {field.name!r} is {field.type}, which has no place in a table here"
            raise WorkFailed(self._where, what, "take it apart, or cast it, in the transform")
        return declared

    def query(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with postgres_errors(self._where):
            cursor = self._connection.execute(sql.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []

    def has_target(self) -> bool:
        return bool(self.columns(self._table))

    @contextmanager
    def attached(self) -> Iterator[None]:
        name = f"{self._schema}.{self._table}"
        try:
            # These are locks among loads, also for tables that do not exist yet; they end with the transaction.
            if not self.columns(LEDGER):
                self._wait_for_others(LEDGER)
            self._wait_for_others(name)
            if self.columns(self._table):
                table = f"{quoted(self._schema)}.{quoted(self._table)}"
                self.query(f"LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE")
            yield
            self.query("COMMIT")
        except BaseException:
            with suppress(WorkFailed, psycopg.Error):
                self._connection.execute("ROLLBACK")
            raise

    def _wait_for_others(self, name: str) -> None:
        self.query("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", f"batchctl-etl {name}")

    def columns(self, table: str) -> dict[str, str]:
        found = self.query(
            "SELECT a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a "
            "JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE n.nspname = %s AND c.relname = %s AND c.relkind IN ('r', 'p') AND a.attnum > 0 "
            "AND NOT a.attisdropped AND a.attgenerated = '' ORDER BY a.attnum",
            self._schema,
            table,
        )
        return {row[0]: row[1] for row in found}

    def fits(self, source: str, table: str) -> bool:
        return fits_declared(source, table)

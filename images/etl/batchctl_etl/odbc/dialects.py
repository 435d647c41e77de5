"""What differs between the databases that are written to through ODBC. Pure: text in, text out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds

from batchctl_etl.config.odbc import SqlDialect
from batchctl_etl.odbc.moments import is_zoned, zoned_text
from batchctl_etl.odbc.mssql import SqlServer
from batchctl_etl.odbc.row_number import ROW
from batchctl_etl.postgres import types as postgres_types
from batchctl_etl.tables import sqlite_types
from batchctl_etl.tables.statements import Dialect, quoted, table_creation


class Database(Protocol):
    """One kind of database."""

    @property
    def dialect(self) -> Dialect:
        """Its statements."""

    def beginning(self, lock_timeout_seconds: float) -> list[str]:
        """Statements for a new connection."""

    def stage_creation(self, columns: Mapping[str, str]) -> str:
        """CREATE the temporary table `dialect.stage`."""

    def declared_type(self, kind: pa.DataType) -> str | None:
        """The type to declare for Arrow's; `None` for types without a place in a table."""

    def stored_schema(self, schema: pa.Schema) -> pa.Schema:
        """The Arrow types that the driver is given."""

    def stored(self, column: pa.Array, kind: pa.DataType) -> pa.Array:
        """A column as the driver is given it. Raises `pa.ArrowException`."""

    def waiting_for_others(self, table: str, /) -> list[str]:
        """Statements that let loads of one table wait for each other until the transaction ends."""

    def columns_query(self, table: str) -> tuple[str, list[str]]:
        """SELECT names and types of a table's columns, and its parameters."""

    def fits(self, source: str, table: str) -> bool:
        """Whether a declared type goes into a column of a type unchanged, or fails by itself."""


def database_of(dialect: SqlDialect, schema: str | None) -> Database:
    """The database of a configured dialect and schema."""
    if dialect is SqlDialect.MSSQL:
        return SqlServer(schema or "dbo")
    return Postgres(schema or "public") if dialect is SqlDialect.POSTGRESQL else Sqlite()


@dataclass(frozen=True)
class Postgres:
    """PostgreSQL, whose types and column query are those of the sink `postgres`."""

    schema: str

    @property
    def dialect(self) -> Dialect:
        return Dialect(
            stage="pg_temp.stage",
            target=f"{quoted(self.schema)}.",
            row=quoted(ROW),
            is_parsed=postgres_types.is_parsed,
        )

    def beginning(self, lock_timeout_seconds: float) -> list[str]:
        return ["SET TIME ZONE 'UTC'", f"SET lock_timeout = {max(int(lock_timeout_seconds * 1000), 1)}"]

    def stage_creation(self, columns: Mapping[str, str]) -> str:
        return table_creation("pg_temp.stage", columns) + " ON COMMIT DROP"

    def declared_type(self, kind: pa.DataType) -> str | None:
        return postgres_types.declared_type(kind)

    def stored_schema(self, schema: pa.Schema) -> pa.Schema:
        return pa.schema([field.with_type(_carried(field.type)) for field in schema])

    def stored(self, column: pa.Array, kind: pa.DataType) -> pa.Array:
        if kinds.is_string(kind) and pc.any(pc.match_substring(column.cast(kind), "\0")).as_py():
            raise pa.ArrowInvalid("a text holds a zero byte, where PostgreSQL's driver would end it")
        return zoned_text(column) if is_zoned(column.type) else column.cast(kind)

    def waiting_for_others(self, table: str) -> list[str]:
        name = f"batchctl-etl {self.schema}.{table}".replace("'", "''")
        # Its answer is of the type void, which not every driver reads.
        return [f"DO $$ BEGIN PERFORM pg_advisory_xact_lock(hashtextextended('{name}', 0)); END $$"]

    def columns_query(self, table: str) -> tuple[str, list[str]]:
        return (
            "SELECT CAST(a.attname AS varchar(200)), CAST(format_type(a.atttypid, a.atttypmod) AS varchar(200)) "
            "FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE n.nspname = ? AND c.relname = ? AND c.relkind IN ('r', 'p') AND a.attnum > 0 "
            "AND NOT a.attisdropped AND a.attgenerated = '' ORDER BY a.attnum",
            [self.schema, table],
        )

    def fits(self, source: str, table: str) -> bool:
        return postgres_types.fits_declared(source, table)


@dataclass(frozen=True)
class Sqlite:
    """SQLite, which keeps what it has no kind for as text, as the sink `sqlite` does."""

    @property
    def dialect(self) -> Dialect:
        return Dialect(stage="temp.stage", target="main.", row=quoted(ROW))

    def beginning(self, lock_timeout_seconds: float) -> list[str]:
        return [f"PRAGMA busy_timeout = {int(lock_timeout_seconds * 1000)}"]

    def stage_creation(self, columns: Mapping[str, str]) -> str:
        return table_creation("temp.stage", columns)

    def declared_type(self, kind: pa.DataType) -> str | None:
        # Its driver takes bytes to be as many as those of a row before.
        is_bytes = kinds.is_binary(kind) or kinds.is_large_binary(kind) or kinds.is_fixed_size_binary(kind)
        return None if is_bytes else sqlite_types.declared_type(kind)

    def stored_schema(self, schema: pa.Schema) -> pa.Schema:
        return pa.schema([field.with_type(_kept_by_sqlite(field.type)) for field in schema])

    def stored(self, column: pa.Array, kind: pa.DataType) -> pa.Array:
        if kinds.is_string(kind) and not kinds.is_string(column.type):
            return pa.array(sqlite_types.stored_values(column), pa.string())
        return column.cast(kind)

    def waiting_for_others(self, _table: str) -> list[str]:
        return []  # SQLite has one writer at a time.

    def columns_query(self, table: str) -> tuple[str, list[str]]:
        return "SELECT name, type FROM pragma_table_info(?)", [table]

    def fits(self, source: str, table: str) -> bool:
        return sqlite_types.fits_declared(source, table)


def _carried(kind: pa.DataType) -> pa.DataType:
    """The type in which a value goes to the driver unchanged."""
    if is_zoned(kind):
        return pa.string()
    if kinds.is_large_binary(kind):
        return pa.binary()
    return pa.decimal128(20, 0) if kinds.is_uint64(kind) else pa.int64() if kinds.is_uint32(kind) else kind


def _kept_by_sqlite(kind: pa.DataType) -> pa.DataType:
    if kinds.is_decimal(kind) or kinds.is_temporal(kind):
        return pa.string()
    if kinds.is_integer(kind):
        return pa.int64()
    return pa.float64() if kinds.is_floating(kind) else kind

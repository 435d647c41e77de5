"""Rows of a whole table, read over several connections at once by DuckDB's reader for PostgreSQL, in one snapshot.

Only where that gives the values that COPY gives: tables and types of which it is known, and what it gets wrong is
found. It makes 0 of a numeric NaN: whether a zero is one is asked of the server. Infinite dates and times, and those
outside of the years 1 to 9999, arrive as numbers out of range, and are errors.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds

from batchctl_etl.config.secrets import variable
from batchctl_etl.errors import WorkFailed
from batchctl_etl.postgres.types import BPCHAR, BYTEA, NUMERIC
from batchctl_etl.tables.statements import literal, quoted

if TYPE_CHECKING:
    import psycopg

BATCH_ROWS = 32_768
NO_MODIFIER = -1
"""Of a `bpchar` without a length, which keeps the blanks at its end; DuckDB takes them off."""
CONNECTIONS = 4
"""At most; fewer on a machine with fewer cores."""
_WHOLE = re.compile(r'SELECT\s+\*\s+FROM\s+((?:(?:\w|\$)+|"[^"]+")(?:\.(?:(?:\w|\$)+|"[^"]+"))?)', re.I)
_FUNCTION = re.compile(
    "current_(catalog|date|role|schema|time|timestamp|user)|localtime|localtimestamp|session_user|system_user|user",
    re.I,
)
"""Words that a query without quotes asks a function with, whatever tables there are."""
_EXACT = {16, 21, 23, 20, 700, 701, 1082, 1114, 1184, 25, 1043, BPCHAR, BYTEA, NUMERIC}
"""Types that arrive as they are, or are mended or checked here."""
_TABLE = """
SELECT n.nspname, c.relname, array_agg(a.attname::text ORDER BY a.attnum),
  array_agg(a.atttypid ORDER BY a.attnum), array_agg(a.atttypmod ORDER BY a.attnum)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.oid = to_regclass(%s) AND c.relkind = 'r' AND c.relpersistence <> 't' AND NOT c.relhassubclass
  AND a.attnum > 0 AND NOT a.attisdropped AND current_setting('server_encoding') = 'UTF8'
GROUP BY 1, 2
"""
_DAYS = (-719_162, 2_932_896)
_MICROSECONDS = (-62_135_596_800_000_000, 253_402_300_799_999_999)
"""From 1970 to the first and to the last of the years 1 to 9999."""


@dataclass(frozen=True, kw_only=True)
class WholeTable:
    """A table of which all rows are wanted: its columns' types by object id, their modifiers, and Arrow's types."""

    schema: str
    table: str
    kinds: tuple[int, ...]
    modifiers: tuple[int, ...]
    arrow: pa.Schema

    @property
    def name(self) -> str:
        """As SQL."""
        return f"{quoted(self.schema)}.{quoted(self.table)}"

    @property
    def numerics(self) -> list[str]:
        """The columns in which there may be NaN."""
        return [name for name, kind in zip(self.arrow.names, self.kinds, strict=True) if kind == NUMERIC]


def whole_table(connection: "psycopg.Connection", query: str, schema: pa.Schema) -> WholeTable | None:
    """The table that `query`, whose rows have `schema`, asks for as it is; `None` if it is to be read otherwise."""
    if (match := _WHOLE.fullmatch(query.strip())) is None or _FUNCTION.fullmatch(match[1]):
        return None
    found = connection.execute(_TABLE, (match[1],)).fetchone()
    if found is None:
        return None
    namespace, table, names, types, modifiers = found
    # DuckDB knows no case: it has another name for one of the columns `A` and `a`.
    is_known = names == schema.names and len({name.lower() for name in names}) == len(names)
    if (
        not is_known
        or not set(types) <= _EXACT
        or (BPCHAR, NO_MODIFIER) in zip(types, modifiers, strict=True)
    ):
        return None
    return WholeTable(
        schema=namespace, table=table, kinds=tuple(types), modifiers=tuple(modifiers), arrow=schema
    )


class TableScan:
    """One reading of the table, in a read-only transaction of its own. To be closed."""

    def __init__(self, table: WholeTable, dsn_env: str, *, key: str, where: str) -> None:
        import duckdb

        self._table = table
        self._where = where
        self._dsn = _connection_string(variable(dsn_env, key=key))
        self._zeros: set[str] = set()
        self.bytes = 0
        threads = min(os.cpu_count() or 1, CONNECTIONS)
        self._duckdb = duckdb.connect(config={"threads": threads, "python_enable_replacements": False})
        try:
            with self._translated():
                self._duckdb.execute(
                    f"LOAD '{_extension()}'; SET TimeZone = 'UTC'; SET preserve_insertion_order = false"
                )
                options = f"TYPE postgres, READ_ONLY, SCHEMA {literal(table.schema)}"
                self._duckdb.execute(f"ATTACH {literal(self._dsn)} AS source ({options}); BEGIN")
        except BaseException:
            self.close()
            raise

    def rows(self) -> pa.RecordBatchReader:
        """All rows, good if they are read to the end: NaN is found there. Raises `WorkFailed`, now or while reading."""
        columns = ", ".join(
            f"rpad({quoted(name)}, {modifier - 4}, ' ') AS {quoted(name)}" if kind == BPCHAR else quoted(name)
            for name, kind, modifier in zip(
                self._table.arrow.names, self._table.kinds, self._table.modifiers, strict=True
            )
        )
        with self._translated():
            found = self._duckdb.sql(f"SELECT {columns} FROM source.{self._table.name}")
            reader = found.to_arrow_reader(BATCH_ROWS)
        expected = self._table.arrow
        if reader.schema.types != expected.types:
            raise WorkFailed(self._where, "the table has changed while it was opened", "run the task again")
        return pa.RecordBatchReader.from_batches(expected, self._checked(reader))

    def _checked(self, reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        while True:
            with self._translated():
                try:
                    batch = reader.read_next_batch()
                except StopIteration:
                    break
            self._check(batch)
            self.bytes += batch.nbytes
            yield batch
        self._check_zeros()

    def _check(self, batch: pa.RecordBatch) -> None:
        for field, column in zip(batch.schema, batch.columns, strict=True):
            if (kinds.is_date(field.type) or kinds.is_timestamp(field.type)) and not _is_usual(column):
                what = f"column {field.name!r} holds an infinite value, or a year before 1 or after 9999"
                raise WorkFailed(self._where, what, f"no {field.type} holds it: cast it in the query")
        for name in self._table.numerics:
            if name not in self._zeros and _has_zero(batch.column(name)):
                self._zeros.add(name)

    def _check_zeros(self) -> None:
        """Raise `WorkFailed` if one of the zeros is NaN. The snapshot is that of the rows: it is one transaction."""
        if not self._zeros:
            return
        names = sorted(self._zeros)
        asked = ", ".join(f"bool_or({quoted(name)} = 'NaN') AS c{at}" for at, name in enumerate(names))
        query = f"SELECT {asked} FROM {self._table.name}"
        with self._translated():
            found = self._duckdb.execute(f"FROM postgres_query('source', {literal(query)})").fetchone()
        assert found is not None
        for name, is_nan in zip(names, found, strict=True):
            if is_nan:
                raise WorkFailed(
                    self._where, f"column {name!r} holds NaN, which no decimal is", "cast it in the query"
                )

    def close(self) -> None:
        """End the reading, whether or not all was read."""
        import duckdb

        self._duckdb.interrupt()
        # A transaction that is left to be rolled back when its connection is lost ends the process.
        with suppress(duckdb.Error):
            self._duckdb.execute("ROLLBACK")
        self._duckdb.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        import duckdb

        try:
            yield
        except (duckdb.Error, OSError, RuntimeError, pa.ArrowException) as error:
            raise WorkFailed(self._where, *_explained(str(error), self._dsn)) from None


def _is_usual(column: pa.Array) -> bool:
    """Whether all days or moments are of the years 1 to 9999."""
    first, last = _DAYS if kinds.is_date(column.type) else _MICROSECONDS
    ends = pc.min_max(column.view(pa.int32() if kinds.is_date(column.type) else pa.int64()))
    return not ends["min"].is_valid or bool(first <= ends["min"].as_py() and ends["max"].as_py() <= last)


def _has_zero(column: pa.Array) -> bool:
    # A plain 0 would be made a decimal of 19 digits before the point, for which there may be no room.
    return bool(pc.any(pc.equal(column, pa.scalar(Decimal(0), column.type))).as_py())


def _connection_string(dsn: str) -> str:
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    parts = conninfo_to_dict(dsn)
    timeout = parts.get("connect_timeout") or "30"
    return make_conninfo(dsn, application_name="batchctl-etl", connect_timeout=timeout)


def _extension() -> Path:
    import duckdb_extension_postgres_scanner as package  # type: ignore[import-untyped]

    return next(Path(package.__file__).parent.glob("extensions/*/postgres_scanner.duckdb_extension"))


def _explained(text: str, dsn: str) -> tuple[str, str]:
    """What DuckDB says, and what to do, without the connection string, which it likes to quote."""
    from psycopg.conninfo import conninfo_to_dict

    hidden = text.replace(dsn, "…")
    if password := conninfo_to_dict(dsn).get("password"):
        hidden = hidden.replace(str(password), "…")
    said = re.split(r"(?:ERROR|FATAL):\s+", hidden.strip())[-1].splitlines()[0]
    if "ERROR:" in text:
        return said, "check the table, and run the task again"
    return f"the connection is lost: {said}", "check the server, and run the task again"

"""SQLite as a target. The stage is SQLite's own temporary database, which spills to disk and is gone with its
connection."""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa

from batchctl_etl.errors import WorkFailed
from batchctl_etl.storage.streams import disk_errors
from batchctl_etl.tables.sqlite_types import declared_type, fits_declared, stored_values
from batchctl_etl.tables.statements import Dialect, table_creation

_REMEDIES = {
    "SQLITE_BUSY": "another process has the database; end it, or try later",
    "SQLITE_LOCKED": "another process has the database; end it, or try later",
    "SQLITE_NOTADB": "the file is not SQLite's; name another",
    "SQLITE_CANTOPEN": "check the path and its permissions",
    "SQLITE_READONLY": "check the permissions",
    "SQLITE_FULL": "free some space",
}


class SqliteEngine:
    """A private stage, and a target in the file `path`."""

    def __init__(self, path: Path, *, where: str, lock_timeout_seconds: float) -> None:
        self.dialect = Dialect()
        self._path = path.absolute()
        self._where = where
        self._connection = sqlite3.connect("", isolation_level=None, timeout=lock_timeout_seconds)
        self._connection.execute("PRAGMA main.journal_mode = OFF")

    def close(self) -> None:
        self._connection.close()

    def stage(self, reader: pa.RecordBatchReader) -> dict[str, str]:
        columns = {field.name: self._declared(field) for field in reader.schema}
        self.query(table_creation("main.stage", columns))
        insertion = f"INSERT INTO main.stage VALUES ({', '.join('?' * len(columns))})"
        self.query("BEGIN")
        for batch in reader:
            self._insert(insertion, zip(*self._stored(batch), strict=True))
        self.query("COMMIT")
        return columns

    def _declared(self, field: pa.Field) -> str:
        declared = declared_type(field.type)
        if declared is None:
            what = f"column {field.name!r} is {field.type}, which SQLite has no place for"
            raise WorkFailed(self._where, what, "take it apart, or cast it to text, in the transform")
        return declared

    def _stored(self, batch: pa.RecordBatch) -> Iterator[list[Any]]:
        for field, column in zip(batch.schema, batch.columns, strict=True):
            try:
                yield stored_values(column)
            except pa.ArrowException as error:
                what = f"column {field.name!r}: {error}"
                raise WorkFailed(self._where, what, "cast it in the transform") from error

    def _insert(self, insertion: str, rows: Iterable[tuple[Any, ...]]) -> None:
        with self._translated():
            self._connection.executemany(insertion, rows)

    def query(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with self._translated():
            return self._connection.execute(sql, parameters).fetchall()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorname", "")
            primary = "_".join(code.split("_")[:2])
            raise WorkFailed(self._where, str(error), _REMEDIES.get(primary, "")) from error

    def has_target(self) -> bool:
        return self._path.exists()

    @contextmanager
    def attached(self) -> Iterator[None]:
        with disk_errors(str(self._path.parent), "made"):
            self._path.parent.mkdir(parents=True, exist_ok=True)
        self.query("ATTACH ? AS target", str(self._path))
        try:
            self.query("BEGIN IMMEDIATE")
            try:
                yield
                self.query("COMMIT")
            except BaseException:
                with suppress(WorkFailed):
                    self.query("ROLLBACK")
                raise
        finally:
            self.query("DETACH target")

    def columns(self, table: str) -> dict[str, str]:
        return {
            row[0]: row[1]
            for row in self.query("SELECT name, type FROM pragma_table_info(?, 'target')", table)
        }

    def fits(self, source: str, table: str) -> bool:
        return fits_declared(source, table)

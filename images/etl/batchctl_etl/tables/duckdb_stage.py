"""Rows kept in a private DuckDB database on disk, to be looked at before the target is touched."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from batchctl_etl.errors import WorkFailed
from batchctl_etl.tables.statements import Dialect
from batchctl_etl.tables.watched import Watched

BATCH_ROWS = 65_536


class DuckdbStage:
    """The table `main.stage` of a database in `folder`, which is the caller's to delete."""

    def __init__(self, folder: Path, *, where: str, memory_limit: str = "1GB") -> None:
        self.dialect = Dialect()
        self._where = where
        config: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": memory_limit,
            "temp_directory": str(folder / "spill"),
            "autoinstall_known_extensions": False,
            "python_enable_replacements": False,
        }
        self._connection = duckdb.connect(folder / "stage.duckdb", config=config)
        self._connection.execute("SET TimeZone = 'UTC'")

    def close(self) -> None:
        """Nothing of it is good any longer."""
        self._connection.close()

    def stage(self, reader: pa.RecordBatchReader) -> dict[str, str]:
        """Keep all rows, in order; their columns and types. Raises `WorkFailed`."""
        watched = Watched(reader)
        self._connection.register("incoming", watched.reader)
        try:
            self.query("CREATE TABLE main.stage AS SELECT * FROM incoming")
        except WorkFailed as error:
            raise (watched.failure or error) from error
        finally:
            self._connection.unregister("incoming")
        return {row[0]: row[1] for row in self.query("DESCRIBE main.stage")}

    def query(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Run one statement; its rows. Raises `WorkFailed`."""
        with self._translated():
            return self._connection.execute(sql, parameters).fetchall()

    def rows(self, sql: str, incoming: pa.RecordBatchReader | None = None) -> pa.RecordBatchReader:
        """The rows of `sql`, made as they are read; it may read `incoming` once. Raises `WorkFailed`."""
        if incoming is not None:
            self._connection.register("incoming", incoming)
        with self._translated():
            reader = self._connection.sql(sql).to_arrow_reader(BATCH_ROWS)
        return pa.RecordBatchReader.from_batches(reader.schema, self._batches(reader))

    def _batches(self, reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        with self._translated():
            yield from reader

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            raise WorkFailed(self._where, str(error), remedy(error)) from error


def remedy(error: Exception) -> str:
    """What the user can do about what DuckDB says."""
    text = str(error)
    if "No space left" in text or "disk quota" in text.lower():
        return "free some space"
    if "onstraint" in text:
        return 'correct the rows in the transform, or use mode "merge" if they are there already'
    return ""

"""`etl show FILE [SQL]`: rows of a database or of data files, as a table for people. It changes nothing."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb

from batchctl_etl.errors import WorkFailed
from batchctl_etl.tables.statements import quoted

_READERS = {".parquet": "read_parquet", ".csv": "read_csv", ".jsonl": "read_json", ".json": "read_json"}


def show(path: str, sql: str | None, *, rows: int) -> list[str]:
    """Lines of a table with at most `rows` rows of the SELECT `sql`; without one, of the first table, or of the file.

    In `sql`, a data file or a folder of Parquet files is called `data`. Raises WorkFailed with what to do.
    """
    file = Path(path)
    if not file.exists():
        raise WorkFailed(path, "there is no such file", "look at the pipeline's sink")
    try:
        names, found = _sqlite(file, sql, rows) if _is_sqlite(file) else _duckdb(file, sql, rows)
    except (duckdb.Error, sqlite3.Error) as error:
        raise WorkFailed(path, str(error)) from None
    return lines_of(names, found)


def _duckdb(file: Path, sql: str | None, rows: int) -> tuple[list[str], list[tuple[Any, ...]]]:
    suffix = ".parquet" if file.is_dir() else file.suffix
    if suffix in _READERS:
        place = str(file / "**" / "*.parquet") if file.is_dir() else str(file)
        with duckdb.connect() as database:
            database.execute(
                f"CREATE VIEW data AS SELECT * FROM {_READERS[suffix]}('{place.replace(chr(39), chr(39) * 2)}')"
            )
            return _rows(database, sql or "SELECT * FROM data", rows)
    with duckdb.connect(str(file), read_only=True) as database:
        if sql is None:
            tables = database.execute(
                "SELECT name FROM (SHOW TABLES) WHERE name NOT LIKE '\\_%' ESCAPE '\\'"
            ).fetchall()
            if not tables:
                raise WorkFailed(str(file), "it has no tables")
            sql = f"SELECT * FROM {quoted(tables[0][0])}"
        return _rows(database, sql, rows)


def _rows(
    database: duckdb.DuckDBPyConnection, sql: str, rows: int
) -> tuple[list[str], list[tuple[Any, ...]]]:
    result = database.execute(sql)
    return [column[0] for column in result.description or []], result.fetchmany(rows)


def _is_sqlite(file: Path) -> bool:
    if file.is_dir():
        return False
    with file.open("rb") as stream:
        return stream.read(16) == b"SQLite format 3\0"


def _sqlite(file: Path, sql: str | None, rows: int) -> tuple[list[str], list[tuple[Any, ...]]]:
    database = sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)
    try:
        if sql is None:
            found = database.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_%' ESCAPE '\\' ORDER BY rowid"
            ).fetchone()
            if found is None:
                raise WorkFailed(str(file), "it has no tables")
            sql = f"SELECT * FROM {quoted(found[0])}"
        result = database.execute(sql)
        return [column[0] for column in result.description], result.fetchmany(rows)
    finally:
        database.close()


def lines_of(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """The rows as lines of a table for people, numbers to the right."""
    cells = [list(names), *[["" if value is None else str(value) for value in row] for row in rows]]
    numbers = [all(isinstance(row[i], int | float) for row in rows) for i in range(len(names))]
    widths = [max(len(line[i]) for line in cells) for i in range(len(names))]
    return [
        "   ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(line, widths, numbers, strict=True)
        ).rstrip()
        for line in cells
    ]

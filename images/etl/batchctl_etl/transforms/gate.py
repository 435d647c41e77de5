"""The quality gate: all rows are kept on disk until every check has seen them; then the good ones go on.

Checks are SQL over a temporary Parquet file. Those of level `error` stop everything, with every failed check
in the message; `quarantine` takes the bad rows out; `warn` is told.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import orjson
import pyarrow as pa
import pyarrow.parquet as arrow_parquet

from batchctl_etl.config.checks import Check, ForeignKey, Freshness, Level, RowCount, SqlCheck
from batchctl_etl.console import story
from batchctl_etl.errors import QualityFailed, WorkFailed
from batchctl_etl.readers.source import OpenRows
from batchctl_etl.tables.statements import listed, quoted
from batchctl_etl.transforms.check_sql import bad_condition, checked_columns, label, reference_table
from batchctl_etl.transforms.evidence import Evidence, age, count_result, freshness_result, moment
from batchctl_etl.transforms.quarantine import BadRows
from batchctl_etl.transforms.sql import View, without_drawing

BATCH_ROWS = 65_536


@contextmanager
def gated(
    reader: pa.RecordBatchReader,
    checks: Sequence[Check],
    *,
    bad: BadRows,
    memory_limit: str,
    results: list[dict[str, Any]],
    evidence: Evidence | None = None,
) -> Iterator[pa.RecordBatchReader]:
    """The rows that pass, good inside the block; `results` gets one entry for each check.

    Raises `QualityFailed` if a check of level `error` fails, `WorkFailed` if one cannot be made.
    """
    evidence = evidence or Evidence()
    _check_columns(checks, reader.schema)
    with tempfile.TemporaryDirectory(prefix="etl-") as folder:
        path = Path(folder) / "rows.parquet"
        count = _kept(reader, path)
        with _connected(path, memory_limit) as connection:
            for number, check in enumerate(checks):
                if isinstance(check, ForeignKey):
                    _add_keys(connection, check, number, evidence.keys[number])
            results += [
                _result(connection, check, number, count, evidence) for number, check in enumerate(checks)
            ]
            _judge(results)
            wrong = _wrong_rows(connection, checks, bad)
        with arrow_parquet.ParquetFile(path) as file:
            yield pa.RecordBatchReader.from_batches(reader.schema, _good(file, reader.schema, wrong, bad))


def _check_columns(checks: Sequence[Check], schema: pa.Schema) -> None:
    for check in checks:
        for name in checked_columns(check):
            if name not in schema.names:
                what = f"column {name!r} is not there"
                raise WorkFailed(f"check {label(check)}", what, f"the columns are {', '.join(schema.names)}")


def _kept(reader: pa.RecordBatchReader, path: Path) -> int:
    count = 0
    try:
        with arrow_parquet.ParquetWriter(path, reader.schema, compression="lz4") as writer:
            for batch in reader:
                writer.write_batch(batch)
                count += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        raise WorkFailed(
            "checks", f"the rows cannot be kept: {error}", "cast the column, or free space"
        ) from error
    return count


@contextmanager
def _connected(path: Path, memory_limit: str) -> Iterator[duckdb.DuckDBPyConnection]:
    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": memory_limit,
        "temp_directory": str(path.parent / "spill"),
        "python_enable_replacements": False,
    }
    place = str(path).replace("'", "''")
    with duckdb.connect(config=settings) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"SET allowed_paths = ['{place}']")
        connection.execute("SET enable_external_access = false; SET lock_configuration = true")
        connection.execute(f"CREATE VIEW rows AS SELECT * FROM read_parquet('{place}')")
        numbered = (
            f"SELECT *, file_row_number + 1 AS __row FROM read_parquet('{place}', file_row_number = true)"
        )
        connection.execute(f"CREATE VIEW numbered AS {numbered}")
        yield connection


def _add_keys(
    connection: duckdb.DuckDBPyConnection, check: ForeignKey, number: int, open_rows: OpenRows
) -> None:
    """Keep the keys that the check looks in, each once, as a table."""
    view, keys = View(open_rows), listed(check.key or check.columns)
    try:
        connection.register("__incoming", view)
        connection.execute(
            f"CREATE TABLE {reference_table(number)} AS SELECT DISTINCT {keys} FROM __incoming"
        )
        connection.unregister("__incoming")
    except (duckdb.Error, RuntimeError, OSError) as error:
        if view.failure is not None:
            raise view.failure from error
        raise WorkFailed(f"check {label(check)}", without_drawing(error), "correct the check") from error


def _result(
    connection: duckdb.DuckDBPyConnection, check: Check, number: int, count: int, evidence: Evidence
) -> dict[str, Any]:
    failed, first, more = 0, None, dict[str, Any]()
    if isinstance(check, RowCount):
        wrong, more = count_result(check, count, evidence.counts.get(number, ()))
        failed = int(wrong)
    elif isinstance(check, Freshness):
        at = check.at or evidence.at
        assert at is not None
        sql = f"SELECT epoch_us(max(CAST({quoted(check.column)} AS TIMESTAMPTZ))) FROM rows"
        wrong, more = freshness_result(check, moment(_asked(connection, check, sql)[0][0]), at)
        failed = int(wrong)
    elif isinstance(check, SqlCheck):
        query = check.query.strip().removesuffix(";")
        ((failed, first),) = _asked(
            connection, check, f"SELECT count(*), min(r::VARCHAR) FROM ({query}\n) AS r"
        )
    else:
        condition = bad_condition(check, number)
        ((failed, first),) = _asked(
            connection, check, f"SELECT count(*), min(__row) FROM numbered WHERE {condition}"
        )
    result: dict[str, Any] = {"check": label(check), "level": check.level.value, "rows": count}
    bad_status = {Level.WARN: "warned", Level.ERROR: "failed", Level.QUARANTINE: "quarantined"}
    result |= {"status": bad_status[check.level] if failed else "passed", "failed_rows": failed}
    return result | more | ({"first": first} if failed and first is not None else {})


def _asked(connection: duckdb.DuckDBPyConnection, check: Check, sql: str) -> list[tuple[Any, ...]]:
    try:
        statements = connection.extract_statements(sql)
        if len(statements) != 1:
            raise WorkFailed(f"check {label(check)}", "it is not one SELECT", "")
        try:
            return connection.execute(sql).fetchall()
        except duckdb.InterruptException:  # see `is_interrupted`
            return connection.execute(sql).fetchall()
    except duckdb.Error as error:
        raise WorkFailed(f"check {label(check)}", without_drawing(error), "correct the check") from error


def _judge(results: Sequence[dict[str, Any]]) -> None:
    for result in results:
        if result["status"] in {"warned", "quarantined"}:
            story(told(result))
    if failed := [result for result in results if result["status"] == "failed"]:
        raise QualityFailed([told(result) for result in failed], checks=list(results))


def told(result: dict[str, Any]) -> str:
    """A result as a line for people."""
    if result["check"].startswith("row_count"):
        before = f", and {result['before']:g} before" if result.get("before") is not None else ""
        return f"check {result['check']} {result['status']}: there are {result['rows']} rows{before}"
    if result["check"].startswith("freshness"):
        return f"check {result['check']} {result['status']}: {age(result)}"
    place = f", the first is row {result['first']}" if isinstance(result.get("first"), int) else ""
    place = f", such as {result['first']}" if isinstance(result.get("first"), str) else place
    return (
        f"check {result['check']} {result['status']}: {result['failed_rows']} of {result['rows']} rows{place}"
    )


def _wrong_rows(
    connection: duckdb.DuckDBPyConnection, checks: Sequence[Check], bad: BadRows
) -> dict[int, str]:
    """Number, from 1, of each row for the quarantine, and the check that it fails."""
    wrong: dict[int, str] = {}
    for number, check in enumerate(checks):
        if check.level is not Level.QUARANTINE:
            continue
        # One more than may be is enough to fail.
        limit = bad.max_rows - bad.count + 1
        sql = f"SELECT __row FROM numbered WHERE {bad_condition(check, number)} ORDER BY __row LIMIT {limit}"
        for (row,) in _asked(connection, check, sql):
            wrong.setdefault(row, label(check))
    return wrong


def _good(
    file: arrow_parquet.ParquetFile, schema: pa.Schema, wrong: dict[int, str], bad: BadRows
) -> Iterator[pa.RecordBatch]:
    before = 0
    for batch in file.iter_batches(batch_size=BATCH_ROWS):
        numbers = range(before + 1, before + batch.num_rows + 1)
        before += batch.num_rows
        good = batch.cast(schema)
        if wrong and any(number in wrong for number in numbers):
            for index, number in enumerate(numbers):
                if number in wrong:
                    row = {
                        name: _text(column[index].as_py())
                        for name, column in zip(schema.names, good.columns, strict=True)
                    }
                    bad.add(f"row {number}", f"check {wrong[number]}", orjson.dumps(row))
            good = good.filter(pa.array([number not in wrong for number in numbers]))
        yield good


def _text(value: Any) -> str | None:
    return None if value is None else str(value)

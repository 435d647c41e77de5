"""One SELECT over named streams of rows, run by DuckDB within a limit of memory.

The SELECT sees its inputs and nothing else: no files, no network, no extensions, no variables of this
process.
"""

import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import duckdb
import pyarrow as pa

from batchctl_etl.errors import EtlError, WorkFailed
from batchctl_etl.readers.source import OpenRows
from batchctl_etl.tables.statements import quoted
from batchctl_etl.transforms.names import check_names

BATCH_ROWS = 65_536
_SETTINGS = "SET TimeZone = 'UTC'; SET enable_external_access = false; SET lock_configuration = true"
Compiler = Callable[[Callable[[str], dict[str, str]]], str]
"""Makes a SELECT, with the help of a function that tells the columns and types of one (or raises
`ValueError`)."""


@contextmanager
def select(
    sql: str | Compiler, inputs: Mapping[str, OpenRows], *, memory_limit: str, threads: int | None = None
) -> Iterator[pa.RecordBatchReader]:
    """The rows of `sql` over `inputs`, made as they are read; the reader is good inside the block only.

    `sql` may be a function that is given a way to ask for the columns of a SELECT. Raises `WorkFailed` if it is
    not one SELECT, or fails, or an input cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="etl-") as folder:
        settings: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": memory_limit,
            "temp_directory": folder,
            "python_enable_replacements": False,
        }
        if threads is not None:
            settings["threads"] = threads
        with _translated({}):
            connection = duckdb.connect(config=settings)
        try:
            views = {name: View(open_rows) for name, open_rows in inputs.items()}
            with _translated(views):
                for name, view in views.items():
                    _register(connection, name, view)
                connection.execute(_SETTINGS)
                text = sql if isinstance(sql, str) else sql(lambda query: _columns(connection, query, views))
                reader = _relation(connection, text).to_arrow_reader(BATCH_ROWS)
            check_names(reader.schema)

            def again() -> None:
                deque(_relation(connection, text).to_arrow_reader(BATCH_ROWS), maxlen=0)

            yield pa.RecordBatchReader.from_batches(reader.schema, _batches(reader, views, again))
        finally:
            connection.close()


class View:
    """An input as DuckDB takes it: an object that gives a fresh Arrow stream each time it is scanned.

    An error that a stream raises reaches us as DuckDB's text only, so it is kept here.
    """

    def __init__(self, open_rows: OpenRows) -> None:
        self._open_rows = open_rows
        self._unread: pa.RecordBatchReader | None = None
        self._schema: pa.Schema | None = None
        self.failure: EtlError | None = None

    def __arrow_c_schema__(self) -> object:
        if self._schema is None:
            self._unread = self._opened()
            self._schema = self._unread.schema
        return self._schema.__arrow_c_schema__()

    @property
    def names(self) -> list[str]:
        """Of its columns, once it has been asked for its schema."""
        return self._schema.names if self._schema is not None else []

    @property
    def fractions(self) -> list[str]:
        """Those of its columns that hold floating-point numbers, as `names`."""
        return [field.name for field in self._schema or () if pa.types.is_floating(field.type)]

    def _opened(self) -> pa.RecordBatchReader:
        reader, self._unread = self._unread, None
        if reader is not None:
            return reader
        try:
            return self._open_rows()
        except EtlError as error:
            self.failure = error
            raise

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        reader = self._opened()
        kept = pa.RecordBatchReader.from_batches(reader.schema, self._kept(reader))
        return kept.__arrow_c_stream__(requested_schema)

    def _kept(self, reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        try:
            yield from reader
        except EtlError as error:
            self.failure = error
            raise


def _register(connection: duckdb.DuckDBPyConnection, name: str, view: View) -> None:
    """Let SQL see `view` as `name`. Conditions on fractions stay with DuckDB: it would let Arrow check those that it can,
    and to Arrow NaN is greater than nothing, and 0 is not in a list with -0."""
    connection.register(name, view)  # Asks for the schema: every input is opened, used or not.
    _check_case(name, view.names)
    if view.fractions:
        stream = f"the stream of {name}"
        connection.register(stream, view)
        columns = ", ".join(f"{quoted(column)} * 1 AS {quoted(column)}" for column in view.fractions)
        rows = f"SELECT * REPLACE ({columns}) FROM {quoted(stream)}"
        connection.execute(f"CREATE OR REPLACE TEMP VIEW {quoted(name)} AS {rows}")


def _check_case(view: str, names: list[str]) -> None:
    """SQL knows no case: DuckDB gives the first of such columns for both names."""
    seen: dict[str, str] = {}
    for name in names:
        first = seen.setdefault(name.lower(), name)
        if first != name:
            what = f"its columns {first!r} and {name!r} are one name in SQL"
            raise WorkFailed(f"input {view!r}", what, "rename one where it is made; of JSON, flatten")


def _columns(connection: duckdb.DuckDBPyConnection, sql: str, views: Mapping[str, View]) -> dict[str, str]:
    try:
        found = _relation(connection, sql)
        return dict(zip(found.columns, map(str, found.types), strict=True))
    except duckdb.Error as error:
        _raise_failure(views, error)
        raise ValueError(without_drawing(error)) from error
    except WorkFailed as error:
        raise ValueError("it is not one SELECT") from error


def _raise_failure(views: Mapping[str, View], error: Exception) -> None:
    failures = [view.failure for view in views.values() if view.failure is not None]
    if failures:
        raise failures[0] from error


def _relation(connection: duckdb.DuckDBPyConnection, sql: str) -> duckdb.DuckDBPyRelation:
    statements = connection.extract_statements(sql)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise WorkFailed(
            "sql", "it is not one SELECT", "a stage writes to its sink only; split the work into tasks"
        )
    return connection.sql(sql)


def _batches(
    reader: pa.RecordBatchReader, views: Mapping[str, View], again: Callable[[], None]
) -> Iterator[pa.RecordBatch]:
    """Of the reader. `again` asks for all of them once more, for the sake of the error."""
    while True:
        with _translated(views):
            try:
                batch = reader.read_next_batch()
            except StopIteration:
                return
            except OSError as error:
                _raise_failure(views, error)
                if is_interrupted(error):
                    again()
                raise
        yield batch


def is_interrupted(error: Exception) -> bool:
    """Is that all that DuckDB says? When one of its threads fails the others are interrupted, and once in some hundred times
    it tells what one of those has to say. Whoever asks again hears what went wrong."""
    return "INTERRUPT Error" in str(error)


@contextmanager
def _translated(views: Mapping[str, View]) -> Iterator[None]:
    try:
        yield
    except (duckdb.Error, pa.ArrowException, OSError, RuntimeError) as error:
        _raise_failure(views, error)
        remedy = f"the inputs are {', '.join(views)}" if isinstance(error, duckdb.CatalogException) else ""
        raise WorkFailed("sql", without_drawing(error), remedy) from error


def without_drawing(error: Exception) -> str:
    """DuckDB's message without the drawing of where in the line it is."""
    lines = [line for line in str(error).splitlines() if line.strip() and not line.strip().startswith("^")]
    return " ".join(lines)

"""The sinks of `etl load`: a folder of Parquet files, a file, a table of a database, a Delta table."""

import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from batchctl_etl.config.delta import DeltaSink
from batchctl_etl.config.load import FileSink, FolderSink, PostgresSink, TableSink
from batchctl_etl.config.odbc import OdbcSink
from batchctl_etl.config.values import Format
from batchctl_etl.identity import owner_mark
from batchctl_etl.report import Report
from batchctl_etl.storage.folders import folder_at
from batchctl_etl.storage.locations import FileLocation, location, shown
from batchctl_etl.storage.opening import written
from batchctl_etl.tables.load import Engine, TableLoad, load_table
from batchctl_etl.writers.folder import write_folder
from batchctl_etl.writers.rows import write_rows

TableLike = TableSink | PostgresSink | OdbcSink
Sink = FolderSink | FileSink | TableLike | DeltaSink


def into_sink(
    sink: Sink, reader: pa.RecordBatchReader, *, load_id: str, at: datetime, once: bool = False
) -> Report:
    """Load all rows; `at` (UTC) is the moment that a ledger remembers. Raises `WorkFailed`; the sink is then as
    it was. With `once`, a table is not merged or replaced again by a load that its ledger has."""
    if isinstance(sink, FolderSink):
        return _into_folder(sink, reader, load_id)
    if isinstance(sink, FileSink):
        return _into_file(sink, reader, load_id)
    if isinstance(sink, DeltaSink):
        return _into_delta(sink, reader, load_id)
    return _into_table(sink, reader, load_id, at, once)


def _into_folder(sink: FolderSink, reader: pa.RecordBatchReader, load_id: str) -> Report:
    rows, size = write_folder(reader, folder_at(sink.url), sink, load_id=load_id)
    return Report(rows_written=rows, bytes_written=size, extra={"sink": shown(sink.url)})


def _into_file(sink: FileSink, reader: pa.RecordBatchReader, load_id: str) -> Report:
    where = shown(sink.url)
    with written(sink.url, owner=owner_mark(load_id)) as stream:
        rows = write_rows(reader, stream, Format(sink.type), where=where)
    return Report(rows_written=rows, bytes_written=stream.count, extra={"sink": where})


def _into_delta(sink: DeltaSink, reader: pa.RecordBatchReader, load_id: str) -> Report:
    from batchctl_etl.delta.sink import load_delta

    loaded = load_delta(reader, sink, load_id=load_id)
    extra: dict[str, Any] = {"sink": shown(sink.url), "version": loaded.version}
    return Report(rows_written=loaded.rows, extra=extra | ({"already_loaded": True} if loaded.again else {}))


def _into_table(
    sink: TableLike, reader: pa.RecordBatchReader, load_id: str, at: datetime, once: bool
) -> Report:
    name = sink.url if isinstance(sink, TableSink) else f"database of {sink.dsn_env}"
    where = f"table {sink.table!r} in {_path(name) if isinstance(sink, TableSink) else f'the {name}'}"
    order = TableLoad(
        table=sink.table,
        mode=sink.mode,
        key=sink.key,
        on_duplicate=sink.on_duplicate,
        load_id=load_id,
        at=at,
        where=where,
        once=once,
    )
    with _engine(sink, where) as engine:
        loaded = load_table(reader, order, engine)
    extra = {"sink": name, "table": sink.table} | ({"already_loaded": True} if loaded.again else {})
    return Report(rows_written=loaded.rows, extra=extra)


@contextmanager
def _engine(sink: TableLike, where: str) -> Iterator[Engine]:
    patience = sink.lock_timeout_seconds
    if isinstance(sink, PostgresSink):
        from batchctl_etl.postgres.connection import postgres_extra

        with postgres_extra():
            from batchctl_etl.postgres.engine import PostgresEngine

        with closing(
            PostgresEngine(
                sink.dsn_env,
                schema=sink.db_schema,
                table=sink.table,
                where=where,
                lock_timeout_seconds=patience,
            )
        ) as postgres:
            yield postgres
        return
    if isinstance(sink, OdbcSink):
        from batchctl_etl.odbc.connection import odbc_extra

        with odbc_extra():
            from batchctl_etl.odbc.engine import OdbcEngine

        with closing(OdbcEngine(sink, where=where)) as odbc:
            yield odbc
        return
    path = _path(sink.url)
    if sink.type == "sqlite":
        from batchctl_etl.tables.sqlite_engine import SqliteEngine

        with closing(SqliteEngine(path, where=where, lock_timeout_seconds=patience)) as sqlite:
            yield sqlite
        return
    from batchctl_etl.tables.duckdb_engine import DuckdbEngine

    with (
        tempfile.TemporaryDirectory(prefix="etl-") as folder,
        closing(
            DuckdbEngine(path, folder=Path(folder), where=where, lock_timeout_seconds=patience)
        ) as duckdb,
    ):
        yield duckdb


def _path(url: str) -> Path:
    where = location(url)
    assert isinstance(where, FileLocation)
    return where.path

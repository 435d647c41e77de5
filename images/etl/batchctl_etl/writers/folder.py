"""A folder of Parquet files as a sink: replaced whole, or one file added, the same one at a second
attempt; or such a file in a folder for each value of some columns."""

import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.types as kinds

from batchctl_etl.config.load import FolderMode, FolderSink
from batchctl_etl.config.parquet import ParquetForm
from batchctl_etl.config.values import NO_PARTITION, Format
from batchctl_etl.errors import WorkFailed
from batchctl_etl.identity import file_stem, owner_mark
from batchctl_etl.storage.folders import Folder
from batchctl_etl.storage.streams import SinkStream
from batchctl_etl.writers.rows import write_rows
from batchctl_etl.writers.spool import Spool


def write_folder(
    reader: pa.RecordBatchReader, root: Folder, sink: FolderSink, *, load_id: str
) -> tuple[int, int]:
    """Write all rows below `root`, in the subfolders that the sink asks for; rows and bytes written.

    Raises `WorkFailed`; the folder is then as it was.
    """
    partition = _partition_folder(sink.partition, reader.schema, root) if sink.partition else None
    folder = root.subfolder(partition) if partition else root
    _check_columns(sink.partition_by, reader.schema, folder)
    owner, appending = owner_mark(load_id), sink.mode is FolderMode.APPEND
    others = folder.others(".parquet", sink.partition_by)
    if others and not appending:
        # Replacing a folder deletes what it holds: only Parquet files may be deleted that way.
        what = f"replacing it would delete {others[0]!r}, which is not a Parquet file of this folder"
        raise WorkFailed(folder.name, what, "move it away, set partition, or name another folder")
    name = f"{file_stem(load_id)}.parquet"
    if sink.partition_by:
        return _partitioned(reader, folder, sink, name, owner)
    if appending:
        with folder.added(name, owner=owner) as stream:
            return _write(reader, stream, folder, sink)
    with folder.replaced("part-00000.parquet", owner=owner) as stream:
        return _write(reader, stream, folder, sink)


def _write(
    reader: pa.RecordBatchReader, stream: SinkStream, folder: Folder, form: ParquetForm
) -> tuple[int, int]:
    rows = write_rows(reader, stream, Format.PARQUET, where=folder.name, form=form)
    stream.flush()
    return rows, stream.count


def _partitioned(
    reader: pa.RecordBatchReader, folder: Folder, sink: FolderSink, name: str, owner: str
) -> tuple[int, int]:
    rows = size = 0
    with tempfile.TemporaryDirectory(prefix="etl-") as place:
        spool = Spool(Path(place), reader.schema, sink.partition_by)
        for batch in reader:
            spool.add(batch)
        replacing = sink.mode is FolderMode.REPLACE
        with folder.many(name, owner=owner, replacing=replacing) as opened:
            for key in spool.keys:
                parts = [_part(*item, folder) for item in zip(sink.partition_by, key, strict=True)]
                with opened("/".join(parts)) as stream:
                    counts = _write(spool.rows(key), stream, folder, sink)
                rows, size = rows + counts[0], size + counts[1]
    return rows, size


def _check_columns(by: tuple[str, ...], schema: pa.Schema, folder: Folder) -> None:
    for name in by:
        if name not in schema.names:
            what = f"partition_by names the column {name!r}, which is not there"
            raise WorkFailed(folder.name, what, f"the columns are {', '.join(schema.names)}")
        kind = schema.field(name).type
        named = (kinds.is_integer, kinds.is_string, kinds.is_large_string, kinds.is_boolean, kinds.is_date32)
        if not any(is_kind(kind) for is_kind in named):
            what = f"partition_by: column {name!r} is of type {kind}, and folders are named after text, dates, whole numbers"
            raise WorkFailed(folder.name, what, "derive such a column in the transform")
    if by and len(by) == len(schema):
        raise WorkFailed(folder.name, "partition_by leaves no column for the files", "name fewer")


def _part(name: str, value: Any, folder: Folder) -> str:
    if value in {"", NO_PARTITION}:
        what = f"partition_by: a row has {value!r} in the column {name!r}, which a folder cannot tell from no value"
        raise WorkFailed(folder.name, what, "give it another value in the transform")
    text = NO_PARTITION if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return f"{name}={quote(text, safe=' ')}"


def _partition_folder(partition: str, schema: pa.Schema, root: Folder) -> str:
    """`name=value` with the value percent-encoded, as Hive's readers expect."""
    name, _, value = partition.partition("=")
    if name in schema.names:
        remedy = (
            "drop the column in the transform, name it in partition_by, or give the partition another name"
        )
        raise WorkFailed(
            root.name, f"the source has a column {name!r}, which the partition {partition!r} is too", remedy
        )
    return f"{name}={quote(value, safe=' ')}"

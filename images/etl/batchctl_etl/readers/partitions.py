"""Columns that the folders of a path tell, as Hive names them: `week=2026-01-31/part.parquet`."""

from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as arrow_compute

from batchctl_etl.config.values import NO_PARTITION
from batchctl_etl.errors import WorkFailed
from batchctl_etl.readers.types import arrow_types
from batchctl_etl.storage.locations import FileLocation, location


def partition_schema(partitions: Mapping[str, str]) -> pa.Schema:
    """The columns, in their types."""
    return pa.schema(list(arrow_types(partitions).items()))


def with_partitions(
    reader: pa.RecordBatchReader, partitions: Mapping[str, str], *, where: str, only: Sequence[str] = ()
) -> pa.RecordBatchReader:
    """The rows of the file `where`, and the columns that its path tells; with `only`, these.

    Raises `WorkFailed` if the path does not tell one, or the file has it too.
    """
    values = {name: _value(name, kind, where) for name, kind in arrow_types(partitions).items()}
    for name in values:
        if name in reader.schema.names:
            raise WorkFailed(where, f"the column {name!r} is in the file too", "leave it out of partitions")
    schema = pa.schema([*reader.schema, *partition_schema(partitions)])
    if only:
        schema = pa.schema([field for field in schema if field.name in only])
    return pa.RecordBatchReader.from_batches(schema, _batches(reader, schema, values))


def _batches(
    reader: pa.RecordBatchReader, schema: pa.Schema, values: Mapping[str, pa.Scalar]
) -> Iterator[pa.RecordBatch]:
    for batch in reader:
        columns = [
            pa.repeat(values[name], batch.num_rows) if name in values else batch.column(name)
            for name in schema.names
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=schema)


def _value(name: str, kind: pa.DataType, where: str) -> pa.Scalar:
    place = location(where)
    path = place.path.as_posix() if isinstance(place, FileLocation) else getattr(place, "name", where)
    texts = [part.partition("=")[2] for part in path.split("/")[:-1] if part.startswith(f"{name}=")]
    if not texts:
        what = f"no folder of its path is called {name}=…"
        raise WorkFailed(where, what, f"take {name!r} out of partitions, or name the files that have one")
    if texts[-1] == NO_PARTITION:
        return pa.scalar(None, kind)
    text = unquote(texts[-1])
    try:
        return arrow_compute.cast(pa.scalar(text), kind)
    except pa.ArrowException as error:
        what = f"{text!r} in its path is not of type {kind}, which partitions gives {name!r}"
        raise WorkFailed(where, what, "correct partitions") from error

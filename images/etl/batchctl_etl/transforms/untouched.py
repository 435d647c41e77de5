"""A SELECT that asks for the rows of its one input as they are: they go on without passing through DuckDB.

Only where DuckDB would give the same: columns of types that it keeps. Everything else is its business.
"""

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import pyarrow as pa
import pyarrow.types as kinds

from batchctl_etl.errors import WorkFailed
from batchctl_etl.readers.source import RowInput, open_all
from batchctl_etl.transforms.names import check_names

_WHOLE = re.compile(r"\s*(?:SELECT\s+\*\s+)?FROM\s+([A-Za-z_][A-Za-z0-9_]*)\s*;?\s*", re.IGNORECASE)
_KEPT = (
    kinds.is_boolean, kinds.is_signed_integer, kinds.is_unsigned_integer, kinds.is_float32, kinds.is_float64, kinds.is_string,
    kinds.is_binary, kinds.is_decimal128, kinds.is_date32,
)  # fmt: skip


def is_whole(sql: str, name: str) -> bool:
    """Whether `sql` is `FROM name` or `SELECT * FROM name`."""
    found = _WHOLE.fullmatch(sql)
    return found is not None and found[1].lower() == name.lower()


def untouched(
    sql: str, name: str, source: RowInput, *, memory_limit: str, threads: int | None
) -> AbstractContextManager[pa.RecordBatchReader]:
    """The rows of `source`, which `sql` asks for, as they are or as DuckDB gives them. Raises `WorkFailed`."""
    opened = open_all(source)
    if all(_is_kept(kind) for kind in opened.schema.types):
        return _passed(opened, source.name)
    from batchctl_etl.transforms.sql import select  # DuckDB's import takes its time and memory.

    first = [opened]
    views = {name: lambda: first.pop() if first else source.open()}
    return select(sql, views, memory_limit=memory_limit, threads=threads)


@contextmanager
def _passed(reader: pa.RecordBatchReader, where: str) -> Iterator[pa.RecordBatchReader]:
    check_names(reader.schema)
    yield pa.RecordBatchReader.from_batches(reader.schema, _told(reader, where))


def _told(reader: pa.RecordBatchReader, where: str) -> Iterator[pa.RecordBatch]:
    try:
        yield from reader
    except (pa.ArrowException, OSError) as error:
        raise WorkFailed(where, str(error)) from error


def _is_kept(kind: pa.DataType) -> bool:
    if kinds.is_timestamp(kind):
        return bool(kind.unit == "us" and kind.tz in (None, "UTC"))
    return bool(kinds.is_time64(kind) and kind.unit == "us") or any(is_kind(kind) for is_kind in _KEPT)

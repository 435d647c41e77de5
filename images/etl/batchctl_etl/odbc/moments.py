"""Moments with a zone as the text that drivers are given. Pure.

The library would make that text itself, and ends the process over a moment before 1970 with a fraction of a second.
"""

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds


def is_zoned(kind: pa.DataType) -> bool:
    """Whether it is a moment with a zone."""
    return bool(kinds.is_timestamp(kind) and kind.tz)


def zoned_text(column: pa.Array) -> pa.Array:
    """`2026-01-31 06:00:00.123456+00:00`, which SQL Server and PostgreSQL read; `column` is in UTC."""
    return pc.strftime(column, "%Y-%m-%d %H:%M:%S+00:00")

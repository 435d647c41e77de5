"""PostgreSQL's types and Arrow's. Pure.

What Arrow has no type for (uuid, json, interval, arrays, ranges …) is read as its text. A numeric without a
precision holds what no decimal of Arrow's can: the query must cast it.
"""

import re
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.types as kinds

from batchctl_etl.errors import WorkFailed

if TYPE_CHECKING:
    from psycopg import Column

BPCHAR = 1042
BYTEA = 17
NUMERIC = 1700
_READ: dict[int, pa.DataType] = {
    16: pa.bool_(),
    21: pa.int16(),
    23: pa.int32(),
    20: pa.int64(),
    26: pa.int64(),
    700: pa.float32(),
    701: pa.float64(),
    1082: pa.date32(),
    1083: pa.time64("us"),
    1114: pa.timestamp("us"),
    1184: pa.timestamp("us", tz="UTC"),
}
"""By object id (pg_type.dat)."""
_WRITTEN = (
    (kinds.is_boolean, "boolean"),
    (kinds.is_int8, "smallint"),
    (kinds.is_int16, "smallint"),
    (kinds.is_uint8, "smallint"),
    (kinds.is_int32, "integer"),
    (kinds.is_uint16, "integer"),
    (kinds.is_int64, "bigint"),
    (kinds.is_uint32, "bigint"),
    (kinds.is_uint64, "numeric(20,0)"),
    (kinds.is_float32, "real"),
    (kinds.is_float64, "double precision"),
    (kinds.is_string, "text"),
    (kinds.is_binary, "bytea"),
    (kinds.is_large_binary, "bytea"),
    (kinds.is_date32, "date"),
    (kinds.is_time, "time without time zone"),
)
_ORDER = ("smallint", "integer", "bigint")
_TEXTUAL = re.compile(r"text|character varying(\(\d+\))?|character\(\d+\)")
_PARSED = {"json", "jsonb", "uuid", "interval", "inet", "cidr"}
_NUMERIC = re.compile(r"numeric(?:\((\d+),(-?\d+)\))?")


def column_type(column: "Column", *, where: str) -> pa.DataType:
    """The Arrow type of a query's column. Raises `WorkFailed` for a numeric that Arrow cannot hold."""
    if column.type_code != NUMERIC:
        return _READ.get(column.type_code, pa.string())
    precision, scale = column.precision, column.scale
    if precision is None or scale is None or not 0 <= scale <= precision <= 38:
        kind = "numeric without a precision" if precision is None else f"numeric({precision},{scale})"
        what = f"column {column.name!r} is {kind}, and a decimal has at most 38 digits, some after the point"
        raise WorkFailed(where, what, f'cast it in the query, such as "{column.name}"::numeric(38,10)')
    return pa.decimal128(precision, scale)


def declared_type(kind: pa.DataType) -> str | None:
    """The type to declare for Arrow's; `None` for types without a place in a table (lists, structs, maps)."""
    if kinds.is_decimal128(kind):
        return f"numeric({kind.precision},{kind.scale})"
    if kinds.is_timestamp(kind):
        return f"timestamp {'with' if kind.tz else 'without'} time zone"
    return next((declared for is_kind, declared in _WRITTEN if is_kind(kind)), None)


def is_parsed(source: str, table: str) -> bool:
    """Whether text goes into the column by being parsed as its type."""
    return source == "text" and table in _PARSED


def fits_declared(source: str, table: str) -> bool:
    """Whether every value of one of our declared types goes into a column of the type `table` (as
    `format_type` writes it) unchanged, or fails by itself."""
    if source == table or is_parsed(source, table):
        return True
    if source == "text":
        return bool(_TEXTUAL.fullmatch(table))
    there = _NUMERIC.fullmatch(table)
    if source in _ORDER:
        is_whole = there is not None and not (there[2] or "").startswith("-")
        return table in _ORDER or table in {"real", "double precision"} or is_whole
    here = _NUMERIC.fullmatch(source)
    if here and there:
        # Fewer digits after the point would be rounded in silence.
        return there[1] is None or int(here[2]) <= int(there[2])
    if here:
        return here[2] == "0" and table in _ORDER
    return (source, table) in {
        ("real", "double precision"),
        ("date", "timestamp without time zone"),
    }

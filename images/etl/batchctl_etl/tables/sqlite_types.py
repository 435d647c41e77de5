"""How SQLite, which has five kinds of values and believes any type it is told, keeps Arrow's types. Pure.

    Arrow            declared        kept as
    bool             BOOLEAN         0 or 1
    int*, uint*      INTEGER         integer; above 9223372036854775807 is an error
    float*           REAL            number; NaN becomes NULL (SQLite has none)
    decimal          DECIMAL_TEXT    text, exact, with all digits of the scale: '12.50'
    string           TEXT            text
    binary           BLOB            bytes
    date             DATE            text: '2012-01-31'
    timestamp        TIMESTAMP       text: '2012-01-31 06:00:00.000000', sorts by time
    timestamp, zone  TIMESTAMP_UTC   text: '2012-01-31 06:00:00.000000Z', in UTC
    time             TIME            text: '06:00:00.000000'

SQLite's own date functions read these texts. DECIMAL would make SQLite turn the text into a float: hence the
name.
"""

from typing import Any

import pyarrow as pa
import pyarrow.types as kinds

_TEXTUAL = frozenset({"DECIMAL_TEXT", "DATE", "TIMESTAMP", "TIMESTAMP_UTC", "TIME"})
_OWN = _TEXTUAL | {"BOOLEAN"}
_SAME = {"DATETIME": "TIMESTAMP", "BOOL": "BOOLEAN"}


def declared_type(kind: pa.DataType) -> str | None:
    """The type to declare; `None` for types without a place in a table (lists, structs, maps, intervals)."""
    for is_kind, declared in (
        (kinds.is_boolean, "BOOLEAN"),
        (kinds.is_integer, "INTEGER"),
        (kinds.is_floating, "REAL"),
        (kinds.is_decimal, "DECIMAL_TEXT"),
        (kinds.is_string, "TEXT"),
        (kinds.is_binary, "BLOB"),
        (kinds.is_large_binary, "BLOB"),
        (kinds.is_fixed_size_binary, "BLOB"),
        (kinds.is_date, "DATE"),
        (kinds.is_time, "TIME"),
    ):
        if is_kind(kind):
            return declared
    if kinds.is_timestamp(kind):
        return "TIMESTAMP_UTC" if kind.tz else "TIMESTAMP"
    return None


def stored_values(column: pa.Array) -> list[Any]:
    """The values as SQLite keeps them. Raises `pa.ArrowInvalid` for an integer that is too large."""
    kind = column.type
    if kinds.is_decimal(kind):
        return [None if value is None else format(value, "f") for value in column.to_pylist()]
    if kinds.is_date(kind):
        column = column.cast(pa.date32()).cast(pa.string())
    elif kinds.is_timestamp(kind) or kinds.is_time(kind):
        column = column.cast(pa.string())
    elif kinds.is_integer(kind):
        column = column.cast(pa.int64())
    values: list[Any] = column.to_pylist()
    return values


def affinity(declared: str) -> str:
    """What SQLite makes of a declared type (datatype3.html, 3.1)."""
    name = declared.upper()
    if "INT" in name:
        return "INTEGER"
    if any(part in name for part in ("CHAR", "CLOB", "TEXT")):
        return "TEXT"
    if "BLOB" in name or not name:
        return "BLOB"
    return "REAL" if any(part in name for part in ("REAL", "FLOA", "DOUB")) else "NUMERIC"


def fits_declared(source: str, table: str) -> bool:
    """Whether values of one of our declared types stay what they are in a column declared as `table`."""
    name = table.upper()
    name = _SAME.get(name, name)
    if source == name:
        return True
    if name in _OWN:
        return False
    kept = affinity(name)
    if source in _TEXTUAL or source == "TEXT":
        return kept in {"TEXT", "BLOB"}
    if source == "BLOB":
        return kept == "BLOB"
    return kept in {"INTEGER": {"INTEGER", "REAL", "NUMERIC"}, "BOOLEAN": {"INTEGER", "NUMERIC"}}.get(
        source, {"REAL", "NUMERIC"}
    )

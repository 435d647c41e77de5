"""Arrow's types and Delta's. Pure.

Delta has no unsigned integers, no time of day, no durations; moments are microseconds. What fits into the next
larger type goes there, what fits nowhere is an error: the library itself would turn `1.5` into `1` to make a
value fit.
"""

import pyarrow as pa
import pyarrow.types as kinds

from batchctl_etl.errors import WorkFailed

_LARGER = {
    pa.uint8(): pa.int16(),
    pa.uint16(): pa.int32(),
    pa.uint32(): pa.int64(),
    pa.uint64(): pa.decimal128(20, 0),
    pa.date64(): pa.date32(),
    pa.large_binary(): pa.binary(),
    pa.large_string(): pa.string(),
    pa.string_view(): pa.string(),
    pa.binary_view(): pa.binary(),
    pa.float16(): pa.float32(),
}


def delta_schema(schema: pa.Schema, *, where: str) -> pa.Schema:
    """The schema in types that Delta has. Raises `WorkFailed` naming a column that fits nowhere."""
    return pa.schema([pa.field(field.name, _delta_type(field.type, field.name, where)) for field in schema])


def _delta_type(kind: pa.DataType, name: str, where: str) -> pa.DataType:
    if kinds.is_timestamp(kind):
        return pa.timestamp("us", tz="UTC" if kind.tz else None)
    if kinds.is_dictionary(kind):
        return _delta_type(kind.value_type, name, where)
    if kinds.is_list(kind) or kinds.is_large_list(kind):
        return pa.list_(_delta_type(kind.value_type, name, where))
    if kinds.is_struct(kind):
        return pa.struct([pa.field(part.name, _delta_type(part.type, name, where)) for part in kind])
    if kinds.is_map(kind):
        return pa.map_(_delta_type(kind.key_type, name, where), _delta_type(kind.item_type, name, where))
    if kinds.is_fixed_size_binary(kind):
        return pa.binary()
    kind = _LARGER.get(kind, kind)
    known = (
        *(kinds.is_boolean, kinds.is_integer, kinds.is_floating, kinds.is_decimal128, kinds.is_string),
        *(kinds.is_binary, kinds.is_date32, kinds.is_null),
    )
    if not any(is_kind(kind) for is_kind in known):
        what = f"column {name!r} is {kind}, which Delta has no place for"
        raise WorkFailed(where, what, "cast it in the transform")
    return kind


def fits(source: pa.DataType, table: pa.DataType) -> bool:
    """Whether every value of `source` goes into a column of type `table` unchanged, or fails by itself."""
    if source == table or kinds.is_null(source):
        return True
    if kinds.is_integer(source):
        return bool(kinds.is_integer(table) or kinds.is_floating(table) or kinds.is_decimal128(table))
    if kinds.is_decimal128(source):
        return bool(kinds.is_decimal128(table) and source.scale <= table.scale)
    if kinds.is_float32(source):
        return bool(kinds.is_float64(table))
    nested = kinds.is_nested(source) and kinds.is_nested(table)
    return nested and _plain(source) == _plain(table)


def _plain(kind: pa.DataType) -> str:
    """The type's text without the names that Arrow's libraries give to the items of lists."""
    return str(kind).replace("element:", "item:").replace(" not null", "")

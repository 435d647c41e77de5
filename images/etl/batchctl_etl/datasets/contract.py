"""The contract between one version's columns and the next's: what fits, what is widened, what fails. Pure but for rows.

What is written is a version like any other: older ones stay as they are.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.types as kinds

from batchctl_etl.config.dataset import Contract
from batchctl_etl.errors import WorkFailed

_DIGITS = {8: 3, 16: 5, 32: 10, 64: 19}
_UNITS = ("s", "ms", "us", "ns")


@dataclass(kw_only=True)
class Agreement:
    """The schema that the rows will have, and what differs from the version before."""

    schema: pa.Schema
    added: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    discarded: list[str] = field(default_factory=list)
    widened: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def told(self) -> dict[str, Any]:
        """What differs, for the run's record; empty if nothing does."""
        names = ("added", "missing", "discarded", "widened")
        return {name: getattr(self, name) for name in names if getattr(self, name)}


def agreed(contract: Contract, known: pa.Schema, found: pa.Schema) -> Agreement:
    """The columns of the version before (`known`) and those of the rows (`found`), under the contract."""
    result = Agreement(schema=found)
    fields = []
    for old in known:
        if old.name not in found.names:
            result.missing.append(old.name)
            if contract is Contract.FREEZE:
                result.problems.append(f"column {old.name!r} is missing")
            fields.append(pa.field(old.name, old.type))
            continue
        new = found.field(old.name).type
        fields.append(pa.field(old.name, _agreed_type(contract, old, new, result)))
    for field_ in found:
        if field_.name in known.names:
            continue
        if contract is Contract.FREEZE:
            result.problems.append(f"column {field_.name!r} is new")
        elif contract is Contract.DISCARD:
            result.discarded.append(field_.name)
        else:
            result.added.append(field_.name)
            fields.append(pa.field(field_.name, field_.type))
    result.schema = pa.schema(fields)
    return result


def _agreed_type(contract: Contract, old: pa.Field, new: pa.DataType, result: Agreement) -> pa.DataType:
    wide = wider(old.type, new)
    is_new = plain(new) != plain(old.type) and not kinds.is_null(new)  # No value at all has no type.
    is_wider = wide is not None and plain(wide) != plain(old.type)
    if (
        wide is None
        or (contract is Contract.FREEZE and is_new)
        or (contract is Contract.DISCARD and is_wider)
    ):
        result.problems.append(f"column {old.name!r} is {new} and was {old.type}")
        return old.type
    if not is_wider:
        return old.type
    result.widened.append(f"{old.name}: {old.type} -> {wide}")
    return wide


def plain(kind: pa.DataType | None) -> pa.DataType | None:
    """A type without what is only a way to keep it: dictionaries, and the three kinds of text."""
    if kind is None:
        return None
    if kinds.is_dictionary(kind):
        return plain(kind.value_type)
    if kinds.is_large_string(kind) or kinds.is_string_view(kind):
        return pa.string()
    return pa.binary() if kinds.is_large_binary(kind) else kind


def wider(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """The type that holds the values of both, `one` if it does; `None` if there is none."""
    left, right = plain(one), plain(other)
    if left == right or kinds.is_null(right):
        return one
    if kinds.is_null(left):
        return right
    if kinds.is_integer(left) and kinds.is_integer(right):
        return _wider_integer(left, right)
    if _is_number(left) and _is_number(right):
        if kinds.is_floating(left) or kinds.is_floating(right):
            return None if kinds.is_decimal(left) or kinds.is_decimal(right) else pa.float64()
        return _wider_decimal(left, right)
    if _is_moment(left) and _is_moment(right):
        return _wider_moment(left, right)
    return None


def _is_number(kind: pa.DataType) -> bool:
    return bool(kinds.is_integer(kind) or kinds.is_floating(kind) or kinds.is_decimal(kind))


def _is_moment(kind: pa.DataType) -> bool:
    return bool(kinds.is_date32(kind) or kinds.is_timestamp(kind))


def _wider_integer(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    signed = [kind for kind in (one, other) if kinds.is_signed_integer(kind)]
    if len(signed) != 1:
        return max(one, other, key=lambda kind: kind.bit_width)
    unsigned = other if signed[0] == one else one
    width = max(signed[0].bit_width, unsigned.bit_width * 2)
    return {16: pa.int16(), 32: pa.int32(), 64: pa.int64()}.get(width)


def _wider_decimal(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    whole, scale = 0, 0
    for kind in (one, other):
        whole = max(whole, kind.precision - kind.scale if kinds.is_decimal(kind) else _DIGITS[kind.bit_width])
        scale = max(scale, kind.scale if kinds.is_decimal(kind) else 0)
    return pa.decimal128(whole + scale, scale) if whole + scale <= 38 else None


def _wider_moment(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    if kinds.is_date32(one) or kinds.is_date32(other):
        moment = other if kinds.is_date32(one) else one
        return moment if moment.tz is None else None
    if (one.tz is None) != (other.tz is None):
        return None
    return pa.timestamp(max(one.unit, other.unit, key=_UNITS.index), one.tz)


def shaped(reader: pa.RecordBatchReader, schema: pa.Schema, *, where: str) -> pa.RecordBatchReader:
    """The rows in the columns of `schema`; a missing one has no values. Raises `WorkFailed` while reading if a
    value does not go into the type."""
    return pa.RecordBatchReader.from_batches(schema, _shaped(reader, schema, where))


def _shaped(reader: pa.RecordBatchReader, schema: pa.Schema, where: str) -> Iterator[pa.RecordBatch]:
    for batch in reader:
        columns = []
        for item in schema:
            if item.name not in batch.schema.names:
                columns.append(pa.nulls(batch.num_rows, item.type))
                continue
            try:
                columns.append(batch.column(item.name).cast(item.type))
            except pa.ArrowException as error:
                what = f"column {item.name!r} does not fit {item.type}: {error}"
                raise WorkFailed(where, what, "cast it in the transform") from error
        yield pa.RecordBatch.from_arrays(columns, schema=schema)

"""Dates and times in JSON are texts, which Arrow's parser reads as timestamps only: read as text here, and cast exactly.

Nothing is guessed or rounded: `2026-01-31` is a date, `06:00`, `06:00:00` and `06:00:00.123456` are times.
"""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds

from batchctl_etl.errors import WorkFailed

_CLOCK = r"^[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?$"


def as_texts(schema: pa.Schema) -> pa.Schema:
    """What to ask of Arrow's parser for columns of `schema`: dates and times as text."""
    return pa.schema([field.with_type(pa.string()) if _name(field.type) else field for field in schema])


def with_times(reader: pa.RecordBatchReader, wanted: pa.Schema, *, where: str) -> pa.RecordBatchReader:
    """The rows of `reader`, whose dates and times are as `as_texts` says, with those of `wanted`.

    Raises `WorkFailed` while reading, with row (from 1) and column, for a text that is none.
    """
    times = {field.name: field.type for field in wanted if _name(field.type)}
    if not times:
        return reader
    schema = pa.schema([field.with_type(times.get(field.name, field.type)) for field in reader.schema])
    return pa.RecordBatchReader.from_batches(schema, _cast(reader, schema, times, where))


def _name(kind: pa.DataType) -> str | None:
    return "date" if kinds.is_date(kind) else "time" if kinds.is_time(kind) else None


def _cast(
    reader: pa.RecordBatchReader, schema: pa.Schema, times: dict[str, pa.DataType], where: str
) -> Iterator[pa.RecordBatch]:
    before = 0
    for batch in reader:
        columns = batch.columns
        for name, kind in times.items():
            index = schema.get_field_index(name)
            try:
                columns[index] = _parsed(columns[index], kind)
            except pa.ArrowInvalid as error:
                raise _unfit(columns[index], name, kind, before, where) from error
        yield pa.RecordBatch.from_arrays(columns, schema=schema)
        before += batch.num_rows


def _parsed(texts: pa.Array, kind: pa.DataType) -> pa.Array:
    if kinds.is_date(kind):
        return texts.cast(kind)
    if pc.any(pc.invert(pc.match_substring_regex(texts, _CLOCK))).as_py():
        raise pa.ArrowInvalid("no time")
    moments = pc.binary_join_element_wise("1970-01-01", texts, " ")
    return moments.cast(pa.timestamp("us")).cast(kind)


def _unfit(texts: pa.Array, name: str, kind: pa.DataType, before: int, where: str) -> WorkFailed:
    row = next(row for row in range(len(texts)) if not _fits(texts.slice(row, 1), kind))
    return WorkFailed(
        f"{where}, row {before + row + 1}",
        f"column {name!r}: {texts[row].as_py()!r} is not of type {_name(kind)}",
        "correct it, or make it a string in options.types and cast it in a step",
    )


def _fits(text: pa.Array, kind: pa.DataType) -> bool:
    try:
        _parsed(text, kind)
    except pa.ArrowInvalid:
        return False
    return True

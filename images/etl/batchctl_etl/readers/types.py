"""The column types a configuration can name, as Arrow types, and the one kind of timestamp that text
becomes."""

from collections.abc import Iterator, Mapping

import pyarrow as pa

from batchctl_etl.config.rows import decimal_digits

_TYPES: dict[str, pa.DataType] = {
    "bool": pa.bool_(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "string": pa.string(),
    "date": pa.date32(),
    "time": pa.time64("us"),
    "timestamp": pa.timestamp("us"),
    "timestamptz": pa.timestamp("us", tz="UTC"),
}


def arrow_type(name: str) -> pa.DataType:
    """`name` is one that `config.rows` accepts."""
    digits = decimal_digits(name)
    return pa.decimal128(*digits) if digits else _TYPES[name]


def arrow_types(types: Mapping[str, str]) -> dict[str, pa.DataType]:
    """The Arrow type of each column from its name in the configuration. Raises as `arrow_type`."""
    return {column: arrow_type(name) for column, name in types.items()}


def in_microseconds(reader: pa.RecordBatchReader) -> pa.RecordBatchReader:
    """Timestamps guessed from text are seconds in one file and nanoseconds in the next; let all be
    microseconds.

    Raises `pa.ArrowInvalid` while reading if a value would lose digits.
    """
    schema = pa.schema([field.with_type(_microseconds(field.type)) for field in reader.schema])
    return (
        reader
        if schema == reader.schema
        else pa.RecordBatchReader.from_batches(schema, _cast(reader, schema))
    )


def _microseconds(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", tz=kind.tz)
    return pa.time64("us") if pa.types.is_time(kind) else kind


def _cast(reader: pa.RecordBatchReader, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for batch in reader:
        yield batch.cast(schema)

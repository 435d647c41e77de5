"""The columns of a load: the Arrow types that a table can have, and the comparison with a table that
exists."""

from collections.abc import Callable, Iterator, Mapping

import pyarrow as pa

from batchctl_etl.errors import WorkFailed


def table_schema(schema: pa.Schema, *, where: str) -> pa.Schema:
    """The schema to stage: timestamps in microseconds, plain text, no dictionaries, and text where no type is
    known.

    Raises `WorkFailed` if two names differ only in case: they are one name in SQL.
    """
    lowered = [name.lower() for name in schema.names]
    if twice := sorted({name for name in lowered if lowered.count(name) > 1}):
        raise WorkFailed(where, f"two columns are named {twice[0]!r}, for SQL knows no case", "rename one")
    return pa.schema([pa.field(field.name, _table_type(field.type)) for field in schema])


def typeless_columns(schema: pa.Schema) -> frozenset[str]:
    """The columns without a single value, whose type nobody knows."""
    return frozenset(field.name for field in schema if pa.types.is_null(field.type))


def _table_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        return _table_type(kind.value_type)
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", tz="UTC" if kind.tz else None)
    if pa.types.is_time(kind):
        return pa.time64("us")
    if pa.types.is_null(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    return pa.float32() if pa.types.is_float16(kind) else kind


def cast_rows(reader: pa.RecordBatchReader, schema: pa.Schema, *, where: str) -> pa.RecordBatchReader:
    """The rows in the types of `schema`. Raises `WorkFailed` while reading if a value would lose digits."""
    return pa.RecordBatchReader.from_batches(schema, _cast(reader, schema, where))


def _cast(reader: pa.RecordBatchReader, schema: pa.Schema, where: str) -> Iterator[pa.RecordBatch]:
    for batch in reader:
        columns = []
        for column, field in zip(batch.columns, schema, strict=True):
            try:
                columns.append(column.cast(field.type))
            except pa.ArrowException as error:
                what = f"column {field.name!r} does not fit {field.type}: {error}"
                raise WorkFailed(where, what, "cast it in the transform") from error
        yield pa.RecordBatch.from_arrays(columns, schema=schema)


def check_columns(
    source: Mapping[str, str],
    table: Mapping[str, str],
    *,
    where: str,
    typeless: frozenset[str],
    fits: Callable[[str, str], bool],
    remedy: str = "",
) -> None:
    """Raise `WorkFailed` naming every column that differs. Both map a name to the database's own type; case
    is ignored.

    `fits(source type, table type)` says whether every value goes in unchanged, or fails by itself. `remedy` is another
    thing to do, with a comma after it.
    """
    here = {name.lower(): (name, kind) for name, kind in source.items()}
    there = {name.lower(): (name, kind) for name, kind in table.items()}
    differences = [f"{there[key][0]!r} is missing in the source" for key in there if key not in here]
    differences += [f"{here[key][0]!r} is not in the table" for key in here if key not in there]
    for key, (name, kind) in here.items():
        if key in there and name not in typeless and not fits(kind, there[key][1]):
            differences.append(f"{name!r} is {kind} in the source and {there[key][1]} in the table")
    if differences:
        what = f"the columns do not match: {', '.join(differences)}"
        remedies = f"change the transform or source.options.types, {remedy}or load into a new table"
        raise WorkFailed(where, what, remedies)

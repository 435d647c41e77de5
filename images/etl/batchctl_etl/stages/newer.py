"""The part of a source that is new: the greatest value of a column, and the rows between two of its values.

Values are text, so that they can be kept as JSON. In PostgreSQL the server compares; elsewhere Arrow does.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds

from batchctl_etl.config.rows import PostgresRows, RowSource
from batchctl_etl.errors import WorkFailed
from batchctl_etl.readers.source import RowInput, row_input
from batchctl_etl.state.watermark import Batch
from batchctl_etl.tables.statements import quoted

_ENDLESS = {"nan", "infinity", "-infinity"}


def newest(source: RowSource, column: str, *, after: str | None, inclusive: bool) -> str | None:
    """The greatest value of `column` in the rows after `after`; `None` if there are none.

    Raises `WorkFailed` for a row without a value: it would never be read.
    """
    with ExitStack() as stack:
        if isinstance(source, PostgresRows):
            query = _newest_query(source.query, column, after, inclusive)
            found = row_input(source.model_copy(update={"query": query}), stack)
            row = found.open().read_all().to_pylist()[0]
            text, missing, where = cast(str | None, row["newest"]), row["missing"], found.name
        else:
            rows = row_input(source, stack)
            text, missing, where = *_newest_in(rows, column, after, inclusive), rows.name
    if missing:
        what = f"{missing} rows have no value in {column!r}, and would never be read"
        raise WorkFailed(where, what, "leave them out, or take another column for the watermark")
    if text is not None and text.lower() in _ENDLESS:
        raise WorkFailed(where, f"column {column!r} holds {text}: nothing comes after that", "leave it out")
    return text


def rows_of(source: RowSource, column: str, batch: Batch, *, inclusive: bool, stack: ExitStack) -> RowInput:
    """The rows of a batch; what is opened is closed with `stack`. Raises `WorkFailed`."""
    if isinstance(source, PostgresRows):
        query = _between_query(source.query, column, batch, inclusive)
        return row_input(source.model_copy(update={"query": query}), stack)
    return NewerRows(row_input(source, stack), column, batch, inclusive=inclusive)


class NewerRows:
    """The rows of another input whose value of `column` is in the batch."""

    def __init__(self, rows: RowInput, column: str, batch: Batch, *, inclusive: bool) -> None:
        self.name = rows.name
        self._input = rows
        self._column = column
        self._batch = batch
        self._inclusive = inclusive

    def open(self) -> pa.RecordBatchReader:
        reader = self._input.open()
        index = _index(reader.schema, self._column, self.name)
        return pa.RecordBatchReader.from_batches(reader.schema, self._new(reader, index))

    def _new(self, reader: pa.RecordBatchReader, index: int) -> Iterator[pa.RecordBatch]:
        kind = reader.schema.field(index).type
        until = _scalar(self._batch.until, kind, self.name)
        for batch in reader:
            wanted = _after(batch.column(index), self._batch.after, kind, self._inclusive, self.name)
            upto = pc.less_equal(batch.column(index), until)
            yield batch.filter(upto if wanted is None else pc.and_(wanted, upto))

    def place(self, row: int) -> str:
        return f"{self.name}, row {row} of those that are new"

    @property
    def rows(self) -> int:
        return self._input.rows

    @property
    def bytes(self) -> int:
        return self._input.bytes


def _newest_in(rows: RowInput, column: str, after: str | None, inclusive: bool) -> tuple[str | None, int]:
    reader = rows.open()
    index = _index(reader.schema, column, rows.name)
    kind, greatest, missing = reader.schema.field(index).type, None, 0
    for batch in reader:
        values = batch.column(index)
        missing += values.null_count
        if (wanted := _after(values, after, kind, inclusive, rows.name)) is not None:
            values = values.filter(wanted)
        largest = pc.max(values) if kind != pa.null() else pa.scalar(None)
        if largest.is_valid and (greatest is None or pc.greater(largest, greatest).as_py()):
            greatest = largest
    return (None if greatest is None else str(greatest.cast(pa.string()).as_py())), missing


def _index(schema: pa.Schema, column: str, where: str) -> int:
    if column not in schema.names:
        what = f"the column {column!r} of the watermark is not there"
        raise WorkFailed(where, what, f"the columns are {', '.join(schema.names)}")
    kind = schema.field(column).type
    known = (
        kinds.is_integer,
        kinds.is_decimal,
        kinds.is_string,
        kinds.is_date,
        kinds.is_timestamp,
        kinds.is_null,
    )
    if not any(is_known(kind) for is_known in known):
        what = f"the column {column!r} of the watermark is {kind}"
        raise WorkFailed(where, what, "take whole numbers, decimals, text, dates or timestamps")
    return int(schema.get_field_index(column))


def _scalar(text: str | None, kind: pa.DataType, where: str) -> pa.Scalar:
    try:
        return pa.scalar(text, pa.string()).cast(kind)
    except pa.ArrowException as error:
        remedy = "set options.types for the column, or begin anew: etl state reset"
        raise WorkFailed(where, f"the watermark {text!r} is not {kind}: {error}", remedy) from error


def _after(
    values: pa.Array, after: str | None, kind: pa.DataType, inclusive: bool, where: str
) -> pa.Array | None:
    if after is None:
        return None
    low = _scalar(after, kind, where)
    return pc.greater_equal(values, low) if inclusive else pc.greater(values, low)


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _low(column: str, after: str | None, inclusive: bool) -> str:
    return "true" if after is None else f"{quoted(column)} {'>=' if inclusive else '>'} {_literal(after)}"


def _newest_query(query: str, column: str, after: str | None, inclusive: bool) -> str:
    name = quoted(column)
    return (
        f"SELECT max({name})::text AS newest, count(*) FILTER (WHERE {name} IS NULL) AS missing "
        f"FROM ({query.strip().removesuffix(';')}\n) AS q WHERE {name} IS NULL OR {_low(column, after, inclusive)}"
    )


def _between_query(query: str, column: str, batch: Batch, inclusive: bool) -> str:
    until = f"{quoted(column)} <= {_literal(batch.until or '')}"
    low = _low(column, batch.after, inclusive)
    return f"SELECT * FROM ({query.strip().removesuffix(';')}\n) AS q WHERE {low} AND {until}"

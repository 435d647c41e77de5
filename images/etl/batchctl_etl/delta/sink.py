"""One load into a Delta table: one commit, or none.

Files are written first and mean nothing until the commit names them: a load that is killed leaves the old
version, and files that `etl delta vacuum` removes. An append is committed together with its load id (a Delta
`txn`), so that the same load is never appended twice, not even by two attempts at once.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from batchctl_etl.config.delta import DeltaMode, DeltaSink
from batchctl_etl.delta.merge import merge
from batchctl_etl.delta.opening import Place, arrow_schema, delta_errors, place, table_at
from batchctl_etl.delta.types import delta_schema, fits
from batchctl_etl.delta.writing import METADATA, Target, application, write
from batchctl_etl.errors import WorkFailed
from batchctl_etl.tables.columns import cast_rows, check_columns, table_schema, typeless_columns
from batchctl_etl.tables.keys import key_columns

if TYPE_CHECKING:
    from deltalake import DeltaTable


@dataclass(frozen=True, kw_only=True)
class DeltaLoaded:
    """Rows of this load (`None` if history has forgotten), the version; `again` if it was committed before."""

    rows: int | None
    version: int
    again: bool = False


def load_delta(reader: pa.RecordBatchReader, sink: DeltaSink, *, load_id: str) -> DeltaLoaded:
    """Load all rows. Raises `WorkFailed`; the table is then as it was."""
    where = place(sink.url)
    table = table_at(where)
    if table is not None and sink.mode is DeltaMode.APPEND and (done := _committed(table, load_id, where)):
        return done
    schema = _target_schema(reader, table, sink, where.name)
    target = Target(where=where, table=table, schema=schema, sink=sink, load_id=load_id)
    if sink.mode is DeltaMode.MERGE:
        rows = merge(_fitted(reader, schema, where.name), target)
    else:
        rows = write(_fitted(reader, schema, where.name), target, predicate=sink.overwrite_where)
    written = table_at(where)
    assert written is not None
    return DeltaLoaded(rows=rows, version=written.version())


def _committed(table: "DeltaTable", load_id: str, where: Place) -> DeltaLoaded | None:
    with delta_errors(where.name):
        if table.transaction_version(application(load_id)) is None:
            return None
        for entry in table.history(1000):
            if entry.get(METADATA) == load_id:
                rows = entry.get("operationMetrics", {}).get("num_added_rows")
                return DeltaLoaded(rows=rows, version=entry["version"], again=True)
        return DeltaLoaded(rows=None, version=table.version(), again=True)


def _target_schema(
    reader: pa.RecordBatchReader, table: "DeltaTable | None", sink: DeltaSink, where: str
) -> pa.Schema:
    """The table's columns, in its order and spelling; with `evolve`, the new ones after them."""
    source = delta_schema(table_schema(reader.schema, where=where), where=where)
    typeless = typeless_columns(reader.schema)
    key_columns(sink.key, source.names, where=where)
    if table is None:
        if typeless:
            what = (
                f"the table is missing, and the type of {sorted(typeless)[0]!r} is unknown: it has no value"
            )
            raise WorkFailed(where, what, "cast it in the transform, or set source.options.types")
        _check_partitions(sink, source.names, [], where)
        return source
    there = arrow_schema(table)
    _check_partitions(sink, there.names, list(table.metadata().partition_columns), where)
    spelled = {name.lower() for name in there.names}
    added = [field for field in source if sink.evolve and field.name.lower() not in spelled]
    if unknown := [field.name for field in added if field.name in typeless]:
        what = f"the type of the new column {unknown[0]!r} is unknown: it has no value"
        raise WorkFailed(where, what, "cast it in the transform")
    target = pa.schema([*there, *added])
    here = {name.lower() for name in source.names}
    expected = [field for field in target if not sink.evolve or field.name.lower() in here]
    kinds = {str(field.type): field.type for field in [*source, *target]}
    check_columns(
        {field.name: str(field.type) for field in source},
        {field.name: str(field.type) for field in expected},
        where=where,
        typeless=typeless,
        fits=lambda left, right: fits(kinds[left], kinds[right]),
        remedy="" if sink.evolve else "let evolve be true for columns that are new or missing, ",
    )
    return target


def _check_partitions(sink: DeltaSink, names: list[str], existing: list[str], where: str) -> None:
    if missing := [name for name in sink.partition_by if name not in names]:
        what = f"partition_by names the column {missing[0]!r}, which is not there"
        raise WorkFailed(where, what, f"the columns are {', '.join(names)}")
    if existing and sink.partition_by and list(sink.partition_by) != existing:
        raise WorkFailed(where, f"the table is partitioned by {', '.join(existing)}", "correct partition_by")


def _fitted(reader: pa.RecordBatchReader, schema: pa.Schema, where: str) -> pa.RecordBatchReader:
    """The rows in the columns of `schema`, those that are missing empty."""
    positions = {name.lower(): index for index, name in enumerate(reader.schema.names)}
    chosen = [positions.get(field.name.lower()) for field in schema]
    arranged = pa.schema(
        [
            pa.field(field.name, pa.null() if at is None else reader.schema.field(at).type)
            for field, at in zip(schema, chosen, strict=True)
        ]
    )
    batches = (
        pa.RecordBatch.from_arrays(
            [pa.nulls(batch.num_rows) if at is None else batch.column(at) for at in chosen], schema=arranged
        )
        for batch in reader
    )
    return cast_rows(pa.RecordBatchReader.from_batches(arranged, batches), schema, where=where)

"""The one flow of a load into a table, for every database.

The rows are first staged, privately, so that bad input is found before the target is touched and its lock is
held only for one short transaction: check the columns, delete what gives way, insert, remember the load. Only a
replacement, which shares the table with nobody, may go straight in, where the database can take it so.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable

import pyarrow as pa

from batchctl_etl.config.table import OnDuplicate, TableMode
from batchctl_etl.errors import WorkFailed
from batchctl_etl.tables.columns import cast_rows, check_columns, table_schema, typeless_columns
from batchctl_etl.tables.keys import Stage, check_key_forms, check_staged_key, key_columns
from batchctl_etl.tables.statements import NO_TYPE, Target, table_creation


class Engine(Stage, Protocol):
    """A database: its private stage, its target, and its own types. Every verb raises `WorkFailed`."""

    def stage(self, reader: pa.RecordBatchReader) -> dict[str, str]:
        """Keep all rows, in order, as the dialect's stage; its columns and their types."""

    def has_target(self) -> bool:
        """Whether there may be a table already; `attached` makes the database if need be."""

    def attached(self) -> AbstractContextManager[None]:
        """The target in one transaction: committed when the block ends well, else rolled back.

        Waits for another process that has it, up to a limit.
        """

    def columns(self, table: str) -> dict[str, str]:
        """Columns and types of a table of the target; empty if it is missing."""

    def fits(self, source: str, table: str) -> bool:
        """Whether a column of type `source` goes into one of type `table` unchanged, or fails by itself."""


@runtime_checkable
class DirectEngine(Engine, Protocol):
    """A database that can also take rows without a stage."""

    def takes(self, schema: pa.Schema, table: str) -> bool:
        """Whether rows of `schema` go into the table as they are: there is none yet, or its types are these."""

    def copy(self, reader: pa.RecordBatchReader, table: str) -> int:
        """Inside `attached`: append all rows to the table, which is made if it is missing; how many there were."""


@dataclass(frozen=True, kw_only=True)
class TableLoad:
    """What to do. `where` names the table in messages, `at` is the moment (UTC) that the ledger remembers.

    `once`: also a merge and a replacement are not repeated if the ledger has them, for newer loads may have come since.
    """

    table: str
    mode: TableMode
    key: tuple[str, ...]
    on_duplicate: OnDuplicate
    load_id: str
    at: datetime
    where: str
    once: bool = False


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """Rows written by this load; `again` if an earlier attempt had committed it and nothing was done."""

    rows: int
    again: bool


def load_table(reader: pa.RecordBatchReader, load: TableLoad, engine: Engine) -> Loaded:
    """Load all rows of `reader`. Raises `WorkFailed`; the table is then as it was."""
    schema = table_schema(reader.schema, where=load.where)
    typeless = typeless_columns(reader.schema)
    key = key_columns(load.key, schema.names, where=load.where)
    rows = cast_rows(reader, schema, where=load.where)
    if load.mode is TableMode.REPLACE and not key and isinstance(engine, DirectEngine):
        if not engine.has_target():
            _check_types_known(typeless, load)
        if engine.takes(schema, load.table):
            return _replaced(rows, schema, load, engine)
    source = engine.stage(rows)
    if key:
        check_staged_key(engine, key, load.on_duplicate, where=load.where)
    if not engine.has_target():
        _check_types_known(typeless, load)
    with engine.attached():
        engine.query(engine.dialect.ledger_creation())
        committed = engine.query(engine.dialect.ledger_lookup(), load.load_id, load.table)
        if committed and (load.once or load.mode is TableMode.APPEND) and engine.columns(load.table):
            return Loaded(rows=int(committed[0][0]), again=True)
        return _fill(load, engine, source=source, typeless=typeless, key=key)


def _replaced(rows: pa.RecordBatchReader, schema: pa.Schema, load: TableLoad, engine: DirectEngine) -> Loaded:
    with engine.attached():
        engine.query(engine.dialect.ledger_creation())
        committed = engine.query(engine.dialect.ledger_lookup(), load.load_id, load.table)
        if committed and load.once and engine.columns(load.table):
            return Loaded(rows=int(committed[0][0]), again=True)
        if not engine.takes(schema, load.table):
            raise WorkFailed(load.where, "its columns have changed meanwhile", "run it again")
        if engine.columns(load.table):
            engine.query(f"DELETE FROM {engine.dialect.table(load.table)}")
        count = engine.copy(rows, load.table)
        _remember(load, engine, count)
    return Loaded(rows=count, again=False)


def _remember(load: TableLoad, engine: Engine, rows: int) -> None:
    engine.query(engine.dialect.ledger_deletion(), load.load_id, load.table)
    at = load.at.strftime("%Y-%m-%d %H:%M:%S.%f")
    engine.query(engine.dialect.ledger_entry(), load.load_id, load.table, rows, at)


def _check_types_known(typeless: frozenset[str], load: TableLoad) -> None:
    if typeless:
        what = f"the table is missing, and the type of {sorted(typeless)[0]!r} is unknown: it has no value"
        raise WorkFailed(load.where, what, "cast it in the transform, or set source.options.types")


def _check_numbers(load: TableLoad, engine: Engine, source: Mapping[str, str], target: Target) -> None:
    """Raise `WorkFailed` for a whole number that a column of fractions would round in silence, such as 2^53 + 1."""
    for name, kind in source.items():
        there = target[name][1]
        query = engine.dialect.changed_number(name, kind, there)
        if query is not None and (found := engine.query(query)[0][0]) is not None:
            what = f"column {name!r}: {found} would be another number in a column of type {there}"
            raise WorkFailed(load.where, what, "round it in the transform, or change the table's type")


def _fill(
    load: TableLoad, engine: Engine, *, source: dict[str, str], typeless: frozenset[str], key: tuple[str, ...]
) -> Loaded:
    dialect, target = engine.dialect, {name: (name, kind) for name, kind in source.items()}
    if existing := engine.columns(load.table):
        check_columns(source, existing, where=load.where, typeless=typeless, fits=engine.fits)
        spelled = {name.lower(): (name, kind) for name, kind in existing.items()}
        target = {name: spelled[name.lower()] for name in source}
        _check_numbers(load, engine, source, target)
        source = {name: NO_TYPE if name in typeless else kind for name, kind in source.items()}
        if load.mode is TableMode.REPLACE:
            engine.query(f"DELETE FROM {dialect.table(load.table)}")
    else:
        _check_types_known(typeless, load)
        engine.query(table_creation(dialect.table(load.table), source))
    if existing and load.mode is TableMode.MERGE:
        check_key_forms(engine, key, source, target, where=load.where)
        for statement in dialect.merge_of_stage(load.table, key, source, target):
            engine.query(statement)
    else:
        engine.query(dialect.insertion_of_stage(load.table, source, target))
    rows = int(engine.query(f"SELECT count(*) FROM {dialect.stage}")[0][0])
    _remember(load, engine, rows)
    return Loaded(rows=rows, again=False)

"""A merge in bounded memory: what stays of the old rows, and the new ones, take the place of the old in one commit.

The library's own merge keeps whole files in memory until it has seen that nothing in them matches: 2.7 GB for
a table of a gigabyte. Here the new rows are staged on disk, the old ones stream past them, and only files in the
range of the new keys are read and written again. A change by somebody else in that range, in the meantime, is
a conflict.
"""

import tempfile
from collections.abc import Sequence
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa

from batchctl_etl.delta.opening import delta_errors
from batchctl_etl.delta.writing import Target, write
from batchctl_etl.tables.columns import cast_rows
from batchctl_etl.tables.duckdb_stage import DuckdbStage
from batchctl_etl.tables.keys import check_staged_key, key_columns
from batchctl_etl.tables.statements import listed, quoted

MEMORY_LIMIT = "256MB"
_COMPARED = frozenset({"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "VARCHAR", "DATE"})
"""Types of key columns whose limits can be written down as text."""
_LONGEST_TEXT = 200


def merge(rows: pa.RecordBatchReader, target: Target) -> int:
    """Merge rows of `target.schema` by the sink's key; how many there were. Raises `WorkFailed`."""
    where, schema, table = target.where.name, target.schema, target.table
    key = key_columns(target.sink.key, schema.names, where=where)
    with (
        tempfile.TemporaryDirectory(prefix="etl-") as folder,
        closing(DuckdbStage(Path(folder), where=where, memory_limit=MEMORY_LIMIT)) as stage,
    ):
        kinds = stage.stage(rows)
        check_staged_key(stage, key, target.sink.on_duplicate, where=where)
        count = int(stage.query("SELECT count(*) FROM main.stage")[0][0])
        columns = listed(schema.names)
        if table is None:
            write(cast_rows(stage.rows(f"SELECT {columns} FROM main.stage"), schema, where=where), target)
        elif count:
            limits = predicate(_limits(stage, [name for name in key if kinds[name] in _COMPARED]))
            with delta_errors(where):
                old = pa.RecordBatchReader.from_stream(table.scan(predicate=limits))
            same = " AND ".join(f"new.{quoted(name)} = old.{quoted(name)}" for name in key)
            here = ", ".join(
                quoted(name) if name in old.schema.names else f"NULL AS {quoted(name)}"
                for name in schema.names
            )
            query = (
                f"SELECT {here} FROM incoming AS old WHERE NOT EXISTS (SELECT 1 FROM main.stage AS new WHERE {same}) "
                f"UNION ALL SELECT {columns} FROM main.stage"
            )
            write(cast_rows(stage.rows(query, old), schema, where=where), target, predicate=limits)
        return count


def _limits(stage: DuckdbStage, key: Sequence[str]) -> dict[str, tuple[Any, Any]]:
    if not key:
        return {}
    asked = ", ".join(f"min({quoted(name)}), max({quoted(name)})" for name in key)
    found = stage.query(f"SELECT {asked} FROM main.stage")[0]
    return {name: (found[2 * index], found[2 * index + 1]) for index, name in enumerate(key)}


def predicate(limits: dict[str, tuple[Any, Any]]) -> str:
    """A condition, in DataFusion's SQL, that no row outside the limits of the key meets."""
    parts = []
    for name, pair in limits.items():
        literals = [_literal(value) for value in pair]
        if None not in literals:
            parts.append(f"{quoted(name)} >= {literals[0]} AND {quoted(name)} <= {literals[1]}")
    return " AND ".join(parts) or "true"


def _literal(value: object) -> str | None:
    """`None` for what is not worth, or not safe, to be compared in text."""
    if isinstance(value, int):
        return str(value)
    if type(value) is date:
        return f"CAST('{value.isoformat()}' AS DATE)"
    if isinstance(value, str) and len(value) <= _LONGEST_TEXT and value.isprintable():
        return "'" + value.replace("'", "''") + "'"
    return None

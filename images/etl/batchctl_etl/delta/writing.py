"""Rows written as the files of a Delta table, and the one commit that names them."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from batchctl_etl.config.delta import DeltaMode, DeltaSink
from batchctl_etl.delta.opening import Place, arrow_schema, delta_errors, delta_extra
from batchctl_etl.errors import WorkFailed
from batchctl_etl.signals import signals_held
from batchctl_etl.tables.watched import Watched

if TYPE_CHECKING:
    from deltalake import CommitProperties, DeltaTable, WriterProperties

GROUP_ROWS = 131_072
"""Rows of a row group: a reader and a writer hold a few of them."""
HEEDS_SIGNALS_EVERY = 0.1
"""Seconds."""
METADATA = "batchctl_load_id"
"""Where a version's history names the load that made it."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """The table, `None` if it is missing, and the columns that the rows must have."""

    where: Place
    table: "DeltaTable | None"
    schema: pa.Schema
    sink: DeltaSink
    load_id: str

    @property
    def adds_columns(self) -> bool:
        return self.table is not None and len(self.schema) > len(arrow_schema(self.table))


def write(rows: pa.RecordBatchReader, target: Target, *, predicate: str | None = None) -> int:
    """Write rows of `target.schema` and commit them; how many there were. Raises `WorkFailed`.

    With `predicate` they take the place of the rows for which it is true.
    """
    with delta_extra():
        from deltalake import write_deltalake

    where, table, sink = target.where, target.table, target.sink
    watched = Watched(rows)
    append = sink.mode is DeltaMode.APPEND or table is None
    made = Path(where.uri) if not where.options and not Path(where.uri).exists() else None

    how: dict[str, Any] = {"mode": "append"} if append else {"mode": "overwrite", "predicate": predicate}
    how |= {"schema_mode": "merge"} if target.adds_columns else {}

    def run() -> None:
        write_deltalake(
            where.uri if table is None else table,
            watched.reader,
            partition_by=list(sink.partition_by) or None,
            storage_options=where.options,
            writer_properties=writer_properties(),
            commit_properties=_commit_properties(target),
            **how,
        )

    try:
        with delta_errors(where.name):
            _interruptible(run, watched)
    except WorkFailed as error:
        if made is not None:
            with suppress(OSError):
                made.rmdir()
        raise (watched.failure or error) from error
    return watched.rows


def writer_properties() -> "WriterProperties":
    """Parquet as the stages write it elsewhere."""
    from deltalake import WriterProperties

    return WriterProperties(compression="ZSTD", compression_level=1, max_row_group_size=GROUP_ROWS)


def _commit_properties(target: Target) -> "CommitProperties":
    from deltalake import CommitProperties, Transaction

    metadata: dict[str, Any] = {METADATA: target.load_id}
    if target.sink.mode is not DeltaMode.APPEND:
        return CommitProperties(custom_metadata=metadata)
    transaction = Transaction(application(target.load_id), 1)
    return CommitProperties(custom_metadata=metadata, app_transactions=[transaction])


def application(load_id: str) -> str:
    """The name under which a Delta transaction remembers the load."""
    return f"batchctl-etl/{load_id}"


def _interruptible(work: Callable[[], None], watched: Watched) -> None:
    """Do `work` in a thread: the library holds the one it is called in, and a signal would wait for its end."""
    with signals_held() as heed_signals, ThreadPoolExecutor(1, thread_name_prefix="delta") as pool:
        future = pool.submit(work)
        try:
            # Not `result()`: a signal that comes as this thread is about to block does not wake it.
            while not wait([future], timeout=HEEDS_SIGNALS_EVERY).done:
                heed_signals()
        except BaseException:
            watched.stopped = True
            raise
        future.result()

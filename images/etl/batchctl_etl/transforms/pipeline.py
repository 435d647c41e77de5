"""The declared steps, run: one DuckDB query after another, joined by streams of rows.

A cast ends a query, for its bad rows are taken out here, one by one, with their numbers; so does a function. Nothing is kept:
if a later step reads its rows twice, the steps before run twice, and only the first time are bad rows written down.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

import pyarrow as pa

from batchctl_etl.config.cast import Cast, OnError
from batchctl_etl.config.steps import Join, Melt, Python, Select, Sql, Step
from batchctl_etl.errors import WorkFailed
from batchctl_etl.readers.source import FileInput, OpenRows, RowInput
from batchctl_etl.transforms.cast import ROW, WHY
from batchctl_etl.transforms.python import called
from batchctl_etl.transforms.quarantine import BadRows
from batchctl_etl.transforms.sql import select
from batchctl_etl.transforms.steps import Columns, compiled

PREVIOUS = "the rows so far"
"""The view of what the query before gave; no input can have this name."""
Numbered = tuple[int, Step]


@contextmanager
def stepped(
    steps: Sequence[Step],
    inputs: Mapping[str, RowInput],
    *,
    start: str,
    bad: BadRows,
    memory_limit: str,
    threads: int | None,
) -> Iterator[pa.RecordBatchReader]:
    """The rows of `steps`, which begin with the input `start`; good inside the block. Raises `WorkFailed`."""
    parts = segments(list(enumerate(steps, 1)))
    share = shared(memory_limit, len(parts))
    views: dict[str, OpenRows] = {name: item.open for name, item in inputs.items()}
    if needed := needed_columns(steps, start, inputs[start]):
        views[start] = needed
    with ExitStack() as stack:
        begin = start
        for part in parts[:-1]:
            opened = _opener(part, begin, dict(views), inputs, bad, share, threads, stack)
            views[PREVIOUS], begin = opened, PREVIOUS
        last = parts[-1]
        if isinstance(last[0][1], Python):
            yield _called(last[0], views[begin])
            return
        with select(_compiler(last, begin), views, memory_limit=share, threads=threads) as reader:
            yield _sifted(reader, last, _place(last, begin, inputs), bad)


def needed_columns(steps: Sequence[Step], start: str, source: RowInput) -> OpenRows | None:
    """How to open files of which the first step takes some columns only; `None` if all are needed, or others read it."""
    first = steps[0]
    others = any(isinstance(step, Sql) or (isinstance(step, Join) and step.input == start) for step in steps)
    if others or not isinstance(source, FileInput) or not isinstance(first, Select | Melt):
        return None
    names = source.open().schema.names
    if isinstance(first, Select):
        wanted = set(first.columns)
    else:
        matching = [name for name in names if re.fullmatch(first.columns, name)]
        wanted = set(names) - set(matching[: -first.last] if first.last else [])
    only = [name for name in names if name in wanted]
    return partial(source.open, only) if 0 < len(only) < len(names) and wanted <= set(names) else None


def segments(steps: list[Numbered]) -> list[list[Numbered]]:
    """The steps of each query: one ends with each cast that may find bad rows; a function stands alone."""
    parts: list[list[Numbered]] = [[]]
    for number, step in steps:
        before = parts[-1][-1][1] if parts[-1] else None
        if before and (_is_sifting(before) or isinstance(before, Python) or isinstance(step, Python)):
            parts.append([])
        parts[-1].append((number, step))
    return parts


def shared(memory_limit: str, parts: int) -> str:
    """An equal part of `memory_limit`, such as `1.5GB`, in bytes."""
    match = re.fullmatch(r"([0-9.]+) ?([KMGT])(i?)B", memory_limit)
    assert match is not None
    unit = (1024 if match[3] else 1000) ** ("KMGT".index(match[2]) + 1)
    return f"{int(float(match[1]) * unit / parts)}B" if parts > 1 else memory_limit


def _opener(
    part: list[Numbered],
    begin: str,
    views: dict[str, OpenRows],
    inputs: Mapping[str, RowInput],
    bad: BadRows,
    memory_limit: str,
    threads: int | None,
    stack: ExitStack,
) -> OpenRows:
    scans = [bad]  # The first to come takes it.

    def opened() -> pa.RecordBatchReader:
        if isinstance(part[0][1], Python):
            return _called(part[0], views[begin])
        query = select(_compiler(part, begin), views, memory_limit=memory_limit, threads=threads)
        reader = stack.enter_context(query)
        return _sifted(reader, part, _place(part, begin, inputs), scans.pop() if scans else None)

    return opened


def _called(numbered: Numbered, open_rows: OpenRows) -> pa.RecordBatchReader:
    number, step = numbered
    assert isinstance(step, Python)
    return called(step.function, open_rows(), where=f"step {number} ({step.type})")


def _compiler(part: list[Numbered], begin: str) -> Callable[[Columns], str]:
    return lambda columns: compiled(part, begin, columns)


def _is_sifting(step: Step) -> bool:
    return isinstance(step, Cast) and step.on_error is not OnError.NULL


def _place(part: list[Numbered], begin: str, inputs: Mapping[str, RowInput]) -> Callable[[int], str]:
    """How to name a row of the last step by its number, from 1: by its file if no other step came before."""
    if len(part) == 1 and begin in inputs:
        return inputs[begin].place
    number, step = part[-1]
    return lambda row: f"step {number} ({step.type}), row {row}"


def _sifted(
    reader: pa.RecordBatchReader, part: list[Numbered], place: Callable[[int], str], bad: BadRows | None
) -> pa.RecordBatchReader:
    if not part or not _is_sifting(part[-1][1]):
        return reader
    step = part[-1][1]
    assert isinstance(step, Cast)
    schema = pa.schema(list(reader.schema)[:-2])
    return pa.RecordBatchReader.from_batches(schema, _good(reader, schema, step, place, bad))


def _good(
    reader: pa.RecordBatchReader,
    schema: pa.Schema,
    step: Cast,
    place: Callable[[int], str],
    bad: BadRows | None,
) -> Iterator[pa.RecordBatch]:
    before = 0
    for batch in reader:
        why = batch.column(WHY)
        good = batch.select(schema.names)
        if why.null_count < batch.num_rows:
            for index in _indexes(why):
                _refuse(
                    step, place(before + index + 1), why[index].as_py(), batch.column(ROW)[index].as_py(), bad
                )
            good = good.filter(why.is_null())
        before += batch.num_rows
        yield good


def _indexes(why: pa.Array) -> list[int]:
    return [index for index, found in enumerate(why.is_valid().to_pylist()) if found]


def _refuse(step: Cast, place: str, why: str, row: str, bad: BadRows | None) -> None:
    if step.on_error is OnError.FAIL:
        remedy = 'correct the source or the cast, or set on_error to "quarantine" or "null"'
        raise WorkFailed(place, why, remedy)
    if bad is not None:
        bad.add(place, why, row.encode())

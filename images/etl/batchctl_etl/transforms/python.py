"""The user's own function in the midst of steps: a `pa.RecordBatchReader` in, a reader or batches out."""

import importlib
import os
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

import pyarrow as pa

from batchctl_etl.errors import WorkFailed


def called(function: str, rows: pa.RecordBatchReader, *, where: str) -> pa.RecordBatchReader:
    """What `function` (`module:name`) makes of `rows`, batch by batch. Modules are also looked for in the working
    directory.

    Raises `WorkFailed`, now or while reading, if there is no such function, or it raises, or gives no batches.
    """
    module, _, name = function.partition(":")
    if os.getcwd() not in sys.path:  # noqa: PTH109 sys.path holds texts
        sys.path.insert(0, os.getcwd())  # noqa: PTH109
    with _translated(where, function):
        made = getattr(importlib.import_module(module), name)(rows)
    if isinstance(made, pa.Table):
        made = made.to_reader()
    if isinstance(made, pa.RecordBatchReader):
        return pa.RecordBatchReader.from_batches(made.schema, _batches(made, made.schema, where, function))
    if not isinstance(made, Iterable):
        what = f"{function} gave a {type(made).__name__}"
        raise WorkFailed(where, what, "return a RecordBatchReader, a Table, or an iterable of RecordBatches")
    with _translated(where, function):
        batches = iter(made)
        first = next(batches, None)
    if first is None:
        raise WorkFailed(where, f"{function} gave no batch", "give one without rows: it tells the columns")
    schema = _checked(first, None, where, function).schema
    return pa.RecordBatchReader.from_batches(
        schema, _batches(chain([first], batches), schema, where, function)
    )


def _batches(
    batches: Iterable[Any], schema: pa.Schema, where: str, function: str
) -> Iterator[pa.RecordBatch]:
    iterator = iter(batches)
    while True:
        with _translated(where, function):
            batch = next(iterator, None)
        if batch is None:
            return
        yield _checked(batch, schema, where, function)


def _checked(batch: object, schema: pa.Schema | None, where: str, function: str) -> pa.RecordBatch:
    if not isinstance(batch, pa.RecordBatch):
        raise WorkFailed(where, f"{function} gave a {type(batch).__name__}", "give RecordBatches")
    if schema is not None and batch.schema != schema:
        what = f"{function} gave batches of different columns"
        raise WorkFailed(where, what, f"the first had {', '.join(schema.names)}; give all the same schema")
    return batch


@contextmanager
def _translated(where: str, function: str) -> Iterator[None]:
    try:
        yield
    except WorkFailed:
        raise  # A reader's: it names its place.
    except Exception as error:
        frame = (traceback.extract_tb(error.__traceback__) or [None])[-1]
        place = f" ({frame.filename}:{frame.lineno})" if frame else ""
        what = f"{function}: {type(error).__name__}: {error}{place}"
        raise WorkFailed(where, what, "correct the function") from error

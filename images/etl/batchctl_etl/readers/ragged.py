"""CSV whose rows have different numbers of fields: each row is one list of texts, in the column `fields`.

No types and no names: what a field means depends on the row, and is for a transform to say.
"""

import csv
import io
from collections.abc import Iterator
from contextlib import suppress

import pyarrow as pa

from batchctl_etl.config.rows import Options
from batchctl_etl.errors import WorkFailed

SCHEMA = pa.schema({"fields": pa.list_(pa.string())})
_ROWS = 8192
"""Rows of a batch."""


def ragged_rows(file: io.BufferedReader, options: Options, *, where: str) -> pa.RecordBatchReader:
    """The rows of a CSV file, each a list; empty lines are none. While reading raises `WorkFailed` naming the
    line, `UnicodeError`."""
    return pa.RecordBatchReader.from_batches(SCHEMA, _batches(file, options, where))


def _batches(file: io.BufferedReader, options: Options, where: str) -> Iterator[pa.RecordBatch]:
    encoding = "utf-8-sig" if options.encoding.lower() in {"utf-8", "utf8"} else options.encoding
    text = io.TextIOWrapper(file, encoding, newline="")
    # Strict, and a field has its limit (128 KiB): a quote that is not closed does not swallow the file.
    rows = csv.reader(text, delimiter=options.delimiter, quotechar=options.quote, strict=True)
    batch: list[list[str]] = []
    try:
        for row in rows:
            if row:
                batch.append(row)
            if len(batch) == _ROWS:
                yield _batch(batch)
                batch = []
        if batch:
            yield _batch(batch)
    except csv.Error as error:
        remedy = "correct the line, or check options.quote"
        raise WorkFailed(f"{where}, line {rows.line_num}", str(error), remedy) from error
    finally:
        with suppress(ValueError):  # The file is the caller's to close, and may be closed already.
            text.detach()


def _batch(rows: list[list[str]]) -> pa.RecordBatch:
    return pa.record_batch([pa.array(rows, SCHEMA.field("fields").type)], schema=SCHEMA)

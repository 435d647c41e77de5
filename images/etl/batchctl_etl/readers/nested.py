"""Nested JSON as columns of text: DuckDB's JSON functions over a stream of lines.

Nothing is guessed, so objects may differ in all they have. A number keeps all its digits.
"""

import codecs
import json
import re
from collections.abc import Iterator
from typing import BinaryIO

import duckdb
import pyarrow as pa

from batchctl_etl.config.flatten import Flatten
from batchctl_etl.tables.statements import quoted

BLOCK_BYTES = 4 * 1024 * 1024
LONGEST_LINE = 64 * 1024 * 1024
BATCH_ROWS = 16_384
MEMORY_LIMIT = "512MB"
_LONG_NUMBER = re.compile(rb"[\d.]{17,}")
"""More digits than a double holds, perhaps."""
_LINES = pa.schema([("n", pa.int64()), ("line", pa.string())])


def nested_rows(file: BinaryIO, flatten: Flatten) -> pa.RecordBatchReader:
    """The rows of a file of objects, one a line; all columns are text.

    Raises `ValueError` while reading for a line that is no JSON, `pa.ArrowInvalid` for one that is not UTF-8.
    """
    schema = pa.schema([(name, pa.string()) for name in flatten.columns])
    return pa.RecordBatchReader.from_batches(schema, _batches(file, query(flatten), schema))


def query(flatten: Flatten) -> str:
    """The SELECT over `lines`, which has the columns `n` and `line`."""
    columns = ", ".join(
        f"json_extract_string({'doc' if path.startswith('$') else 'item'}, {_literal('$' + path[1:])}) AS {quoted(name)}"
        for name, path in flatten.columns.items()
    )
    checked = (
        "CASE WHEN json_valid(line) AND json_type(line) = 'OBJECT' THEN line ELSE error('line ' || n || "
        "' is no JSON object: ' || substr(line, 1, 60)) END"
    )
    docs = f"SELECT {checked} AS doc FROM lines"
    if flatten.explode is None:
        return f"SELECT {columns} FROM ({docs})"
    items = f"json_extract(doc, {_literal(flatten.explode + '[*]')})"
    if flatten.keep_empty:
        items = f"CASE WHEN len({items}) = 0 THEN [NULL] ELSE {items} END"
    return f"SELECT {columns} FROM (SELECT doc, unnest({items}) AS item FROM ({docs}))"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _batches(file: BinaryIO, sql: str, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    failure: list[Exception] = []
    lines = pa.RecordBatchReader.from_batches(_LINES, _watched(_line_batches(file), failure))
    with duckdb.connect(
        config={"memory_limit": MEMORY_LIMIT, "python_enable_replacements": False}
    ) as connection:
        connection.register("lines", lines)
        try:
            for batch in connection.sql(sql).to_arrow_reader(BATCH_ROWS):
                yield batch.cast(schema)
        except (duckdb.Error, pa.ArrowException, RuntimeError) as error:
            if failure:
                raise failure[0] from error
            raise ValueError(re.sub(r"^(.* Error: )+", "", str(error).splitlines()[0])) from error


def _watched(batches: Iterator[pa.RecordBatch], failure: list[Exception]) -> Iterator[pa.RecordBatch]:
    try:
        yield from batches
    except Exception as error:
        failure.append(error)  # DuckDB passes on only the text of it.
        raise


def _line_batches(file: BinaryIO) -> Iterator[pa.RecordBatch]:
    number = 0
    for block in _whole_lines(file):
        found = [(number + i, line) for i, line in enumerate(block.split(b"\n"), 1)]
        number += block.count(b"\n")
        kept = [(n, _with_all_digits(line)) for n, line in found if line.strip()]
        if kept:
            numbers = pa.array([n for n, _ in kept], pa.int64())
            texts = pa.array([line for _, line in kept], pa.binary()).cast(pa.string())
            yield pa.RecordBatch.from_arrays([numbers, texts], schema=_LINES)


def _whole_lines(file: BinaryIO) -> Iterator[bytes]:
    rest = file.read(BLOCK_BYTES).removeprefix(codecs.BOM_UTF8)
    while rest:
        whole, newline, tail = rest.rpartition(b"\n")
        if newline:
            yield whole + newline
            rest = tail
        if len(rest) > LONGEST_LINE:
            raise ValueError(f"a line is longer than {LONGEST_LINE >> 20} MB")
        block = file.read(BLOCK_BYTES)
        if not block:
            if rest:
                yield rest
            return
        rest += block


def _with_all_digits(line: bytes) -> bytes:
    """The line with its fractions as texts, if one may have more digits than a double: DuckDB would round it."""
    if not _LONG_NUMBER.search(line):
        return line
    try:
        return json.dumps(json.loads(line, parse_float=str), ensure_ascii=False).encode()
    except ValueError:
        return line

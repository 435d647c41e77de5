"""JSON: one object a line (JSONL), or one array of objects, which is read piece by piece as well."""

import codecs
import io
import json
from collections.abc import Collection, Iterator
from decimal import Decimal
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO, cast

import ijson
import pyarrow as pa
import pyarrow.json as arrow_json

from batchctl_etl.config.rows import Options
from batchctl_etl.readers.blocks import BLOCK_BYTES, parsed, whole_lines
from batchctl_etl.readers.json_times import as_texts, with_times
from batchctl_etl.readers.types import arrow_types, in_microseconds

if TYPE_CHECKING:
    from typing_extensions import Buffer


def json_rows(
    file: io.BufferedReader, options: Options, *, is_array: bool, where: str, known: pa.Schema | None = None
) -> pa.RecordBatchReader:
    """The objects as rows; types are those of `known`, or configured, or guessed from the first block.

    Raises `pa.ArrowInvalid`, `ValueError`, `WorkFailed`.
    """
    wanted = known or pa.schema(list(arrow_types(options.types).items()))
    decimals = [field.name for field in wanted if pa.types.is_decimal(field.type)]
    lines = cast(BinaryIO, file)
    if is_array:
        objects = ArrayAsLines(file, exact=bool(options.flatten), decimals=decimals)
        lines = cast(BinaryIO, io.BufferedReader(objects, BLOCK_BYTES))
    if options.flatten is not None:
        from batchctl_etl.readers.nested import nested_rows

        return nested_rows(lines, options.flatten)
    blocks = whole_lines(lines.read)
    first = next(blocks, b"")
    schema = _parsed(first, as_texts(wanted), new="infer").schema
    tables = parsed(lambda block: _later(block, schema), chain([first], blocks))
    reader = pa.RecordBatchReader.from_batches(
        schema, (batch for table in tables for batch in table.to_batches())
    )
    return with_times(in_microseconds(reader), wanted, where=where)


def _later(block: bytes, schema: pa.Schema) -> pa.Table:
    """The rows of whole lines, which must have the fields of those before. Raises `pa.ArrowInvalid`."""
    try:
        return _parsed(block, schema, new="error")
    except pa.ArrowInvalid as error:
        if "unexpected field" not in str(error):
            raise
        found = _parsed(block, schema, new="infer").schema
        names = ", ".join(repr(field.name) for field in found if field not in schema)
        raise pa.ArrowInvalid(f"the first rows have not all of {names}") from error


def _parsed(block: bytes, schema: pa.Schema, *, new: str) -> pa.Table:
    """The rows of whole lines; `new` says what becomes of a field that `schema` has not."""
    if new == "error" and block.isspace():
        return schema.empty_table()
    return arrow_json.read_json(
        pa.BufferReader(block),
        read_options=arrow_json.ReadOptions(use_threads=False, block_size=len(block) + 1),
        parse_options=arrow_json.ParseOptions(
            explicit_schema=schema, newlines_in_values=False, unexpected_field_behavior=new
        ),
    )


class ArrayAsLines(io.RawIOBase):
    """A file that holds an array of objects, read as one object a line. Raises `ValueError` for anything
    else. `exact`: fractions are texts, with all their digits; else those of the columns `decimals` are."""

    def __init__(
        self, file: io.BufferedReader, *, exact: bool = False, decimals: Collection[str] = ()
    ) -> None:
        super().__init__()
        self._lines = _lines(file, exact=exact, decimals=decimals)
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "Buffer") -> int:
        self._rest = self._rest or next(self._lines, b"")
        view = memoryview(buffer)
        size = min(len(view), len(self._rest))
        view[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


def _lines(file: io.BufferedReader, *, exact: bool, decimals: Collection[str]) -> Iterator[bytes]:
    try:
        if file.peek(3).startswith(codecs.BOM_UTF8):
            file.read(len(codecs.BOM_UTF8))
        first = file.peek(4096).lstrip()[:1]
        if first != b"[":
            raise ValueError(
                f"an array of objects is expected, and it starts with {first.decode(errors='replace')!r}"
            )
        for item in ijson.items(file, "item", use_float=not (exact or decimals)):
            if not isinstance(item, dict):
                raise ValueError(f"the array holds a {type(item).__name__}, and only objects are rows")
            for name in decimals:
                if isinstance(item.get(name), Decimal):
                    item[name] = str(item[name])
            yield json.dumps(item, default=str if exact else float).encode() + b"\n"
    except ijson.JSONError as error:
        raise ValueError(str(error)) from error

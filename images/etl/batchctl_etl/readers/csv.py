"""CSV: types are guessed from the first block and hold for the whole file, or are configured.

While nothing is quoted, blocks are parsed several at once. From the first quote on, which may hold line breaks, it is
one after the other, as Arrow does it.
"""

import codecs
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO, cast

import pyarrow as pa
import pyarrow.csv as arrow_csv

from batchctl_etl.config.rows import Options
from batchctl_etl.errors import WorkFailed
from batchctl_etl.readers.blocks import BLOCK_BYTES, parsed, whole_lines
from batchctl_etl.readers.ragged import ragged_rows
from batchctl_etl.readers.types import arrow_types, in_microseconds

if TYPE_CHECKING:
    from typing_extensions import Buffer

_FIRST_LINE = re.compile(rb"(?:\xef\xbb\xbf)?[\r\n]*[^\r\n]*")


def csv_rows(
    file: io.BufferedReader,
    options: Options,
    *,
    where: str,
    known: pa.Schema | None = None,
    only: Sequence[str] = (),
) -> pa.RecordBatchReader:
    """The rows of a CSV file (RFC 4180: quoted fields may hold line breaks), in the types of `known` if given.

    With `only`, these columns: what is in the others is not looked at.

    Raises `pa.ArrowInvalid`, `WorkFailed`.
    """
    if options.ragged:
        return ragged_rows(file, options, where=where)
    types = {field.name: field.type for field in known} if known else arrow_types(options.types)
    reader = _opened(file, Parsing(options, types, only))
    for name in options.types:
        if name not in (reader.schema.names if not only or name in only else [name]):
            raise WorkFailed(
                where, f"options.types names the column {name!r}, which is not there", _columns(reader)
            )
    for field in reader.schema:
        # Text that is not UTF-8 is taken for bytes by the guess of types.
        if pa.types.is_binary(field.type):
            raise WorkFailed(
                where, f"column {field.name!r} is not UTF-8", "set options.encoding, such as latin-1"
            )
    return in_microseconds(reader)


def _opened(file: io.BufferedReader, how: "Parsing") -> pa.RecordBatchReader:
    if codecs.lookup(how.options.encoding).name != "utf-8":
        return how.streamed(file)
    blocks = whole_lines(file.read)
    first = next(blocks)
    if how.quote in first:
        return how.streamed(_joined(chain([first], blocks)))
    table = how.block(first)
    rest = how.after(how.names(first), table.schema)
    return pa.RecordBatchReader.from_batches(table.schema, _batches(table, blocks, rest))


def _batches(first: pa.Table, blocks: Iterator[bytes], how: "Parsing") -> Iterator[pa.RecordBatch]:
    yield from first.to_batches()
    quoted: list[bytes] = []

    def plain() -> Iterator[bytes]:
        for block in blocks:
            # Arrow takes a mark of UTF-8 off what it is given; that of a later block is text.
            text = b"\n" + block if block.startswith(codecs.BOM_UTF8) else block
            if how.quote in text:
                quoted.append(text)
                return
            yield text

    for table in parsed(how.block, plain()):
        yield from table.to_batches()
    if quoted:
        yield from how.streamed(_joined(chain(quoted, blocks)))


class Parsing:
    """How Arrow reads lines: of a whole file, or with `names` (those of all its columns) of the rest of one."""

    def __init__(
        self,
        options: Options,
        types: Mapping[str, pa.DataType],
        only: Sequence[str],
        names: Sequence[str] = (),
    ) -> None:
        self.options = options
        self.quote = options.quote.encode()
        self._only = only
        self._names = list(names or options.columns)
        self._has_header = options.header and not names
        self._parse = arrow_csv.ParseOptions(
            delimiter=options.delimiter, quote_char=options.quote, newlines_in_values=True
        )
        self._convert = arrow_csv.ConvertOptions(
            null_values=list(options.null_values),
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            column_types=types,
            include_columns=list(only),
        )

    def after(self, names: Sequence[str], schema: pa.Schema) -> "Parsing":
        """How to read what comes after rows of `schema`."""
        return Parsing(self.options, {field.name: field.type for field in schema}, self._only, names)

    def _read(self, size: int, *, threads: bool = False) -> arrow_csv.ReadOptions:
        return arrow_csv.ReadOptions(
            use_threads=threads,
            block_size=size,
            encoding=self.options.encoding,
            column_names=self._names or None,
            autogenerate_column_names=not self._has_header and not self._names,
        )

    def streamed(self, file: io.BufferedReader) -> pa.RecordBatchReader:
        """The rows of `file`, block after block."""
        return arrow_csv.open_csv(
            cast(BinaryIO, file), self._read(BLOCK_BYTES, threads=True), self._parse, self._convert
        )

    def block(self, lines: bytes) -> pa.Table:
        """The rows of whole lines, none of them quoted."""
        read = self._read(len(lines) + 1)
        try:
            return arrow_csv.read_csv(pa.BufferReader(lines), read, self._parse, self._convert)
        except pa.ArrowInvalid as error:
            # The number is that of the row in the block.
            raise pa.ArrowInvalid(re.sub(r"Row #\d+: ", "", str(error), count=1)) from error

    def names(self, lines: bytes) -> list[str]:
        """The columns that `lines` begin with, also those that are not wanted."""
        line = cast("re.Match[bytes]", _FIRST_LINE.match(lines))[0] + b"\n"
        names: list[str] = arrow_csv.read_csv(
            pa.BufferReader(line), self._read(len(line) + 1), self._parse
        ).schema.names
        return names


def _joined(blocks: Iterable[bytes]) -> io.BufferedReader:
    """Blocks as a file, which gives as much as it is asked for."""
    return io.BufferedReader(_Joined(blocks), BLOCK_BYTES)


class _Joined(io.RawIOBase):
    def __init__(self, blocks: Iterable[bytes]) -> None:
        super().__init__()
        self._blocks = iter(blocks)
        self._held = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "Buffer") -> int:
        view = memoryview(buffer)
        if not self._held:
            self._held = memoryview(next(self._blocks, b""))
        size = min(len(view), len(self._held))
        view[:size] = self._held[:size]
        self._held = self._held[size:]
        return size


def _columns(reader: pa.RecordBatchReader) -> str:
    return f"its columns are {', '.join(reader.schema.names)}"

"""CSV: types are guessed from the first block and hold for the whole file, or are configured.

While nothing is quoted, blocks are parsed several at once. From the first quote on, which may hold line breaks, it is
one after the other, as Arrow does it.

In a file with one column an empty line is a row without a value, as our writer and databases write it.
"""

import codecs
import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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

_LINE_END = re.compile(r"\r\n|\r|\n")
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
    blocks = whole_lines(_in_utf_8(file, how.options.encoding))
    first = _beginning(blocks, has_header=how.options.header)
    how = how.beginning(first)
    if how.quote in first:
        return how.streamed(how.joined(chain([first], blocks)))
    table = how.block(first)
    rest = how.after(how.names(first), table.schema)
    return pa.RecordBatchReader.from_batches(table.schema, _batches(table, blocks, rest))


def _batches(first: pa.Table, blocks: Iterator[bytes], how: "Parsing") -> Iterator[pa.RecordBatch]:
    yield from first.to_batches()
    quoted: list[bytes] = []

    def plain() -> Iterator[bytes]:
        for block in blocks:
            # Arrow takes a mark of UTF-8 off what it is given; that of a later block is text.
            text = codecs.BOM_UTF8 + block if block.startswith(codecs.BOM_UTF8) else block
            if how.quote in text:
                quoted.append(text)
                return
            yield text

    for table in parsed(how.block, plain()):
        yield from table.to_batches()
    if quoted:
        yield from how.streamed(how.joined(chain(quoted, blocks)))


class Parsing:
    """How Arrow reads lines: of a whole file, or with `names` (those of all its columns) of the rest of one."""

    def __init__(
        self,
        options: Options,
        types: Mapping[str, pa.DataType],
        only: Sequence[str],
        names: Sequence[str] = (),
        *,
        before: int | None = None,
    ) -> None:
        """`before`: the file has one column, and so many empty lines before its header. All others are rows."""
        self.options = options
        self.quote = options.quote.encode()
        self._types = types
        self._only = only
        self._names = list(names or options.columns)
        self._before = before
        self._has_header = options.header and not names
        self._parse = arrow_csv.ParseOptions(
            delimiter=options.delimiter,
            quote_char=options.quote,
            newlines_in_values=True,
            ignore_empty_lines=before is None,
        )
        self._convert = arrow_csv.ConvertOptions(
            null_values=list(options.null_values),
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            column_types=types,
            include_columns=list(only),
        )

    def beginning(self, head: bytes) -> "Parsing":
        """How to read the whole of a file that begins with `head`."""
        before = _empty_before(head.decode(errors="replace"), self.options)
        return Parsing(self.options, self._types, self._only, before=before)

    def after(self, names: Sequence[str], schema: pa.Schema) -> "Parsing":
        """How to read what comes after rows of `schema`."""
        types = {field.name: field.type for field in schema}
        before = None if self._before is None else 0
        return Parsing(self.options, types, self._only, names, before=before)

    def _read(self, size: int, *, threads: bool = False) -> arrow_csv.ReadOptions:
        return arrow_csv.ReadOptions(
            use_threads=threads,
            block_size=size,
            skip_rows=self._before or 0,
            column_names=self._names or None,
            autogenerate_column_names=not self._has_header and not self._names,
        )

    def joined(self, blocks: Iterable[bytes]) -> io.BufferedReader:
        """Blocks as a file, which gives as much as it is asked for."""
        return _Pieces(_Joined(_ended(blocks, self.quote + self.options.delimiter.encode())), BLOCK_BYTES)

    def streamed(self, file: io.BufferedReader) -> pa.RecordBatchReader:
        """The rows of `file`, which is UTF-8, block after block."""
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


def _in_utf_8(file: io.BufferedReader, encoding: str) -> Callable[[int], bytes]:
    """What reads `file` as UTF-8, in pieces of about the size asked for. While reading raises `UnicodeError`."""
    if codecs.lookup(encoding).name == "utf-8":
        return file.read
    decoder = codecs.getincrementaldecoder(encoding)()

    def read(size: int) -> bytes:
        while data := file.read(size):
            if text := decoder.decode(data):
                return text.encode()
        return decoder.decode(b"", final=True).encode()

    return read


def _beginning(blocks: Iterator[bytes], *, has_header: bool) -> bytes:
    """The first of `blocks` with text and those before it. Of an only line Arrow wants the end, and of a header with
    nothing behind it, that it is the first line."""
    first = b""
    for block in blocks:
        first += block
        if rest := first.removeprefix(codecs.BOM_UTF8).lstrip(b"\r\n"):
            break
    else:
        return first
    if re.search(rb"[\r\n][^\r\n]", rest):
        return first
    end = b"" if rest.endswith((b"\r", b"\n")) else b"\n"
    return (rest if has_header else first) + end


def _empty_before(text: str, options: Options) -> int | None:
    """Of a file with one column, how many empty lines are before the header, if it has one; else `None`."""
    rest = text.removeprefix("\ufeff").lstrip("\r\n")
    try:
        first = next(
            csv.reader(io.StringIO(rest, ""), delimiter=options.delimiter, quotechar=options.quote), []
        )
    except csv.Error:
        return None  # A name of more than 128 KiB.
    if len(options.columns or first) != 1:
        return None
    return len(_LINE_END.findall(text[: len(text) - len(rest)])) if options.header else 0


def _ended(blocks: Iterable[bytes], no_value: bytes) -> Iterator[bytes]:
    """`blocks`; a line end follows a last field with no text after a quoted one: Arrow takes it to be quoted, too."""
    block = b""
    for block in blocks:
        yield block
    if block.endswith(no_value):
        yield b"\n"


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


class _Pieces(io.BufferedReader):
    """Arrow leaves out a line feed that a piece begins with after one that ends with `\\r`, also in quotes."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 2:
            return super().read(size)
        piece = super().read(size - 1)
        return piece + super().read(1) if piece.endswith(b"\r") else piece


def _columns(reader: pa.RecordBatchReader) -> str:
    return f"its columns are {', '.join(reader.schema.names)}"

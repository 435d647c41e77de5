"""A configured source of rows, which can be opened again and again, and what was read of it."""

import io
import re
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol, cast, runtime_checkable

import pyarrow as pa

from batchctl_etl.config.dataset import DatasetRows
from batchctl_etl.config.delta import DeltaRows
from batchctl_etl.config.odbc import OdbcRows
from batchctl_etl.config.rows import FileRows, RowSource
from batchctl_etl.config.secrets import revealed
from batchctl_etl.config.values import Format
from batchctl_etl.errors import WorkFailed
from batchctl_etl.readers.archives import members
from batchctl_etl.readers.compressed import decompressed
from batchctl_etl.readers.locate import Misfit, located
from batchctl_etl.readers.partitions import with_partitions
from batchctl_etl.readers.rows import open_rows, text_rows
from batchctl_etl.storage.locations import shown
from batchctl_etl.storage.opening import Opener, matching, opener
from batchctl_etl.storage.streams import SourceStream

_HTML = re.compile(r"(?i)\s*<(!doctype html|html[\s>]|html$)")
OpenRows = Callable[[], pa.RecordBatchReader]
"""Opens rows from their beginning; called once for each time they are read."""


class RowInput(Protocol):
    """Counts are of the scan that read the most: reading a source twice does not make it longer."""

    name: str
    """For messages and reports."""

    def open(self) -> pa.RecordBatchReader:
        """The rows from the beginning. Raises `WorkFailed`, now or while reading."""

    def place(self, row: int) -> str:
        """Where the row with this number, from 1, came from: `a.csv, row 7`."""

    @property
    def rows(self) -> int:
        """Rows read."""

    @property
    def bytes(self) -> int:
        """Bytes read, as stored."""


@runtime_checkable
class WholeInput(RowInput, Protocol):
    """An input that is faster for one who reads all of it."""

    def open_all(self) -> pa.RecordBatchReader:
        """As `open`; the rows are good only if they are read to the end."""


def open_all(source: RowInput) -> pa.RecordBatchReader:
    """The rows of `source`, for one who reads them to the end. Raises `WorkFailed`, now or while reading."""
    return source.open_all() if isinstance(source, WholeInput) else source.open()


def row_input(source: RowSource, stack: ExitStack) -> RowInput:
    """Open `source`; what it opens is closed with `stack`. Raises `WorkFailed`, `BadConfig`."""
    if isinstance(source, DatasetRows):
        from batchctl_etl.datasets.source import dataset_rows

        return row_input(dataset_rows(source), stack)
    if isinstance(source, FileRows):
        return FileInput(source, stack)
    if isinstance(source, DeltaRows):
        from batchctl_etl.delta.source import DeltaInput

        return DeltaInput(source, stack)
    if isinstance(source, OdbcRows):
        from batchctl_etl.odbc.source import OdbcInput

        return OdbcInput(source, stack)
    from batchctl_etl.postgres.source import PostgresInput

    return PostgresInput(source, stack)


@dataclass(kw_only=True)
class Scan:
    """One reading of the files: the rows of each so far, and the bytes of those that are closed."""

    parts: list[tuple[str, int]] = field(default_factory=list)
    bytes: int = 0
    stream: SourceStream | None = None
    only: tuple[str, ...] = ()
    """Columns of the files."""
    wanted: tuple[str, ...] = ()
    """All columns that are asked for."""

    @property
    def rows(self) -> int:
        return sum(count for _, count in self.parts)


class FileInput:
    """Files one after the other. The first tells the columns and types; all others must have them."""

    def __init__(self, source: FileRows, stack: ExitStack, urls: Sequence[str] | None = None) -> None:
        """`urls`: these files only, in place of all that the source's URL stands for."""
        self.name = shown(source.url)
        self._source = source
        self._stack = stack
        headers = revealed(source.headers)
        self._openers: list[tuple[str, Opener]] = [
            (shown(url), stack.enter_context(opener(url, headers)))
            for url in (matching(source.url) if urls is None else urls)
        ]
        self._scans: list[Scan] = []
        self._schema: pa.Schema | None = None

    def open(self, only: Sequence[str] = ()) -> pa.RecordBatchReader:
        """As of every input; with `only`, these columns of CSV and Parquet files."""
        scan = Scan(
            only=tuple(name for name in only if name not in self._source.partitions), wanted=tuple(only)
        )
        self._scans.append(scan)
        readers = self._readers(scan)
        self._stack.callback(readers.close)
        try:
            first = next(readers, None)
        except Misfit as error:
            raise self._located(error) from error
        if first is None:
            raise WorkFailed(self.name, "all files are empty", "check what wrote them")
        return pa.RecordBatchReader.from_batches(first.schema, self._batches(first, readers, scan))

    def _batches(
        self, first: pa.RecordBatchReader, rest: Iterator[pa.RecordBatchReader], scan: Scan
    ) -> Iterator[pa.RecordBatch]:
        try:
            yield from _chained(first, rest, scan)
        except Misfit as error:
            raise self._located(error) from error

    def _located(self, error: Misfit) -> WorkFailed:
        """`error` with its row. Raises `WorkFailed` if it is the archive that is damaged: that tells more."""
        for where, open_stream in self._openers:
            if where == error.place:
                with open_stream() as stream:
                    content, _ = decompressed(stream, where=where)
                    return located(error, content, self._source.options)
            if self._source.unpack is not None and error.place.startswith(f"{where}: "):
                with open_stream() as stream:
                    return self._located_in(members(stream, self._source.unpack, where=where), error, where)
        return error

    def _located_in(
        self, contents: Iterator[tuple[str, io.BufferedReader]], error: Misfit, where: str
    ) -> WorkFailed:
        for name, content in contents:
            if f"{where}: {name}" == error.place:
                found = located(error, content, self._source.options)
                next(contents, None)  # The rest of the member is read first, and its checksum verified.
                return found
        return error

    def _readers(self, scan: Scan) -> Generator[pa.RecordBatchReader, None, None]:
        known: pa.Schema | None = None
        for where, open_stream in self._openers:
            with open_stream() as scan.stream:
                if (
                    len(self._openers) > 1
                    and self._source.format is Format.JSONL
                    and not _has_bytes(scan.stream)
                ):
                    continue  # No lines are no rows, and other files tell the columns.
                for reader in self._of_stream(scan.stream, where, known, scan):
                    known = known or reader.schema
                    yield self._complete(reader, where, scan)
                scan.bytes += scan.stream.reached
                scan.stream = None

    def _of_stream(
        self, stream: SourceStream, where: str, known: pa.Schema | None, scan: Scan
    ) -> Iterator[pa.RecordBatchReader]:
        source = self._source
        if source.unpack is None:
            scan.parts.append((where, 0))
            yield open_rows(stream, source.format, source.options, where=where, known=known, only=scan.only)
            return
        for name, content in members(stream, source.unpack, where=where):
            place = f"{where}: {name}"
            scan.parts.append((place, 0))
            if source.format is Format.PARQUET:
                with (
                    tempfile.TemporaryFile(prefix="etl-") as file,
                    SourceStream(_copied(content, file), place) as copy,
                ):
                    reader = open_rows(
                        copy, source.format, source.options, where=place, known=known, only=scan.only
                    )
                    known = known or reader.schema
                    yield reader
                continue
            reader = text_rows(
                content, source.format, source.options, where=place, known=known, only=scan.only
            )
            known = known or reader.schema
            yield reader

    def _complete(self, reader: pa.RecordBatchReader, where: str, scan: Scan) -> pa.RecordBatchReader:
        """The rows with the columns that the path tells. Raises `WorkFailed` for a page in place of a CSV file."""
        if self._source.format is Format.CSV and any(map(_HTML.match, reader.schema.names[:1])):
            remedy = "look at where it came from: it may be an error page"
            raise WorkFailed(where, "it is a page of HTML, not csv", remedy)
        if not self._source.partitions:
            return reader
        return with_partitions(reader, self._source.partitions, where=where, only=scan.wanted)

    def place(self, row: int) -> str:
        scan = max(self._scans, key=lambda item: item.rows)
        for where, count in scan.parts:
            if row <= count:
                return f"{where}, row {row}"
            row -= count
        return f"{self.name}, row {row}"

    @property
    def rows(self) -> int:
        return max((scan.rows for scan in self._scans), default=0)

    @property
    def bytes(self) -> int:
        return max(
            (scan.bytes + (scan.stream.reached if scan.stream else 0) for scan in self._scans), default=0
        )


def _has_bytes(stream: SourceStream) -> bool:
    found = bool(stream.read(1))
    stream.seek(0)
    return found


def _chained(
    first: pa.RecordBatchReader, rest: Iterator[pa.RecordBatchReader], scan: Scan
) -> Iterator[pa.RecordBatch]:
    reader: pa.RecordBatchReader | None = first
    while reader is not None:
        for batch in reader:
            where, count = scan.parts[-1]
            scan.parts[-1] = (where, count + batch.num_rows)
            yield batch
        reader = next(rest, None)


def _copied(content: io.BufferedReader, file: "tempfile._TemporaryFileWrapper[bytes] | BinaryIO") -> BinaryIO:
    target = cast(BinaryIO, file)
    shutil.copyfileobj(content, target, 1024 * 1024)
    target.seek(0)
    return target

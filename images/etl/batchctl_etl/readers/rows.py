"""Opening a file-like object as a stream of Arrow record batches, whatever its format."""

import io
import re
from collections.abc import Iterator, Sequence

import pyarrow as pa

from batchctl_etl.config.rows import Options
from batchctl_etl.config.values import Format
from batchctl_etl.errors import WorkFailed
from batchctl_etl.readers.compressed import READ_ERRORS, decompressed
from batchctl_etl.readers.locate import Misfit
from batchctl_etl.storage.streams import SourceStream


def open_rows(
    stream: SourceStream,
    format: Format,
    options: Options,
    *,
    where: str,
    known: pa.Schema | None = None,
    only: Sequence[str] = (),
) -> pa.RecordBatchReader:
    """The rows of `stream`, read as they are asked for. `where` is the name of the place in messages.

    With `known` they have that schema, with `only` (of CSV and Parquet) these columns. Raises `WorkFailed`, now
    or while reading, if the bytes are not what `format`, `options` and `known` say.
    """
    if format is not Format.PARQUET:
        content, _ = decompressed(stream, where=where)
        return text_rows(content, format, options, where=where, known=known, only=only)
    from batchctl_etl.readers.parquet import parquet_rows

    if not stream.read(1):
        raise _empty(where)
    try:
        reader = parquet_rows(stream, only)
    except READ_ERRORS as error:
        raise unreadable(where, format, error) from error
    return _checked(reader, format, where, known, whole=not only)


def text_rows(
    content: io.BufferedReader,
    format: Format,
    options: Options,
    *,
    where: str,
    known: pa.Schema | None = None,
    only: Sequence[str] = (),
) -> pa.RecordBatchReader:
    """As `open_rows`, for CSV and JSON that can be read forward only."""
    if not content.peek(1):
        raise _empty(where)
    try:
        if format is Format.CSV:
            from batchctl_etl.readers.csv import csv_rows

            reader = csv_rows(content, options, where=where, known=known, only=only)
        else:
            from batchctl_etl.readers.json import json_rows

            is_array = format is Format.JSON
            reader = json_rows(content, options, is_array=is_array, where=where, known=known)
    except READ_ERRORS as error:
        raise unreadable(where, format, error) from error
    return _checked(reader, format, where, known, whole=not only)


def _empty(where: str) -> WorkFailed:
    return WorkFailed(where, "the file is empty", "check what wrote it")


def _checked(
    reader: pa.RecordBatchReader, format: Format, where: str, known: pa.Schema | None, *, whole: bool
) -> pa.RecordBatchReader:
    if twice := {name for name in reader.schema.names if reader.schema.names.count(name) > 1}:
        raise WorkFailed(where, f"two columns are named {sorted(twice)[0]!r}", "rename one")
    if known is not None:
        _check_names(reader.schema, known, where)
    schema = known or reader.schema
    return pa.RecordBatchReader.from_batches(schema, _translated(reader, format, where, schema, whole=whole))


def _check_names(schema: pa.Schema, known: pa.Schema, where: str) -> None:
    differences = [f"{name!r} is missing" for name in known.names if name not in schema.names]
    differences += [f"{name!r} is new" for name in schema.names if name not in known.names]
    if differences:
        what = f"its columns are not those of the files before it: {', '.join(differences)}"
        raise WorkFailed(where, what, "read it by a pattern of its own")


def _translated(
    reader: pa.RecordBatchReader, format: Format, where: str, schema: pa.Schema, *, whole: bool
) -> Iterator[pa.RecordBatch]:
    batches, rows = iter(reader), 0
    while True:
        try:
            batch = next(batches, None)
            if batch is not None and batch.schema != schema:
                batch = batch.select(schema.names).cast(schema)
        except READ_ERRORS as error:
            # Arrow numbers the columns of the file.
            names = schema.names if whole else []
            raise unreadable(where, format, error, names=names, after=rows) from error
        if batch is None:
            return
        rows += batch.num_rows
        yield batch


def unreadable(
    where: str, format: Format, error: Exception, *, names: Sequence[str] = (), after: int = 0
) -> WorkFailed:
    """What is wrong with the bytes, in the reader's words, and what the user can do.

    `after` is how many rows were read before: the one that is wrong is among the few thousand that follow.
    """
    text = re.sub(
        r"In CSV column #(\d+): ",
        lambda match: f"column {names[int(match[1])]!r}: " if int(match[1]) < len(names) else match[0],
        str(error),
    )
    if format is Format.CSV:
        return Misfit(where, *_explained(error, text, format), after=after, reason=str(error))
    place = f"{where}, after row {after}" if after else where
    if match := re.fullmatch(r"(?:JSON parse error: )?(.*?)\.? in row (\d+)", text, re.S):
        # Counted from 0, in the block that comes after those rows.
        text = match[1].replace("Column() changed from object to", "it is no object, but has the type")
        text = re.sub(r"^Column\(/(.*?)\)", lambda column: f"column {column[1]!r}", text)
        place = f"{where}, row {after + int(match[2]) + 1}"
    return WorkFailed(place, *_explained(error, text, format))


def _explained(error: Exception, text: str, format: Format) -> tuple[str, str]:
    if isinstance(error, UnicodeError) or "UTF8" in text or "UTF-8" in text:
        return f"the text is not in the expected encoding ({text})", "set options.encoding"
    if "straddling" in text:
        return "a row is longer than 4 MB, or a quote in it is not closed", "correct the row, or shorten it"
    if "the first rows have not all of" in text:
        return text, "give it a type in options.types, or flatten it"
    if "conversion error" in text.lower() or "changed from" in text or "Failed to parse" in text:
        return text, "the first rows told another type: set options.types for the column"
    if re.search(r"(?i)<(!doctype|html|head|body)\b", text):
        return (
            f"it is a page of HTML, not {format.value}",
            "open the URL in a browser: it may be an error page",
        )
    return f"cannot be read as {format.value}: {text}", "check the file and its format"

"""The kinds of single values that configurations share: URLs, formats, names."""

from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator

from batchctl_etl.storage.locations import FileLocation, HttpLocation, base_name, is_pattern, location


class Format(StrEnum):
    """How rows are stored in a file."""

    CSV = "csv"
    JSON = "json"
    JSONL = "jsonl"
    PARQUET = "parquet"


_EXTENSIONS = {
    ".csv": Format.CSV,
    ".json": Format.JSON,
    ".jsonl": Format.JSONL,
    ".ndjson": Format.JSONL,
    ".parquet": Format.PARQUET,
}


def format_of(url: str) -> Format | None:
    """The format that the URL's extension tells (`.gz` and `.zst` are looked through), or `None`."""
    name = base_name(url).lower().removesuffix(".gz").removesuffix(".zst")
    return next((kind for extension, kind in _EXTENSIONS.items() if name.endswith(extension)), None)


def _known(url: str) -> str:
    location(url)
    return url


def _writable(url: str) -> str:
    if isinstance(location(url), HttpLocation):
        raise ValueError("only a file:///… or az://… URL or a path can be written to")
    if is_pattern(url):
        raise ValueError("* and ? stand for many files, and a sink is one")
    return url


def _on_disk(url: str) -> str:
    if not isinstance(location(_writable(url)), FileLocation):
        raise ValueError("a database is a file on disk: file:///… or a path")
    return url


def _file(url: str) -> str:
    if url.endswith("/"):
        raise ValueError("must name a file, and a URL that ends in / names a folder")
    return url


def _plain_name(name: str) -> str:
    if not name.strip() or "\0" in name:
        raise ValueError("a name may not be blank")
    return name


NO_PARTITION = "__HIVE_DEFAULT_PARTITION__"
"""Hive's name for a folder of rows without a value."""
SourceUrl = Annotated[str, AfterValidator(_known), AfterValidator(_file)]
"""A file on disk, in Azure or on the web; with `*` or `?`, all files that match."""
SinkUrl = Annotated[str, AfterValidator(_writable)]
"""A file or a folder on disk or in Azure."""
SinkFileUrl = Annotated[str, AfterValidator(_writable), AfterValidator(_file)]
"""A file on disk or in Azure."""
DatabaseUrl = Annotated[str, AfterValidator(_on_disk), AfterValidator(_file)]
"""A file on disk."""
Name = Annotated[str, AfterValidator(_plain_name)]
"""The name of a table or a column: anything but blank."""

"""Small JSON documents in the lake that several programs change: replaced only if nobody did since they were read.

On disk a lock on the folder is held for the moment of the comparison and the renaming; in Azure the service compares
(If-Match, If-None-Match). What is written appears whole or not at all, also if the writer is killed.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from batchctl_etl.errors import Changed, WorkFailed
from batchctl_etl.storage.asides import locked, written_aside
from batchctl_etl.storage.locations import BlobLocation, FileLocation, location
from batchctl_etl.storage.streams import disk_errors


@dataclass(frozen=True, kw_only=True)
class Document:
    """What was read. `content` is `None`, as is `version`, if there is no such document."""

    url: str
    content: Any
    version: str | None


def read_document(url: str) -> Document:
    """The document now. Raises `WorkFailed`, also for bytes that are not JSON."""
    where = location(url)
    if isinstance(where, BlobLocation):
        from batchctl_etl.storage.azure_documents import read_blob

        body, version = read_blob(where)
    else:
        assert isinstance(where, FileLocation)
        body = _read_file(where.path)
        version = _digest(body)
    if body is None:
        return Document(url=url, content=None, version=None)
    try:
        return Document(url=url, content=orjson.loads(body), version=version)
    except orjson.JSONDecodeError as error:
        raise WorkFailed(url, f"it is not JSON ({error})", "move it away, or restore it") from error


def replace_document(document: Document, content: Any) -> None:
    """Write `content` in place of what was read. Raises `Changed` if it is no longer that, else `WorkFailed`."""
    where = location(document.url)
    body = orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    if isinstance(where, BlobLocation):
        from batchctl_etl.storage.azure_documents import replace_blob

        replace_blob(where, body, expected=document.version)
        return
    assert isinstance(where, FileLocation)
    _replace_file(where.path, body, document.version)


def documents_below(url: str, name: str) -> list[str]:
    """The folders below the folder `url` that hold a document `name`: their paths from there, sorted."""
    where = location(url if url.endswith("/") else f"{url}/")
    if isinstance(where, BlobLocation):
        from batchctl_etl.storage.azure_blobs import blob_names

        names = [blob.removeprefix(where.name) for blob in blob_names(where)]
    else:
        assert isinstance(where, FileLocation)
        with disk_errors(str(where.path), "read"):
            names = [path.relative_to(where.path).as_posix() for path in where.path.rglob(name)]
    return sorted(path.removesuffix(f"/{name}") for path in names if path.endswith(f"/{name}"))


def _read_file(path: Path) -> bytes | None:
    with disk_errors(str(path), "read"):
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None


def _digest(body: bytes | None) -> str | None:
    return None if body is None else hashlib.sha256(body).hexdigest()


def _replace_file(path: Path, body: bytes, expected: str | None) -> None:
    with disk_errors(str(path.parent), "made"):
        path.parent.mkdir(parents=True, exist_ok=True)
    with disk_errors(str(path), "written"), locked(path.parent):
        if _digest(_read_file(path)) != expected:
            raise Changed
        with written_aside(path, owner="document") as stream:
            stream.write(body)

"""Opening what a URL names: to read, again and again, or to write aside. The one place that tells disk, web and
cloud apart."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from batchctl_etl.errors import WorkFailed
from batchctl_etl.storage.asides import written_aside
from batchctl_etl.storage.locations import (
    BlobLocation,
    FileLocation,
    HttpLocation,
    is_pattern,
    location,
    pattern_regex,
    shown,
)
from batchctl_etl.storage.streams import SinkStream, SourceStream, disk_errors

Opener = Callable[[], SourceStream]
"""Opens the same bytes from their beginning, as often as it is called."""


def open_file(path: Path) -> SourceStream:
    """Raises `WorkFailed` if there is no such file, or it may not be read."""
    with disk_errors(str(path), "read"):
        return SourceStream(path.open("rb"), str(path))


def matching(url: str) -> list[str]:
    """The URLs that `url` stands for: itself, or every file that its pattern matches, sorted.

    Raises `WorkFailed` if a pattern matches nothing.
    """
    found = matching_now(url)
    if not found:
        raise WorkFailed(
            shown(url), "no file matches", "check the pattern, and what should have written them"
        )
    return found


def matching_now(url: str) -> list[str]:
    """As `matching`, and nothing if a pattern matches nothing. Raises `WorkFailed` if nobody can tell."""
    where = location(url)
    if isinstance(where, HttpLocation) or not is_pattern(url):
        return [url]
    if isinstance(where, FileLocation):
        if where.path.exists():
            return [url]
        with disk_errors(str(where.path), "listed"):
            paths = _matching_paths(where.path)
        return [path.as_uri() if url.startswith("file:") else str(path) for path in paths]
    from batchctl_etl.storage.azure_blobs import blob_names

    root = f"az://{where.account}/{where.container}/"
    return [root + name for name in blob_names(where, pattern=where.name)]


def _matching_paths(pattern: Path) -> list[Path]:
    plain = 0
    while not set(pattern.parts[plain]) & {"*", "?"}:
        plain += 1
    root, rest = Path(*pattern.parts[:plain]), "/".join(pattern.parts[plain:])
    regex = pattern_regex(rest)
    found = (path for path in root.glob(rest) if path.is_file())
    return sorted(
        path
        for path in found
        if regex.fullmatch(path.relative_to(root).as_posix()) and not path.name.startswith(".")
    )


@contextmanager
def opener(url: str, headers: Mapping[str, str] | None = None) -> Iterator[Opener]:
    """How to open `url` within the block; what is on the web is copied to a temporary file first.

    Raises `WorkFailed`.
    """
    where = location(url)
    if isinstance(where, FileLocation):
        path = where.path
        yield lambda: open_file(path)
        return
    if isinstance(where, BlobLocation):
        from batchctl_etl.storage.azure_blobs import open_blob

        blob = where
        yield lambda: open_blob(blob)
        return
    from batchctl_etl.storage.http import HttpRequest, download

    with tempfile.TemporaryDirectory(prefix="etl-") as folder:
        copy = Path(folder) / "download"
        with copy.open("wb") as file, SinkStream(file, f"the temporary copy of {shown(url)}") as sink:
            download(HttpRequest(url=where.url, headers=headers or {}), sink)
        yield lambda: open_file(copy)


def written(url: str, *, owner: str) -> AbstractContextManager[SinkStream, Any]:
    """A stream that becomes the file or blob `url` when the block ends well. Raises `WorkFailed`."""
    where = location(url)
    if isinstance(where, BlobLocation):
        from batchctl_etl.storage.azure_blobs import blob_aside

        return blob_aside(where)
    assert isinstance(where, FileLocation)
    return written_aside(where.path, owner=owner)


def is_there(url: str) -> bool:
    """Whether there is such a file or blob. Raises `WorkFailed` if nobody can tell."""
    where = location(url)
    if isinstance(where, BlobLocation):
        from batchctl_etl.storage.azure_blobs import blob_names

        return where.name in blob_names(where)
    return isinstance(where, FileLocation) and where.path.is_file()


def read_whole(url: str) -> bytes:
    """All of a small file. Raises `WorkFailed`."""
    with opener(url) as open_stream, open_stream() as stream:
        return stream.read()


def joined(folder: str, name: str) -> str:
    """The URL of the file `name` in the folder `folder` (which ends in `/`)."""
    where = location(folder)
    if isinstance(where, FileLocation) and folder.startswith("file:"):
        return (where.path / name).absolute().as_uri()
    return folder + name

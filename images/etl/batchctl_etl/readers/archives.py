"""Members of a zip or a tar, one after the other, streamed; a file that is merely compressed is its only member.

Names that lead out of the folder, links and devices are refused. Checksums are verified to the last byte,
also of a member that the reader left early.
"""

import io
import tarfile
import zipfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO, cast

from batchctl_etl.config.unpack import Unpack
from batchctl_etl.errors import WorkFailed
from batchctl_etl.readers.compressed import BUFFER_BYTES, checked, decompressed, unpack_errors
from batchctl_etl.readers.limits import Gauge, Limits
from batchctl_etl.storage.locations import base_name, pattern_regex
from batchctl_etl.storage.streams import SourceStream

if TYPE_CHECKING:
    from typing_extensions import Buffer

_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_SUFFIXES = (".gz", ".zst", ".bz2", ".xz")


def members(stream: SourceStream, unpack: Unpack, *, where: str) -> Iterator[tuple[str, io.BufferedReader]]:
    """Name and content of each wanted member; a content is good until the next is asked for.

    Raises `WorkFailed` if the archive is damaged, unsafe or too large, or nothing matches.
    """
    regex, names = pattern_regex(unpack.members), list[str]()
    found = False
    for name, content in _all(stream, Limits(max_bytes=unpack.max_bytes, max_ratio=unpack.max_ratio), where):
        name = _safe(name, where)
        names.append(name)
        if not regex.fullmatch(name):
            continue
        found = True
        if content is None:
            raise WorkFailed(f"{where}: {name}", "it is a link or a device, not a file", "leave it out")
        yield name, content
        while content.read(BUFFER_BYTES):
            pass
    if not found:
        some = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
        raise WorkFailed(where, f"no member matches {unpack.members!r}", f"its members are {some or 'none'}")


def _safe(name: str, where: str) -> str:
    name = name.removeprefix("./")
    if name.startswith("/") or "\\" in name or ":" in name.partition("/")[0] or ".." in name.split("/"):
        raise WorkFailed(f"{where}: {name}", "its name leads out of the folder", "do not trust this archive")
    return name


def _all(stream: SourceStream, limits: Limits, where: str) -> Iterator[tuple[str, io.BufferedReader | None]]:
    stream.seek(0)
    if stream.read(4) in _ZIP:
        yield from _zip(stream, Gauge(stream, limits, where), where)
        return
    content, compressed = decompressed(stream, where=where, limits=limits)
    if content.peek(512)[257:262] == b"ustar":
        yield from _tar(content, Gauge(stream, limits, where), where)
    elif compressed:
        name = base_name(where)
        yield (
            next((name.removesuffix(suffix) for suffix in _SUFFIXES if name.endswith(suffix)), name),
            content,
        )
    else:
        raise WorkFailed(where, "it is not an archive (zip, tar, gzip, zstd, bzip2, xz)", "check the file")


def _zip(stream: SourceStream, gauge: Gauge, where: str) -> Iterator[tuple[str, io.BufferedReader]]:
    with unpack_errors(where):
        archive = zipfile.ZipFile(cast(BinaryIO, stream))
    with archive:
        for info in archive.infolist():
            if info.is_dir():
                continue
            place = f"{where}: {info.filename}"
            with unpack_errors(place):
                file = archive.open(info)
            with file:
                yield info.filename, checked(cast(BinaryIO, file), where=place, gauge=gauge)


def _tar(
    content: io.BufferedReader, gauge: Gauge, where: str
) -> Iterator[tuple[str, io.BufferedReader | None]]:
    tail = _Tail(content)
    with unpack_errors(where):
        archive = tarfile.open(fileobj=cast(BinaryIO, tail), mode="r|", bufsize=BUFFER_BYTES)  # noqa: SIM115
    try:
        while True:
            with unpack_errors(where):
                info = archive.next()
                file = archive.extractfile(info) if info and info.isreg() else None
            if info is None:
                break
            if file is not None:
                place = f"{where}: {info.name}"
                yield info.name, checked(cast(BinaryIO, file), where=place, gauge=gauge)
            elif not info.isdir():
                yield info.name, None
    finally:
        archive.close()
    while tail.read(BUFFER_BYTES):
        pass
    if tail.last.strip(b"\0"):
        raise WorkFailed(where, "it is cut short: the mark at the end of a tar is missing", "fetch it again")


class _Tail(io.RawIOBase):
    """What `tarfile` reads; `last` are the last bytes of it, which must be zeros: tar has no other end."""

    def __init__(self, content: io.BufferedReader) -> None:
        super().__init__()
        self._content = content
        self.last = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "Buffer") -> int:
        size = self._content.readinto(buffer)
        if size:
            self.last = (self.last + bytes(memoryview(buffer)[max(size - 512, 0) : size]))[-512:]
        return size

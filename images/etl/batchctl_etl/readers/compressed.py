"""Compressed bytes: gzip, zstd, bzip2 and xz are recognised by how they begin, whatever the file is called.

Everything is read forward only, checksums are verified, and what the libraries raise becomes `WorkFailed`.
"""

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import pyarrow as pa

from batchctl_etl.errors import WorkFailed
from batchctl_etl.readers.limits import Gauge, Limits
from batchctl_etl.storage.streams import SourceStream

if TYPE_CHECKING:
    from typing_extensions import Buffer

READ_ERRORS = (pa.ArrowException, OSError, EOFError, zlib.error, UnicodeError, ValueError)
"""What the libraries raise for bytes that are not what they should be."""
_UNPACK_ERRORS = (
    *(EOFError, OSError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError),
    *(RuntimeError, NotImplementedError, pa.ArrowException, ValueError),
)
BUFFER_BYTES = 1024 * 1024
_GZIP, _ZSTD, _BZIP2, _XZ = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ"


def decompressed(
    stream: SourceStream, *, where: str, limits: Limits | None = None
) -> tuple[io.BufferedReader, bool]:
    """What `stream` holds, from its beginning, and whether it was compressed at all.

    Reading raises `WorkFailed` for a file that is cut short, damaged or beyond its limits.
    """
    stream.seek(0)
    magic = stream.read(6)
    stream.seek(0)
    inner = _decoder(stream, magic)
    if inner is None:
        return io.BufferedReader(stream, BUFFER_BYTES), False
    return checked(inner, where=where, gauge=Gauge(stream, limits or Limits(), where)), True


def _decoder(stream: SourceStream, magic: bytes) -> BinaryIO | None:
    file = cast(BinaryIO, stream)
    if magic.startswith(_GZIP):
        return cast(BinaryIO, gzip.GzipFile(fileobj=file))
    if magic.startswith(_ZSTD):
        return cast(BinaryIO, pa.CompressedInputStream(pa.PythonFile(file, mode="r"), "zstd"))
    if magic.startswith(_BZIP2):
        return cast(BinaryIO, bz2.BZ2File(file))
    return cast(BinaryIO, lzma.LZMAFile(file)) if magic.startswith(_XZ) else None


def checked(file: BinaryIO, *, where: str, gauge: Gauge) -> io.BufferedReader:
    """`file`, read forward, with its failures as `WorkFailed` and every byte gauged."""
    return io.BufferedReader(_Checked(file, where, gauge), BUFFER_BYTES)


class _Checked(io.RawIOBase):
    def __init__(self, file: BinaryIO, where: str, gauge: Gauge) -> None:
        super().__init__()
        self._file = file
        self._where = where
        self._gauge = gauge

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "Buffer") -> int:
        view = memoryview(buffer)
        with unpack_errors(self._where):
            data = self._file.read(len(view))
        self._gauge.add(len(data))
        view[: len(data)] = data
        return len(data)


@contextmanager
def unpack_errors(where: str) -> Iterator[None]:
    """Turn what the libraries raise for a bad archive into `WorkFailed`."""
    try:
        yield
    except _UNPACK_ERRORS as error:
        raise WorkFailed(where, *_explained(error)) from error


def _explained(error: Any) -> tuple[str, str]:
    text = str(error)
    if isinstance(error, EOFError) or any(
        sign in text for sign in ("runcated", "unexpected end", "not a zip")
    ):
        cut = "it is cut short" if "not a zip" not in text else "it is cut short or no zip file"
        return cut, "fetch it again"
    if any(sign in text for sign in ("CRC", "hecksum", "heck failed")):
        return f"it is damaged: {text}", "fetch it again"
    if "encrypted" in text or "password" in text:
        return "it is encrypted", "provide it without a password"
    return f"cannot be unpacked: {text}", "check the file, or fetch it again"

"""File-like objects that count, and whose failures name their place.

They turn the `OSError` of a disk into `WorkFailed`, so that a failure to read is never taken for a failure to
write.
"""

import errno
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

from batchctl_etl.errors import WorkFailed

if TYPE_CHECKING:
    from typing_extensions import Buffer

_REMEDIES = {
    errno.ENOENT: "check the path",
    errno.EACCES: "check the permissions",
    errno.EPERM: "check the permissions",
    errno.EROFS: "write to another place",
    errno.EISDIR: "name a file, not a folder",
    errno.ENOTDIR: "a part of the path is a file, not a folder",
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space",
}


@contextmanager
def disk_errors(where: str, verb: str) -> Iterator[None]:
    """Turn an `OSError` into `WorkFailed`: `<where>: cannot be <verb>: <reason>; <remedy>`."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        remedy = _REMEDIES.get(error.errno or 0, "")
        raise WorkFailed(where, f"cannot be {verb}: {reason}", remedy) from error


class NotModified(Exception):
    """A server has the version that is known, and nothing was written. Never reaches a user."""


class SourceStream(io.RawIOBase):
    """A readable, seekable file; `reached` is how many bytes from its beginning have been read, at the furthest."""

    def __init__(self, file: BinaryIO, where: str) -> None:
        super().__init__()
        self._file = file
        self._where = where
        self._position = 0
        self.reached = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: "Buffer") -> int:
        with disk_errors(self._where, "read"):
            size = self._file.readinto(buffer)  # type: ignore[attr-defined]
        self._position += size
        self.reached = max(self.reached, self._position)
        return int(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = self._file.seek(offset, whence)
        return self._position

    def tell(self) -> int:
        return self._position

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


class SinkStream(io.RawIOBase):
    """A writable file; `count` is the number of bytes written so far."""

    def __init__(self, file: BinaryIO, where: str) -> None:
        super().__init__()
        self._file = file
        self._where = where
        self.count = 0

    def writable(self) -> bool:
        return True

    def write(self, data: "Buffer") -> int:
        with disk_errors(self._where, "written"):
            size = self._file.write(data)
        self.count += size
        return size

    def rewind(self) -> None:
        """Forget everything written so far."""
        with disk_errors(self._where, "written"):
            self._file.seek(0)
            self._file.truncate()
        self.count = 0

    def finish(self) -> None:
        """Nothing more will be written, and the place where it is may take some time to appear."""
        with disk_errors(self._where, "written"):
            getattr(self._file, "finish", self._file.close)()

    def flush(self) -> None:
        if not self.closed and not self._file.closed:
            with disk_errors(self._where, "written"):
                self._file.flush()

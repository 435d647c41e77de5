"""Blobs as files: read ahead over five connections, written behind over five, nothing on disk, memory bounded.

A reader holds at most six chunks of 8 MB, and those that arrive; a writer six blocks of 6 MB. What is written appears, whole,
when its list of blocks is committed: until then the old blob stays, and blocks that nobody commits vanish within a week.
"""

import base64
import io
import uuid
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from batchctl_etl.errors import WorkFailed
from batchctl_etl.storage.azure_client import azure_errors, container_client
from batchctl_etl.storage.locations import BlobLocation, pattern_regex
from batchctl_etl.storage.streams import SinkStream, SourceStream

if TYPE_CHECKING:
    from azure.storage.blob import ContainerClient
    from typing_extensions import Buffer

CHUNK_BYTES = 8 * 1024 * 1024
BLOCK_BYTES = 6 * 1024 * 1024
CONNECTIONS = 5
READERS = 5
"""Connections of a download: the SDK holds each chunk twice while it arrives."""
_MOST_BLOCKS = 50_000
"""Of one blob ("Put Block List"): 292 GiB in blocks of ours."""


def open_blob(where: BlobLocation) -> SourceStream:
    """A readable, seekable file; it stays the version that it was when it was opened. Raises `WorkFailed`."""
    return SourceStream(cast(BinaryIO, BlobReader(where)), where.url)


@contextmanager
def blob_aside(where: BlobLocation) -> Iterator[SinkStream]:
    """A stream that becomes the blob, replacing it, when the block ends well. Raises `WorkFailed`."""
    upload = BlockUpload(where)
    try:
        stream = SinkStream(cast(BinaryIO, upload), where.url)
        yield stream
        upload.commit()
    finally:
        upload.close()


def blob_names(where: BlobLocation, *, pattern: str | None = None) -> list[str]:
    """Names of the container's blobs below `where`, or all that match `pattern`, sorted. Raises
    `WorkFailed`."""
    prefix = where.name if pattern is None else pattern[: _first_wildcard(pattern)]
    with container_client(where) as container, azure_errors(where.url, "listed"):
        names = sorted(container.list_blob_names(name_starts_with=prefix))
    return names if pattern is None else [name for name in names if pattern_regex(pattern).fullmatch(name)]


def delete_blobs(where: BlobLocation, names: list[str]) -> None:
    """Delete blobs of the location's container; one that is gone already is no error. Raises `WorkFailed`."""
    from azure.core.exceptions import ResourceNotFoundError

    with container_client(where) as container, azure_errors(where.url, "cleared"):
        for name in names:
            try:
                container.delete_blob(name)
            except ResourceNotFoundError:
                continue


def _first_wildcard(pattern: str) -> int:
    return min(pattern.find(sign) for sign in "*?" if sign in pattern)


class BlobReader(io.RawIOBase):
    """Fetches the chunk that is read and, the longer the reading goes straight on, the next up to five."""

    def __init__(self, where: BlobLocation) -> None:
        super().__init__()
        from azure.core import MatchConditions

        self._where = where.url
        self._container: ContainerClient = container_client(where)
        self._blob = self._container.get_blob_client(where.name)
        try:
            with azure_errors(self._where, "read"):
                properties = self._blob.get_blob_properties()
        except BaseException:
            self._container.close()
            raise
        self._size = int(properties.size)
        # Only the version that was opened, and its bytes as they are stored.
        self._same: dict[str, Any] = {
            "etag": properties.etag,
            "match_condition": MatchConditions.IfNotModified,
        }
        self._same |= {"decompress": False, "max_concurrency": 1}
        self._pool = ThreadPoolExecutor(READERS, thread_name_prefix="blob")
        self._chunks: dict[int, Future[bytes]] = {}
        self._position, self._last, self._ahead = 0, -1, 1

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(start + offset, 0)
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: "Buffer") -> int:
        view, filled = memoryview(buffer).cast("B"), 0
        while filled < len(view) and self._position < self._size:
            index, start = divmod(self._position, CHUNK_BYTES)
            piece = memoryview(self._chunk(index))[start : start + len(view) - filled]
            view[filled : filled + len(piece)] = piece
            filled += len(piece)
            self._position += len(piece)
        return filled

    def _chunk(self, index: int) -> bytes:
        if index != self._last:
            self._ahead = min(self._ahead * 2, READERS) if index == self._last + 1 else 1
            self._last = index
            wanted = range(index, min(index + self._ahead, -(-self._size // CHUNK_BYTES)))
            for old in [number for number in self._chunks if number not in wanted]:
                self._chunks.pop(old).cancel()
            for number in wanted:
                if number not in self._chunks:
                    self._chunks[number] = self._pool.submit(self._fetch, number)
        return self._chunks[index].result()

    def _fetch(self, index: int) -> bytes:
        offset = index * CHUNK_BYTES
        length = min(CHUNK_BYTES, self._size - offset)
        with azure_errors(self._where, "read"):
            data: bytes = self._blob.download_blob(offset, length, **self._same).readall()
        if len(data) != length:
            raise WorkFailed(self._where, f"{len(data)} bytes came of {length} at {offset}", "try later")
        return data

    def close(self) -> None:
        if not self.closed:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._chunks.clear()
            self._container.close()
        super().close()


class BlockUpload(io.RawIOBase):
    """A file to write to. `commit` makes the blob; without it nothing has happened."""

    def __init__(self, where: BlobLocation) -> None:
        super().__init__()
        self._location = where
        self._where = where.url
        self._container: ContainerClient = container_client(where)
        self._blob = self._container.get_blob_client(where.name)
        self._pool = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="blob")
        self._begin()

    def _begin(self) -> None:
        # Block ids of another writer of the same blob are others, and all of one blob have one length.
        self._writer = uuid.uuid4().hex
        self._ids: list[str] = []
        self._running: deque[Future[bytearray]] = deque()
        self._free: list[bytearray] = []
        self._block, self._filled = bytearray(BLOCK_BYTES), 0

    def writable(self) -> bool:
        return True

    def write(self, data: "Buffer") -> int:
        view = memoryview(data).cast("B")
        size = len(view)
        while view:
            piece = view[: BLOCK_BYTES - self._filled]
            self._block[self._filled : self._filled + len(piece)] = piece
            self._filled += len(piece)
            view = view[len(piece) :]
            if self._filled == BLOCK_BYTES:
                self._send()
        return size

    def _send(self) -> None:
        if len(self._ids) == _MOST_BLOCKS:
            raise WorkFailed(self._where, "a blob holds at most 292 GiB", "write several files")
        while self._running and (len(self._running) == CONNECTIONS or self._running[0].done()):
            self._free.append(self._running.popleft().result())
        name = base64.b64encode(f"{self._writer}-{len(self._ids):06d}".encode()).decode()
        self._ids.append(name)
        self._running.append(self._pool.submit(self._stage, name, self._block, self._filled))
        self._block, self._filled = self._free.pop() if self._free else bytearray(BLOCK_BYTES), 0

    def _stage(self, name: str, block: bytearray, size: int) -> bytearray:
        with azure_errors(self._where, "written"):
            self._blob.stage_block(name, cast(bytes, memoryview(block)[:size]), size)
        return block

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """To the beginning only, before `truncate`."""
        if offset or whence:
            raise io.UnsupportedOperation("a blob is written from its beginning")
        return 0

    def truncate(self, size: int | None = None) -> int:
        """Forget everything written so far."""
        self._begin()
        return size or 0

    def finish(self) -> None:
        """Everything is in Azure, and nothing is held here any more. Raises `WorkFailed`."""
        if self.closed:
            return
        if self._filled:
            self._send()
        while self._running:
            self._running.popleft().result()
        self.close()

    def commit(self) -> None:
        """Make the blob of what was written. Raises `WorkFailed`; the old blob then stays."""
        from azure.storage.blob import BlobBlock

        self.finish()
        with container_client(self._location) as container, azure_errors(self._where, "written"):
            blob = container.get_blob_client(self._location.name)
            blob.commit_block_list([BlobBlock(name) for name in self._ids])

    def close(self) -> None:
        if not self.closed:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._container.close()
        super().close()

"""One log as an append blob of Azure Storage: held for a moment, sent in blocks, each block exactly once.

It knows one blob and no folders; which thread calls `flush`, and when, is the lake's business.
"""

import threading
from typing import TYPE_CHECKING

from azure.core.exceptions import AzureError, HttpResponseError

from batchctl_runtime.errors import LakeError

if TYPE_CHECKING:
    from azure.storage.blob import BlobClient

BLOCK_BYTES = 4 * 1024 * 1024
"""The largest block that every service version accepts (Blob REST, Append Block)."""
BUFFER_BYTES = 8 * BLOCK_BYTES
"""What is held back before a writer waits for the network: output is slowed, never lost."""
FLUSH_SECONDS = 1.0
BLOCKS_BEFORE_SLOWING, SLOW_FLUSH_SECONDS = 40_000, 60.0
"""An append blob holds 50,000 blocks (Blob REST, Append Block): 11 hours at one a second. The last 10,000 are
spent on a week of one a minute."""


class AppendLog:
    """One append blob and the bytes it has not been sent yet. `add` and `flush` are called from two
    threads."""

    def __init__(self, blob: "BlobClient") -> None:
        self._blob = blob
        self._changed = threading.Condition()
        self._held = bytearray()
        self._position = 0
        self._blocks = 0
        self._failure: LakeError | None = None

    @property
    def flush_seconds(self) -> float:
        return FLUSH_SECONDS if self._blocks < BLOCKS_BEFORE_SLOWING else SLOW_FLUSH_SECONDS

    def add(self, data: bytes) -> None:
        """Hold `data` for the next flush, waiting while too much is held. Raises `LakeError` once a flush has
        failed."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._held) < BUFFER_BYTES or self._failure is not None)
            self.raise_failure()
            self._held += data

    def flush(self) -> None:
        """Send what is held, in blocks. A failure is kept for `add` and `raise_failure`, and ends this
        log."""
        while self._failure is None:
            with self._changed:
                block = bytes(self._held[:BLOCK_BYTES])
                del self._held[:BLOCK_BYTES]
                self._changed.notify_all()
            if not block:
                return
            try:
                self._append_block(block)
            except AzureError as error:
                with self._changed:
                    self._failure = refused(self._blob.url, error)
                    self._changed.notify_all()

    def raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _append_block(self, block: bytes) -> None:
        try:
            self._blob.append_block(block, appendpos_condition=self._position)
        except HttpResponseError as error:
            # 412 after the SDK's own retry: the first try arrived and only its answer was lost.
            arrived = error.status_code == 412 and (
                self._blob.get_blob_properties().size == self._position + len(block)
            )
            if not arrived:
                raise
        self._position += len(block)
        self._blocks += 1


def refused(url: str, error: AzureError) -> LakeError:
    """The error that names the place, in the first line of the service's words; a SAS in the URL is not shown."""
    first_line = error.message.strip().partition("\n")[0]
    return LakeError(f"{url.partition('?')[0]}: cannot write to the lake: {first_line}")

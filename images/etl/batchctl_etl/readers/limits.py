"""How much may come out of a compressed file: what stops a zip bomb before it fills the disk or the day."""

from dataclasses import dataclass

from batchctl_etl.errors import WorkFailed
from batchctl_etl.storage.streams import SourceStream

FREE_BYTES = 256 * 1024 * 1024
"""So much may come out whatever the ratio: short files of zeros are no bombs."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """`max_bytes` unpacked in all; `max_ratio` bytes unpacked for each byte read, beyond `FREE_BYTES`."""

    max_bytes: int = 2**40
    max_ratio: float = 250.0


class Gauge:
    """Counts what comes out of `stream`, all members together."""

    def __init__(self, stream: SourceStream, limits: Limits, where: str) -> None:
        self._stream = stream
        self._limits = limits
        self._where = where
        self._bytes = 0

    def add(self, count: int) -> None:
        """Raises `WorkFailed` when a limit is passed."""
        self._bytes += count
        if self._bytes > self._limits.max_bytes:
            what = f"more than {self._limits.max_bytes} bytes come out of it"
            raise WorkFailed(self._where, what, "if that is right, raise unpack.max_bytes")
        ratio = self._bytes / max(self._stream.reached, 1)
        if self._bytes > FREE_BYTES and ratio > self._limits.max_ratio:
            what = f"{ratio:.0f} bytes come out of each byte of it, as of a zip bomb"
            raise WorkFailed(self._where, what, "if that is right, raise unpack.max_ratio")

"""Where an attempt's logs and record go: the three verbs a lake has, and which lake a URL names.

The Azure lake is imported only when the URL asks for it. A lake knows bytes and names, never processes or
signals.
"""

from datetime import datetime
from typing import Protocol

from batchctl_runtime.azure_extra import azure_extra
from batchctl_runtime.errors import StageError


class Lake(Protocol):
    """The folder of one attempt. Every verb raises `LakeError`."""

    def append(self, name: str, data: bytes) -> None:
        """Add `data` to the end of the file `name`; it is in the lake at the latest one second later."""

    def put(self, name: str, data: bytes) -> None:
        """Replace the file `name` whole: a reader sees the old or the new, never a part."""

    def close(self) -> None:
        """Write what is still held back."""


def open_lake(url: str, *, task: str, began: datetime, logs: tuple[str, ...]) -> Lake:
    """Make `<url>/<task>/<attempt>/` with each of `logs` empty. Raises `StageError` if the URL names no lake,
    `LakeError` if it cannot be written."""
    scheme, separator, _ = url.partition("://")
    if not separator or scheme == "file":
        from batchctl_runtime.file_lake import FileLake, folder_of

        return FileLake.create(folder_of(url) / task, began=began, logs=logs)
    if scheme == "az":
        with azure_extra("an az:// lake"):
            from batchctl_runtime.azure_lake import AzureLake

        return AzureLake.create(url, task=task, began=began, logs=logs)
    raise StageError(f"BATCHCTL_RUNS_URL {url!r}: the lake is a file:///… or az://account/container/… URL")

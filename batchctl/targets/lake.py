"""Reading logs and run records from the lake: a folder on this machine, or Azure Blob Storage.

The layout is that of images/runtime/CONTRACT.md: `<runs_url>/<run>/<task>/<attempt>/{stdout.txt,stderr.txt,record.json}`.
"""

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote, urlsplit

from batchctl.errors import TargetError, UsageError
from batchctl.targets.azure_errors import azure_errors

if TYPE_CHECKING:
    from azure.storage.blob import ContainerClient


class Lake(Protocol):
    """What we need of a lake: what is in a folder, and a file from some byte on."""

    def names(self, folder: str) -> list[str]:
        """Sorted names of the files and folders directly in `folder` (empty: the lake's own); none if it does not exist."""

    def read(self, path: str, start: int = 0) -> bytes | None:
        """The file `path` from byte `start` on, or its last `-start` bytes; None if it does not exist."""


def open_lake(url: str) -> Lake:
    """The lake whose folder is `url`: `file:///…/` or `az://account/container/…/`. Paths are relative to it."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        return FolderLake(Path(unquote(parts.path)))
    if parts.scheme == "az":
        container, _, prefix = parts.path.strip("/").partition("/")
        return BlobLake(parts.netloc, container, f"{prefix.strip('/')}/" if prefix.strip("/") else "")
    raise UsageError(f"{url!r} is not a lake", hint="az://ACCOUNT/CONTAINER/FOLDER/ or file:///FOLDER/")


class FolderLake:
    """A folder on this machine."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def names(self, folder: str) -> list[str]:
        try:
            return sorted(path.name for path in (self.root / folder).iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise self._refused(error) from None

    def read(self, path: str, start: int = 0) -> bytes | None:
        try:
            with (self.root / path).open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                file.seek(start if start >= 0 else max(size + start, 0))
                return file.read()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise self._refused(error) from None

    @staticmethod
    def _refused(error: OSError) -> TargetError:
        return TargetError(
            f"the lake cannot be read: {error.filename}: {error.strerror}",
            hint="check the folder and its permissions",
        )


class BlobLake:
    """A folder in a container of Azure Blob Storage, as who is signed in, or by AZURE_STORAGE_CONNECTION_STRING."""

    def __init__(self, account: str, container: str, prefix: str) -> None:
        self.account = account
        self.container = container
        self.prefix = prefix

    @cached_property
    def client(self) -> "ContainerClient":
        """Opened at the first use."""
        from azure.storage.blob import ContainerClient

        connection = os.environ.get("AZURE_STORAGE_CONNECTION_STRING")
        if connection:
            return ContainerClient.from_connection_string(connection, self.container)
        from azure.identity import DefaultAzureCredential

        return ContainerClient(
            f"https://{self.account}.blob.core.windows.net",
            self.container,
            credential=DefaultAzureCredential(),
        )

    def names(self, folder: str) -> list[str]:
        prefix = self.prefix + (f"{folder.strip('/')}/" if folder else "")
        with azure_errors(f"list {prefix} in the lake"):
            found = [item.name for item in self.client.walk_blobs(name_starts_with=prefix)]
        return sorted(name[len(prefix) :].strip("/") for name in found)

    def read(self, path: str, start: int = 0) -> bytes | None:
        from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

        with azure_errors(f"read {path} in the lake"):
            try:
                if start < 0:
                    size = self.client.get_blob_client(f"{self.prefix}{path}").get_blob_properties().size
                    start = max(size + start, 0)
                return self.client.download_blob(f"{self.prefix}{path}", offset=start).readall()
            except ResourceNotFoundError:
                return None
            except HttpResponseError as error:
                if error.status_code == 416:  # nothing after `start` yet
                    return b""
                raise

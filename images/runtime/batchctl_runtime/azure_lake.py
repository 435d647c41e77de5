"""A lake that is a container of Azure Blob Storage: `az://account/container/…`.

Logs are append blobs, written by one background thread at most a second late; the record is a block blob, put
whole. The connection is AZURE_STORAGE_CONNECTION_STRING if it is set, else the identity that
DefaultAzureCredential finds.
"""

import os
import threading
from datetime import datetime
from typing import TYPE_CHECKING, Any

from azure.core import MatchConditions
from azure.core.exceptions import AzureError, ResourceExistsError

from batchctl_runtime.append_log import AppendLog, refused
from batchctl_runtime.errors import StageError
from batchctl_runtime.task import attempt_name, next_moment

if TYPE_CHECKING:
    from azure.storage.blob import ContainerClient

PATIENCE: dict[str, Any] = {"retry_total": 3, "connection_timeout": 10, "read_timeout": 30}


class AzureLake:
    """The folder of one attempt, as blobs under a prefix."""

    def __init__(self, container: "ContainerClient", prefix: str, logs: dict[str, "AppendLog"]) -> None:
        self._container = container
        self._prefix = prefix
        self._logs = logs
        self._ending = threading.Event()
        self._flusher = threading.Thread(target=self._flush_often, name="lake", daemon=True)
        self._flusher.start()

    @classmethod
    def create(cls, url: str, *, task: str, began: datetime, logs: tuple[str, ...]) -> "AzureLake":
        """Create the attempt's empty log blobs, under a name no other attempt has."""
        account, container_name, folder = place_of(url)
        container = _container_client(account, container_name)
        try:
            while True:
                prefix = "/".join(part for part in (folder, task, attempt_name(began)) if part)
                blobs = {name: container.get_blob_client(f"{prefix}/{name}") for name in logs}
                try:
                    for blob in blobs.values():
                        blob.create_append_blob(match_condition=MatchConditions.IfMissing)
                except ResourceExistsError:
                    began = next_moment(began)
                    continue
                return cls(container, prefix, {name: AppendLog(blob) for name, blob in blobs.items()})
        except AzureError as error:
            raise refused(url, error) from error

    def append(self, name: str, data: bytes) -> None:
        self._logs[name].add(data)

    def put(self, name: str, data: bytes) -> None:
        blob = self._container.get_blob_client(f"{self._prefix}/{name}")
        try:
            blob.upload_blob(data, overwrite=True)
        except AzureError as error:
            raise refused(blob.url, error) from error

    def close(self) -> None:
        self._ending.set()
        self._flusher.join()
        try:
            for log in self._logs.values():
                log.raise_failure()
        finally:
            self._container.close()

    def _flush_often(self) -> None:
        while not self._ending.wait(max(log.flush_seconds for log in self._logs.values())):
            self._flush()
        self._flush()

    def _flush(self) -> None:
        for log in self._logs.values():
            log.flush()


def place_of(url: str) -> tuple[str, str, str]:
    """`az://account/container/folder/` as account, container and folder without slashes. Raises
    `StageError`."""
    account, _, rest = url.removeprefix("az://").partition("/")
    container, _, folder = rest.partition("/")
    if not account or not container:
        raise StageError(f"BATCHCTL_RUNS_URL {url!r}: write az://account/container/folder/")
    return account, container, folder.strip("/")


def _container_client(account: str, container: str) -> "ContainerClient":
    from azure.storage.blob import BlobServiceClient

    connection = os.environ.get("AZURE_STORAGE_CONNECTION_STRING")
    if not connection:
        from azure.identity import DefaultAzureCredential

        endpoint = f"https://{account}.blob.core.windows.net"
        return BlobServiceClient(
            endpoint, credential=DefaultAzureCredential(), **PATIENCE
        ).get_container_client(container)
    try:
        service = BlobServiceClient.from_connection_string(connection, **PATIENCE)
    except ValueError:
        # The SDK's message may quote the string, which holds the account's key.
        raise StageError(
            "AZURE_STORAGE_CONNECTION_STRING is not a connection string; copy it again"
        ) from None
    if service.account_name != account:
        raise StageError(
            f"AZURE_STORAGE_CONNECTION_STRING is for account {service.account_name!r}, "
            f"the lake is in {account!r}: unset it, or correct BATCHCTL_RUNS_URL"
        )
    return service.get_container_client(container)

"""The connection to Azure Blob Storage, and the one translation of its errors. Nothing else names `azure.core`.

The connection is AZURE_STORAGE_CONNECTION_STRING if it is set, else the identity that DefaultAzureCredential
finds. Neither is ever shown.
"""

import ctypes
import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from batchctl_etl.errors import BadConfig, WorkFailed
from batchctl_etl.storage.locations import BlobLocation

if TYPE_CHECKING:
    from azure.identity import DefaultAzureCredential
    from azure.storage.blob import ContainerClient

_CONNECTION = "AZURE_STORAGE_CONNECTION_STRING"
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
"""Of `malloc.h`."""


@contextmanager
def azure_extra() -> Iterator[None]:
    """Around an import of the Azure SDK. Raises `BadConfig` naming the extra if a package is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise BadConfig(
            [f"az:// needs the package {error.name}; install it: pip install 'batchctl-etl[azure]'"]
        ) from error


def container_client(where: BlobLocation) -> "ContainerClient":
    """A client of the location's container, for the caller to close. Raises `BadConfig`, `WorkFailed`."""
    with azure_extra():
        from azure.storage.blob import BlobServiceClient, ExponentialRetry

    share_buffers()
    patience: dict[str, Any] = {
        "retry_policy": ExponentialRetry(initial_backoff=1, increment_base=2, retry_total=4),
        "connection_timeout": 10,
        "read_timeout": 60,
    }
    connection = os.environ.get(_CONNECTION)
    if not connection:
        endpoint = f"https://{where.account}.blob.core.windows.net"
        service = BlobServiceClient(endpoint, credential=_credential(), **patience)
        return service.get_container_client(where.container)
    try:
        service = BlobServiceClient.from_connection_string(connection, **patience)
    except ValueError:
        # The SDK's message may quote the string, which holds the account's key.
        raise BadConfig([f"{_CONNECTION} is not a connection string; copy it again"]) from None
    if service.account_name != where.account:
        raise BadConfig(
            [
                f"{where.url}: {_CONNECTION} is for account {service.account_name!r}: unset it, or correct the URL"
            ]
        )
    return service.get_container_client(where.container)


def object_store_options(where: BlobLocation) -> dict[str, str]:
    """The same connection in the words of Rust's `object_store`: what other libraries reach Azure by.

    A token of an identity is good for an hour or more, and is not renewed. Raises `BadConfig`, `WorkFailed`.
    """
    options = {"account_name": where.account, "max_retries": "4"}
    if not (connection := os.environ.get(_CONNECTION)):
        with azure_errors(where.url, "opened"):
            return options | {"token": _credential().get_token("https://storage.azure.com/.default").token}
    with container_client(where) as client:  # It has checked the connection string.
        endpoint = client.url.partition("?")[0].rpartition("/")[0]
    parts = dict(part.split("=", 1) for part in connection.split(";") if "=" in part)
    options |= {"endpoint": endpoint, "allow_http": str(endpoint.startswith("http:")).lower()}
    if endpoint.endswith(f"/{where.account}"):
        # An emulator (Azurite), which lists otherwise than Azure; its address is taken from here only.
        os.environ["AZURITE_BLOB_STORAGE_URL"] = endpoint.removesuffix(f"/{where.account}")
        options["use_emulator"] = "true"
    named = {"account_key": "AccountKey", "sas_key": "SharedAccessSignature"}
    return options | {name: parts[theirs] for name, theirs in named.items() if theirs in parts}


@functools.cache
def share_buffers() -> None:
    """Let glibc keep what is freed in one place for all threads, and buffers of megabytes there too (mallopt(3)).

    By itself it keeps some for each of our threads, three times the memory that a reader needs, or asks the system for
    every buffer anew, which takes as long as the network.
    """
    with suppress(OSError, AttributeError):  # Another C library.
        mallopt = ctypes.CDLL(None).mallopt
        for option, value in ((_ARENA_MAX, 1), (_MMAP_THRESHOLD, 32 << 20), (_TRIM_THRESHOLD, 32 << 20)):
            mallopt(option, value)


@functools.cache
def _credential() -> "DefaultAzureCredential":
    """One for the process: it keeps its tokens."""
    with azure_extra():
        from azure.identity import DefaultAzureCredential

    return DefaultAzureCredential()


@contextmanager
def azure_errors(where: str, verb: str) -> Iterator[None]:
    """Turn the SDK's errors into `WorkFailed`: `<where>: cannot be <verb>: <reason>; <remedy>`."""
    from azure.core.exceptions import AzureError

    try:
        yield
    except AzureError as error:
        reason, remedy = _explained(error)
        raise WorkFailed(where, f"cannot be {verb}: {reason}", remedy) from error


def _explained(error: Exception) -> tuple[str, str]:
    from azure.core.exceptions import (
        ClientAuthenticationError,
        HttpResponseError,
        ServiceRequestError,
        ServiceResponseError,
    )

    found = getattr(error, "error_code", None) or ""
    code = str(getattr(found, "value", found))
    if code == "ContainerNotFound":
        return "there is no such container", "make it, or check the URL"
    if code == "BlobNotFound" or getattr(error, "status_code", None) == 404:
        return "there is no such blob", "check the URL"
    if code == "ConditionNotMet" or getattr(error, "status_code", None) == 412:
        return "it changed while it was read", "run the task again"
    if code == "InvalidBlobOrBlock":
        remedy = "write another name, or let that program finish; Azure forgets it within a week"
        return "another program's unfinished upload is in the way", remedy
    if isinstance(error, ClientAuthenticationError) or getattr(error, "status_code", None) in {401, 403}:
        remedy = f"check {_CONNECTION}, or give the identity the role Storage Blob Data Contributor"
        return f"access is denied ({code or type(error).__name__})", remedy
    if isinstance(error, ServiceRequestError | ServiceResponseError):
        return (
            f"the storage account does not answer ({type(error).__name__})",
            "check its name and the network",
        )
    if isinstance(error, HttpResponseError):
        return f"HTTP {error.status_code} {code or error.reason or ''}".strip(), "try later"
    return (str(error).splitlines() or [type(error).__name__])[0], "try later"

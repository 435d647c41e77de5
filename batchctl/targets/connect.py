"""Opening a Batch account: endpoint and credential -> Batch. Azure's packages are imported here, when they are needed."""

import base64
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from batchctl.errors import UsageError
from batchctl.targets.batch import Batch

if TYPE_CHECKING:
    from azure.core.credentials import AzureNamedKeyCredential, TokenCredential


def connect(
    endpoint: str, *, account: str = "", key: str = "", registry_password: Callable[[], str] | None = None
) -> Batch:
    """The account at `endpoint`: with its shared key if `key` is given, else as who is signed in (DefaultAzureCredential).
    `registry_password`: see `Batch`.

    No request is made yet. Raises UsageError for an endpoint that cannot be one.
    """
    from azure.batch import BatchClient

    # The SDK logs a traceback for every error without a body, as a HEAD's; we tell errors ourselves.
    logging.getLogger("azure").addHandler(logging.NullHandler())
    if not endpoint.startswith(("http://", "https://")):
        raise UsageError(
            f"{endpoint!r} is not a Batch endpoint", hint="https://ACCOUNT.REGION.batch.azure.com"
        )
    if key and not _is_base64(key):
        raise UsageError("the account's key is not base64, so it cannot be one", hint="check BATCHCTL_KEY")
    if endpoint.startswith("http://") and not key:
        raise UsageError(
            f"{endpoint} is not encrypted, so no token is sent to it", hint="use https://, or a shared key"
        )
    client = BatchClient(
        endpoint=endpoint.rstrip("/"),
        credential=_credential(account or account_of(endpoint), key),
        retry_total=0,  # retrying is `azure_errors.retried`'s, which also repeats what azure-core would not
        connection_timeout=10,
        read_timeout=60,
    )
    return Batch(client, registry_password)


def _is_base64(key: str) -> bool:
    try:
        return bool(base64.b64decode(key, validate=True))
    except ValueError:
        return False


def account_of(endpoint: str) -> str:
    """`https://acct.westeurope.batch.azure.com` -> `acct`."""
    return endpoint.split("://", 1)[1].split(".", 1)[0].split(":", 1)[0]


def _credential(account: str, key: str) -> "AzureNamedKeyCredential | TokenCredential":
    if key:
        from azure.core.credentials import AzureNamedKeyCredential

        return AzureNamedKeyCredential(account, key)
    from azure.identity import DefaultAzureCredential

    return DefaultAzureCredential()

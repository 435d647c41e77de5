"""Azure Key Vault as the source of secrets: the only module that names its SDK.

The identity is what DefaultAzureCredential finds: on a pool's node its managed identity (AZURE_CLIENT_ID
picks one of several), on a laptop the signed-in user. Messages name the reference, never the value.
"""

from functools import cache
from typing import Any

from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError
from azure.keyvault.secrets import SecretClient

from batchctl_runtime.errors import StageError
from batchctl_runtime.secret_references import Fetch, Reference


def key_vault(credential: Any = None, **client_options: Any) -> Fetch:
    """A fetch that reads from `https://<vault>.vault.azure.net`; `client_options` go to each vault's
    `SecretClient`."""
    if credential is None:
        from azure.identity import DefaultAzureCredential

        credential = DefaultAzureCredential()

    @cache
    def client(vault: str) -> SecretClient:
        return SecretClient(f"https://{vault}.vault.azure.net", credential, **client_options)

    def fetch(reference: Reference) -> str:
        try:
            value = client(reference.vault).get_secret(reference.name, reference.version).value
        except AzureError as error:
            raise StageError(f"{reference}: cannot be read: {_reason(error)}") from error
        if value is None:
            raise StageError(f"{reference}: cannot be read: Key Vault answered without a value")
        return value

    return fetch


def _reason(error: AzureError) -> str:
    if isinstance(error, ClientAuthenticationError):
        return "not signed in; give the pool a managed identity, or sign in with `az login`"
    if isinstance(error, HttpResponseError) and error.status_code == 403:
        return "forbidden; give the identity the role Key Vault Secrets User on the vault"
    if isinstance(error, HttpResponseError) and error.status_code == 404:
        return "not found; create it, or correct the reference"
    return error.message.strip().partition("\n")[0]

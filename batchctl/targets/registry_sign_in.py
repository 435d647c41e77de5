"""Who we are to a container registry: settings, an Entra token, or Docker's own credential store -> Credentials.

No secret is put into an argument list, a log or a message. Azure's packages are imported only where a registry of Azure's is met.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING

from batchctl.errors import NotAuthenticated, NotFound, TargetError, Unreachable, UsageError
from batchctl.targets.azure_errors import azure_errors
from batchctl.targets.docker_errors import docker_config, docker_errors
from batchctl.targets.settings import TargetSettings

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential
    from requests import Response

TOKEN_USER = "00000000-0000-0000-0000-000000000000"
"""The user name that says to Azure's registry: the password is a refresh token (ACR docs, authentication-oauth)."""
_SCOPE = "https://containerregistry.azure.net/.default"
_AZURE_HOSTS = (".azurecr.io", ".azurecr.cn", ".azurecr.us")
_AZURE_HOST = re.compile(rf"[\w-]+(?:{'|'.join(map(re.escape, _AZURE_HOSTS))})(?=/)")
_SECONDS = 30


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """A user name with a password, or an identity token. Neither is ever shown."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    """An OAuth2 refresh token, as `docker login` keeps it for some registries."""

    def as_docker(self) -> dict[str, str]:
        """What the engine takes as its X-Registry-Auth header."""
        if self.identity_token:
            return {"identitytoken": self.identity_token}
        return {"username": self.username, "password": self.password}


def host_of(registry: str) -> str:
    """`acr.azurecr.io/team` -> `acr.azurecr.io`."""
    return registry.split("/", 1)[0]


def is_loopback(host: str) -> bool:
    """Whether `host`, perhaps with a port, is this machine: engine and we talk plain HTTP to it."""
    name = host if host.endswith("]") else re.sub(r":[0-9]*$", "", host)
    try:
        return name == "localhost" or ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


def sign_in(settings: TargetSettings, host: str) -> Credentials | None:
    """Credentials for the registry at `host`; None for one that needs none, as far as we know.

    In this order: `registry_username` with its password, for the target's own registry; for Azure's, an Entra token; Docker's
    credential store and configuration. Raises UsageError, NotAuthenticated, Unreachable.
    """
    if settings.registry_username and host == host_of(settings.registry):
        return Credentials(username=settings.registry_username, password=registry_password(settings))
    if host.endswith(_AZURE_HOSTS):
        try:
            return entra(host)
        except NotAuthenticated:
            # Nobody is signed in to Azure here; perhaps somebody ran `docker login`.
            stored = docker_store(host)
            if stored is None:
                raise
            return stored
    return docker_store(host)


def sign_ins(settings: TargetSettings, texts: Iterable[str]) -> dict[str, Credentials]:
    """Credentials, by host, for the registries that `texts` name images of and that Docker itself knows none for: the target's
    own with `registry_username`, and Azure's. One of Azure's that does not know us is left out: it may be open to all.

    Raises UsageError, Unreachable.
    """
    named = list(texts)
    hosts = {host for text in named for host in _AZURE_HOST.findall(text)}
    own = host_of(settings.registry)
    if settings.registry_username and any(f"{own}/" in text for text in named):
        hosts.add(own)
    found: dict[str, Credentials] = {}
    for host in sorted(hosts):
        try:
            mine = sign_in(settings, host)
        except NotAuthenticated:
            continue
        if mine is not None and mine.username:
            found[host] = mine
    return found


def docker_store(host: str) -> Credentials | None:
    """What `docker login` left for `host`: in a credential helper, or in Docker's config.json; None if nothing."""
    config = docker_config()
    with docker_errors(f"sign in to {host}"):
        found = config.resolve_authconfig(host)
    values = {key.lower(): str(value) for key, value in (found or {}).items() if value}
    if "identitytoken" in values:
        return Credentials(identity_token=values["identitytoken"])
    if "username" in values:
        return Credentials(username=values["username"], password=values.get("password", ""))
    return None


def entra(host: str) -> Credentials:
    """Whoever is signed in to Azure, as a user of Azure's registry `host`. Raises NotAuthenticated, Unreachable."""
    from azure.identity import DefaultAzureCredential

    with DefaultAzureCredential() as credential:
        return exchanged(f"https://{host}", _token(credential, host))


def exchanged(url: str, entra_token: str) -> Credentials:
    """The registry's refresh token for an Entra token, as credentials: `POST /oauth2/exchange` of the registry at `url`."""
    import requests

    host = url.split("://", 1)[1]
    form = {"grant_type": "access_token", "service": host, "access_token": entra_token}
    try:
        answer = requests.post(f"{url}/oauth2/exchange", data=form, timeout=_SECONDS)
    except requests.RequestException as error:
        raise Unreachable(
            f"could not sign in to {host}: nobody answers ({type(error).__name__})", hint="is its name right?"
        ) from None
    if answer.status_code in (400, 401, 403):
        raise NotAuthenticated(
            f"{host} does not accept the Azure account that is signed in here",
            hint=f"az login as another, or give it the role AcrPush on {host.split('.', 1)[0]}",
            code=f"HTTP{answer.status_code}",
        )
    token = _refresh_token(answer)
    if not token:
        raise TargetError(f"could not sign in to {host}: its answer ({answer.status_code}) holds no token")
    return Credentials(username=TOKEN_USER, password=token)


def _refresh_token(answer: "Response") -> str:
    import requests

    try:
        document = answer.json() if answer.ok else {}
    except requests.JSONDecodeError:
        return ""
    return str(document.get("refresh_token", "")) if isinstance(document, dict) else ""


def _token(credential: "TokenCredential", host: str) -> str:
    with azure_errors(f"sign in to {host}"):
        return credential.get_token(_SCOPE).token


def registry_password(settings: TargetSettings) -> str:
    """The password of `registry_username`. Raises UsageError, NotFound and what Key Vault says."""
    reference = settings.registry_password
    if not reference:
        raise UsageError(
            f"registry_username is {settings.registry_username}, and there is no password for it",
            hint="set BATCHCTL_REGISTRY_PASSWORD, or registry_password = kv://VAULT/NAME",
        )
    if not reference.startswith("kv://"):
        return reference
    from azure.identity import DefaultAzureCredential
    from azure.keyvault.secrets import SecretClient

    vault, _, rest = reference.removeprefix("kv://").partition("/")
    name, _, version = rest.partition("@")
    with (
        azure_errors(f"read {reference}"),
        DefaultAzureCredential() as credential,
        SecretClient(f"https://{vault}.vault.azure.net", credential) as client,
    ):
        value = client.get_secret(name, version or None).value
    if not value:
        raise NotFound(f"the secret {reference} is empty")
    return value

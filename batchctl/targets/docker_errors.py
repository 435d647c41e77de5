"""The Docker SDK's errors -> ours, in one place, keyed on the status and on the system's own error.

with docker_errors("build etl"):
    client.api.build(…)
"""

import errno
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from batchctl.errors import (
    Conflict,
    NotAuthenticated,
    NotFound,
    QuotaExceeded,
    TargetError,
    Unreachable,
    UsageError,
)

if TYPE_CHECKING:
    from docker.auth import AuthConfig

_NO_SPACE = os.strerror(errno.ENOSPC).lower()
"""The engine passes the kernel's words on, and nothing else that tells it."""
_ROOM_HINT = "batchctl image prune --yes, or docker system prune"


@contextmanager
def docker_errors(doing: str) -> Iterator[None]:
    """Run a call of the Docker SDK; what it raises becomes a TargetError that says what we were `doing`."""
    import requests
    import urllib3
    from docker.credentials import StoreError
    from docker.errors import APIError, DockerException

    try:
        with warnings.catch_warnings():
            # The error says the same.
            warnings.filterwarnings("ignore", module=r"docker\.credentials")
            yield
    except APIError as error:
        raise _answered(doing, error) from error
    except StoreError as error:
        raise _no_store(doing, error) from error
    except (DockerException, requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        if isinstance(error.__cause__, StoreError):
            raise _no_store(doing, error.__cause__) from error
        raise _unreachable(doing, error) from error


def docker_config() -> "AuthConfig":
    """What Docker's config.json says of registries. The SDK reads it with no care. Raises UsageError."""
    from docker.auth import load_config
    from docker.errors import InvalidConfigFile

    try:
        found: AuthConfig = load_config()
    except (InvalidConfigFile, ValueError, AttributeError, TypeError) as error:
        raise UsageError(
            f"{_config_file()}: this is no configuration of Docker's: {error}",
            hint="docker login writes it; DOCKER_CONFIG names the folder of another",
        ) from error
    return found


def engine_address() -> str:
    """Where the engine is: DOCKER_HOST, else this machine's socket."""
    return os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"


def checked_address() -> str:
    """`engine_address`, if it is one. Raises UsageError."""
    from docker.errors import DockerException
    from docker.utils import parse_host

    address = engine_address()
    try:
        parse_host(address)
    except (DockerException, ValueError) as error:
        raise UsageError(
            f"DOCKER_HOST is {address!r}: {error}",
            hint="DOCKER_HOST=unix:///path/docker.sock, or tcp://HOST:PORT",
        ) from error
    return address


def failed(doing: str, message: str) -> TargetError:
    """The error for a `message` that came in the middle of a stream."""
    if _NO_SPACE in message.lower():
        return QuotaExceeded(
            f"could not {doing}: the engine's disk is full: {message}", hint=_ROOM_HINT, code="NoSpace"
        )
    return TargetError(f"could not {doing}: {message}")


def _config_file() -> str:
    from docker.utils.config import find_config_file

    found: Any = find_config_file()
    return str(found or "~/.docker/config.json")


def _answered(doing: str, error: Any) -> TargetError:
    said = str(error.explanation or error).strip()
    if _NO_SPACE in said.lower():
        return failed(doing, said)
    if error.status_code == 401:
        return NotAuthenticated(f"could not {doing}: {said}", code="HTTP401")
    if error.status_code == 404:
        return NotFound(f"could not {doing}: {said}")
    if error.status_code == 409:
        return Conflict(f"could not {doing}: {said}")
    return TargetError(f"could not {doing}: {said}", code=f"HTTP{error.status_code}")


def _no_store(doing: str, error: BaseException) -> NotAuthenticated:
    return NotAuthenticated(
        f"could not {doing}: Docker's credential store does not work: {error}",
        hint=f"credsStore and credHelpers in {_config_file()} name it: install it, or take it out there",
    )


def _unreachable(doing: str, error: BaseException) -> Unreachable:
    where = engine_address()
    if isinstance(error, PermissionError):
        return Unreachable(
            f"could not {doing}: not allowed to talk to the Docker Engine at {where}",
            hint='sudo usermod -aG docker "$USER", then sign in again',
        )
    said = (str(error).splitlines() or [type(error).__name__])[0]
    return Unreachable(
        f"could not {doing}: no Docker Engine answers at {where}: {said}",
        hint="sudo systemctl start docker (or: sudo dockerd &); one elsewhere: DOCKER_HOST=unix:///path/docker.sock",
    )

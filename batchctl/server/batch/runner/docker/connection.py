"""The way to the Docker Engine: opened at the first use, given up when it breaks, opened again at the next use.

The engine is that of DOCKER_HOST, else of this machine; it must see this machine's directories. Blocks: call it in a thread.
Every error of the SDK becomes `EngineLost` (nobody answers) or `EngineRefused` (it answers, and says no).
"""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from batchctl.server.batch.runner.docker.body import Capacity

if TYPE_CHECKING:
    from docker import APIClient

_KNOCK_SECONDS = 5.0
_CLOSE_SECONDS = 2.0
_ANSWER_SECONDS = 120
_LONGEST_POOL = 64
_NO_STORE = 401
_LIMITS_LAYERS = ("btrfs", "zfs")
"""Storage drivers that limit a container's own layer. Overlay does on XFS with project quotas, which no engine tells."""


class EngineLost(Exception):
    """No engine answers; the message says where, why, and how to start it."""


class EngineRefused(Exception):
    """The engine's answer is an error: `status` is HTTP's, the message the engine's own."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def engine_address() -> str:
    """Where the engine is: DOCKER_HOST, else this machine's socket."""
    return os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"


@contextmanager
def engine_errors() -> Iterator[None]:
    """Run calls of the Docker SDK. Raises EngineLost, EngineRefused."""
    import requests
    import urllib3
    from docker.credentials import StoreError
    from docker.errors import APIError, DockerException

    try:
        yield
    except APIError as error:
        status = error.status_code or 500
        raise EngineRefused(status, str(error.explanation or error).strip()) from error
    except StoreError as error:
        raise EngineRefused(_NO_STORE, _store_remedy(error)) from error
    except (DockerException, requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        if isinstance(error.__cause__, StoreError):  # no engine was asked
            raise EngineRefused(_NO_STORE, _store_remedy(error.__cause__)) from error
        raise EngineLost(_remedy(error)) from error


class Connection:
    """One client for all threads. `on_open(api)` is called before anybody gets a client that was opened anew."""

    def __init__(self, on_open: "Callable[[APIClient], None]") -> None:
        self._on_open = on_open
        self._lock = threading.Lock()
        self._open: tuple[APIClient, Capacity] | None = None
        self._is_closed = False

    def use(self) -> "tuple[APIClient, Capacity]":
        """The client, and what the engine's machine has. Raises EngineLost, EngineRefused.

        Whether somebody listens at a local socket is asked each time, which takes no time.
        """
        with self._lock:
            if self._is_closed:
                raise EngineLost("The service ends.")
            try:
                with engine_errors():
                    _knock(engine_address())
                    self._open = self._open or self._opened()
            except EngineLost:
                self._give_up()
                raise
            return self._open

    def _opened(self) -> "tuple[APIClient, Capacity]":
        api = _client()
        try:
            capacity = _capacity(api)
            self._on_open(api)
        except BaseException:
            api.close()
            raise
        return api, capacity

    def give_up(self) -> None:
        """It broke: the next use opens it anew."""
        with self._lock:
            self._give_up()

    def _give_up(self) -> None:
        if self._open is not None:
            self._open[0].close()
        self._open = None

    def close(self) -> None:
        """Give it up for good; somebody who waits for an engine that hangs is not waited for."""
        self._is_closed = True
        if self._lock.acquire(timeout=_CLOSE_SECONDS):
            self._give_up()
            self._lock.release()


def _client() -> "APIClient":
    import docker
    from docker.utils import kwargs_from_env

    return docker.APIClient(
        version="auto", timeout=_ANSWER_SECONDS, max_pool_size=_LONGEST_POOL, **kwargs_from_env()
    )


def _capacity(api: "APIClient") -> Capacity:
    found = api.info()
    return Capacity(
        cpus=found["NCPU"],
        memory=found["MemTotal"],
        can_limit_memory=bool(found.get("MemoryLimit")),
        can_limit_cpus=bool(found.get("CpuCfsQuota")),
        can_limit_layers=found.get("Driver") in _LIMITS_LAYERS,
    )


def _knock(address: str) -> None:
    """Raise the system's own error if nobody listens at a local socket: the SDK's tells less, and leaves a socket open."""
    if address.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(_KNOCK_SECONDS)
            probe.connect(address.removeprefix("unix://"))


def _store_remedy(error: BaseException) -> str:
    from docker.utils.config import find_config_file

    where: Any = find_config_file()
    return f"Docker's credential store does not work: {error}; {where} names it (credsStore, credHelpers)"


def _remedy(error: BaseException) -> str:
    where = engine_address()
    if isinstance(error, PermissionError):
        return (
            f"This user may not talk to the Docker Engine at {where}; "
            'sudo usermod -aG docker "$USER", sign in again, then start the local service again.'
        )
    said = (str(error).splitlines() or [type(error).__name__])[0]
    start = "sudo systemctl start docker (or: sudo dockerd &)"
    return f"No Docker Engine answers at {where}: {said}. Start it: {start}; one elsewhere: DOCKER_HOST=unix:///path/docker.sock"

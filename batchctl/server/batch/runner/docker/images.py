"""Images on the engine: pulled when they are not there, one pull of an image at a time for all who want it.

Blocks: call it in a thread.
"""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from batchctl.server.batch.runner.docker.connection import Connection, EngineRefused, engine_errors
from batchctl.server.batch.runner.docker.references import is_valid, registry_for, registry_of, split_name
from batchctl.server.batch.wire import Doc

if TYPE_CHECKING:
    from docker import APIClient
    from requests import Response

_MISSING = 404


class ImageError(Exception):
    """The image cannot be had: `code` is Batch's, ContainerInvalidImage or ContainerInvalidRegistry."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class PullStopped(Exception):
    """Nobody wants the image any more: the service ends, or the task has."""


class Images:
    """The images of the engine that `connection` leads to. After `stop` no pull goes on."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._pulls: dict[str, threading.Lock] = {}
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Give up all pulls: they raise PullStopped when they next look."""
        self._stopped.set()

    def provide(self, name: str, own: Doc | None, registries: Iterable[Doc], *, anew: bool = False) -> None:
        """See that the engine has the image `name`: it is pulled if it is missing, or always if `anew`.

        `own` and `registries` are the task's and the pool's ContainerRegistryReferences. Raises ImageError, EngineLost,
        EngineRefused, PullStopped.
        """
        if not is_valid(name):
            raise ImageError("ContainerInvalidImage", _failed(name, "invalid reference format"))
        with self._lock:
            turn = self._pulls.setdefault(name, threading.Lock())
        with turn:
            api, _ = self._connection.use()
            if anew or not _has(api, name):
                self._pull(api, name, registry_for(name, own, registries))

    def _pull(self, api: "APIClient", name: str, registry: Doc | None) -> None:
        repository, tag = split_name(name)
        sign_in = _sign_in(name, registry)
        try:
            with engine_errors(), _answers_closed(api) as answers:
                del answers
                for event in api.pull(repository, tag=tag, stream=True, decode=True, auth_config=sign_in):
                    if self._stopped.is_set():
                        raise PullStopped
                    if "error" in event:
                        raise ImageError("ContainerInvalidImage", _failed(name, event["error"]))
        except EngineRefused as refusal:
            raise ImageError("ContainerInvalidImage", _failed(name, str(refusal))) from None


def _has(api: "APIClient", name: str) -> bool:
    try:
        with engine_errors():
            api.inspect_image(name)  # type: ignore[no-untyped-call]
    except EngineRefused as refusal:
        if refusal.status == _MISSING:
            return False
        raise ImageError("ContainerInvalidImage", f"{name}: {refusal}") from None
    return True


def _sign_in(name: str, registry: Doc | None) -> dict[str, str] | None:
    """What Docker is to sign in with; None: what this machine's user has signed in with, if that."""
    if registry is None:
        return None
    if "identityReference" in registry:
        detail = "a managed identity is not available on this machine, use a name and a password"
        raise ImageError("ContainerInvalidRegistry", f"{registry_of(name)}: {detail}")
    if not registry.get("username") and not registry.get("password"):
        return None
    if not registry.get("username") or not registry.get("password"):
        detail = "username and password go together"
        raise ImageError("ContainerInvalidRegistry", f"{registry_of(name)}: {detail}")
    return {"username": registry["username"], "password": registry["password"]}


def _failed(name: str, said: str) -> str:
    return f"Failed to pull the container image {name}: {said}"


@contextmanager
def _answers_closed(api: "APIClient") -> "Iterator[list[Response]]":
    """The SDK keeps the answer of a stream that is left in the middle open; this closes what this thread was given."""
    answers: list[Response] = []
    mine = threading.get_ident()
    hooks: list[Any] = api.hooks["response"]

    def keep(answer: "Response", *_: object, **__: object) -> None:
        if threading.get_ident() == mine:
            answers.append(answer)

    hooks.append(keep)
    try:
        yield answers
    finally:
        hooks.remove(keep)
        for answer in answers:
            answer.close()

"""Names of images and who may pull them: the registry in a name, the credentials for it. Pure.

Source: Azure Batch REST, ContainerRegistryReference; a name's parts are Docker's (the first is a registry when it has a dot or
a colon, or is localhost).
"""

import re
from collections.abc import Iterable

from batchctl.server.batch.wire import Doc

DOCKER_HUB = "docker.io"
_LONGEST_NAME = 255
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_HOST = r"(?:[a-zA-Z0-9.-]+|\[[0-9a-fA-F:]+\])(?::\d+)?"
_NAME = re.compile(
    rf"(?:{_HOST}/)?{_PART}(?:/{_PART})*(?::\w[\w.-]{{0,127}})?(?:@[a-z0-9+._-]+:[0-9a-fA-F]{{32,}})?",
    re.ASCII,
)
_HUB_NAMES = ("", DOCKER_HUB, "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com")


def is_valid(name: str) -> bool:
    """Can this be the name of an image?"""
    return len(split_name(name)[0]) <= _LONGEST_NAME and _NAME.fullmatch(name) is not None


def split_name(name: str) -> tuple[str, str]:
    """Repository, and tag or digest (`sha256:…`), which is `latest` when there is neither."""
    repository, found, digest = name.partition("@")
    if found:
        head, _, last = repository.rpartition("/")
        last = last.partition(":")[0]
        return f"{head}/{last}".lstrip("/"), digest
    head, _, last = name.rpartition("/")
    last, _, tag = last.partition(":")
    return f"{head}/{last}".lstrip("/"), tag or "latest"


def registry_of(name: str) -> str:
    """The registry's host (and port) in an image's name; Docker Hub's when it names none."""
    first, found, _ = name.partition("/")
    return _known(first) if found and ("." in first or ":" in first or first == "localhost") else DOCKER_HUB


def registry_for(name: str, own: Doc | None, registries: Iterable[Doc]) -> Doc | None:
    """The ContainerRegistryReference for an image: the task's own, else one of the pool's; None if none is meant for it."""
    host = registry_of(name)
    candidates = [*([own] if own else []), *registries]
    return next((one for one in candidates if _host(one) == host), None)


def _host(registry: Doc) -> str:
    server: str = registry.get("registryServer", DOCKER_HUB)
    return _known(server.partition("://")[2] or server)


def _known(server: str) -> str:
    host = server.partition("/")[0].lower()
    return DOCKER_HUB if host in _HUB_NAMES else host

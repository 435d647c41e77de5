"""Container images as values: their names, what keeps one alive, and where in a Dockerfile a step is. Pure.

The tag of an image is the digest of what it is built from: the same content has the same tag on every machine, so an image that
is there already needs neither building nor pushing. What is submitted is never the tag but `repository@sha256:…`.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from batchctl.errors import UsageError
from batchctl.spec.templates import iso

IMAGE_LABEL = "io.batchctl.image"
"""Label with the image's name in the jobspec: what carries it is ours, and may be pruned."""
CONTEXT_LABEL = "io.batchctl.context"
"""Label with the whole content digest of the build context."""
STAGE_LABEL = "io.batchctl.stage"
"""Label with the image's name on what a stage of its build left behind."""
OCI = "org.opencontainers.image."
"""Prefix of the labels of the OCI image spec (annotations.md)."""
TAG_LENGTH = 16
DOCKER_HUB = "registry-1.docker.io"
"""Where the images are whose reference names no registry."""
DEFAULT_KEEP = 5

# The grammar of distribution/reference: a component, and components joined by slashes; a host may have a port.
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_REGISTRY = re.compile(rf"(?:[A-Za-z0-9.-]+|\[[0-9a-fA-F:]+\])(?::[0-9]+)?(?:/{_COMPONENT})*")
_LONGEST_NAME = 255
_OUR_TAG = re.compile(rf"[0-9a-f]{{{TAG_LENGTH}}}")


@dataclass(frozen=True, kw_only=True)
class StoredImage:
    """One tag of one image, as an engine or a registry holds it."""

    name: str
    """Its name in the jobspec."""
    repository: str
    """Registry and repository: `localhost:5000/etl`."""
    tag: str
    digest: str
    """`sha256:…` of the manifest; empty if it was never pushed."""
    size: int | None
    """Bytes on a node, unpacked; None if no engine has it."""
    download: int | None
    """Bytes to pull, packed; None if no registry has it."""
    created: str
    """ISO 8601 in UTC."""
    engine: bool
    """Whether the engine has it."""
    registry: bool
    """Whether the registry has it."""
    id: str = ""
    """`sha256:…` of the image in the engine: what plans carry on this machine without a registry. Empty if no engine has it."""
    is_stage: bool = False
    """Whether it is what a stage of a build left in the engine: `tag` is then that of the built image."""

    @property
    def reference(self) -> str:
        """`repository:tag`."""
        return f"{self.repository}:{self.tag}"


def repository(registry: str, name: str) -> str:
    """`localhost:5000`, `etl` -> `localhost:5000/etl`. Raises UsageError for what no registry would accept.

    The rule: distribution/reference, the grammar of image names.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be the name of an image: registries allow a-z, 0-9, and . _ - between them",
            hint=f"images: {{{_allowed(name)}: …}}",
        )
    if registry and not _REGISTRY.fullmatch(registry):
        raise UsageError(
            f"{registry!r} is not a registry", hint='registry = "localhost:5000", or "NAME.azurecr.io"'
        )
    whole = f"{registry}/{name}" if registry else name
    if len(whole) > _LONGEST_NAME:
        raise UsageError(f"{whole[:40]}… has {len(whole)} characters; a repository's name has at most 255")
    return whole


def tag_of(context_digest: str) -> str:
    """The tag of what is built from a context: the first hexadecimal digits of its digest."""
    return context_digest.removeprefix("sha256:")[:TAG_LENGTH]


def is_our_tag(tag: str) -> bool:
    """Whether `tag` has the form of ours."""
    return _OUR_TAG.fullmatch(tag) is not None


def split_reference(reference: str) -> tuple[str, str, str]:
    """`acr.azurecr.io/etl:1.2` -> host, path and tag or digest. Docker's defaults: Docker Hub, `library/`, `latest`."""
    whole, _, digest = reference.partition("@")
    head, slash, last = whole.rpartition("/")
    last, _, tag = last.partition(":")
    host, _, path = f"{head}{slash}{last}".partition("/")
    if not path or not ("." in host or ":" in host or host == "localhost"):
        path = f"{head}{slash}{last}"
        host, path = DOCKER_HUB, path if slash else f"library/{path}"
    return host, path, digest or tag or "latest"


def image_labels(
    name: str, context_digest: str, *, created: datetime, revision: str = "", source: str = ""
) -> dict[str, str]:
    """The labels of a built image: OCI's own, and ours."""
    labels = {
        IMAGE_LABEL: name,
        CONTEXT_LABEL: context_digest,
        f"{OCI}title": name,
        f"{OCI}created": iso(created),
        f"{OCI}revision": revision,
        f"{OCI}source": source,
    }
    return {key: value for key, value in labels.items() if value}


def removable(images: Sequence[StoredImage], bodies: Collection[str], keep: int) -> list[StoredImage]:
    """Those of `images` that nothing needs: not the newest `keep` of their repository, and named in none of the `bodies`.

    `bodies` are wire bodies as JSON texts; a conductor's carries the images of its tasks inside a variable.
    """
    newest: set[str] = set()
    for repo in {image.repository for image in images}:
        mine = sorted((i for i in images if i.repository == repo), key=lambda i: i.created, reverse=True)
        newest.update(image.reference for image in mine[:keep])
    kept = newest | {image.reference for image in images if is_named(image, bodies)}
    # Deleting a manifest takes every tag of it away.
    kept_digests = {image.digest for image in images if image.reference in kept and image.digest}
    return [image for image in images if image.reference not in kept and image.digest not in kept_digests]


def is_named(image: StoredImage, bodies: Collection[str]) -> bool:
    """Whether one of the JSON texts names the image, by its digest, its id or its tag."""
    names = [name for name in (image.digest, image.id, image.reference) if name]
    return any(name in text for text in bodies for name in names)


def merged(here: Sequence[StoredImage], there: Sequence[StoredImage]) -> list[StoredImage]:
    """What the engine has and what the registry has, as one list: by repository, the newest first."""
    by_reference = {image.reference: image for image in here}
    for image in there:
        local = by_reference.get(image.reference)
        by_reference[image.reference] = StoredImage(
            name=image.name,
            repository=image.repository,
            tag=image.tag,
            digest=image.digest,
            size=local.size if local else None,
            download=image.download,
            created=image.created or (local.created if local else ""),
            engine=local is not None,
            registry=True,
            id=local.id if local else "",
        )
    newest_first = sorted(by_reference.values(), key=lambda image: image.created, reverse=True)
    return sorted(newest_first, key=lambda image: image.repository)


def step_line(dockerfile: str, step: int) -> tuple[int, str]:
    """Line and text of the Dockerfile's instruction number `step`, both counted from 1; (0, "") if it has no such.

    The engine counts instructions in the order of the file, over all stages.
    """
    seen, continued = 0, False
    for number, line in enumerate(dockerfile.splitlines(), start=1):
        text = line.strip()
        if not text or text.startswith("#"):  # also inside a continued instruction
            continue
        if not continued:
            seen += 1
            if seen == step:
                return number, text
        continued = text.endswith("\\")
    return 0, ""


def listing(image: StoredImage) -> dict[str, Any]:
    """One image as plain JSON data."""
    fields: Mapping[str, Any] = vars(image)
    return {**fields, "reference": f"{image.repository}@{image.digest}" if image.digest else ""}


def _allowed(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "etl"

"""`image build` and `image push`, and the digests that plans name: an image whose content is there already is left alone."""

import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import stamina
from stamina.instrumentation import set_on_retry_hooks

from batchctl.errors import Refused, Unreachable, UsageError
from batchctl.plan.images import image_labels, repository, split_reference, tag_of
from batchctl.spec import Jobspec
from batchctl.targets.build_context import BuildContext, build_context
from batchctl.targets.docker_engine import Engine, PushInterrupted
from batchctl.targets.engine_stream import Event
from batchctl.targets.registry import Registry
from batchctl.targets.registry_sign_in import host_of, sign_in, sign_ins
from batchctl.targets.settings import Settings, TargetSettings

CONDUCTOR = "conductor"
"""Name of the conductor's image, which settings name and no jobspec."""

_DIGEST = re.compile(r"(^|@)sha256:[0-9a-f]{64}$")
Show = Callable[[str, Event], None]
"""Told an image's name, and what the engine says of it."""


class Done(StrEnum):
    """What was done to an image."""

    UNCHANGED = "unchanged"
    BUILT = "built"
    PUSHED = "pushed"


@dataclass(frozen=True, kw_only=True)
class WantedImage:
    """An image as it should be: what it is built from, and so its tag."""

    name: str
    repository: str
    context: BuildContext

    @property
    def tag(self) -> str:
        """Tells the content: another content has another tag."""
        return tag_of(self.context.digest)

    @property
    def reference(self) -> str:
        """`repository:tag`."""
        return f"{self.repository}:{self.tag}"

    @property
    def path(self) -> str:
        """The repository without its registry's host."""
        return split_reference(self.repository)[1]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """An image, and what was done to it."""

    name: str
    repository: str
    tag: str
    digest: str
    """`sha256:…` of the manifest; empty if it was only built."""
    done: Done

    @property
    def pinned(self) -> str:
        """`repository@sha256:…`: what plans and submitted bodies carry. Empty if it was only built."""
        return f"{self.repository}@{self.digest}" if self.digest else ""


@dataclass(frozen=True, kw_only=True)
class How:
    """How images are built and pushed."""

    now: datetime
    show: Show
    target: TargetSettings = field(default_factory=TargetSettings)
    """Who we are to the registries of base images."""
    rebuild: bool = False
    """Build and push also what is there, without the cache, on the newest base image."""


def wanted_images(spec: Jobspec, spec_file: Path, settings: Settings) -> list[WantedImage]:
    """The images that the jobspec builds. Reads their folders. Raises UsageError for a name or a folder that cannot be."""
    beside = spec_file.parent
    return [
        WantedImage(
            name=name,
            repository=repository(settings.target.registry, name),
            context=build_context(beside / image.context, image.dockerfile, image.build_args),
        )
        for name, image in spec.images.items()
        if image.context is not None
    ]


def wanted_conductor(settings: Settings) -> WantedImage | None:
    """The conductor's image, if the target builds it from `conductor_context`."""
    target = settings.target
    if not target.conductor_context:
        return None
    return WantedImage(
        name=CONDUCTOR,
        repository=repository(target.registry, CONDUCTOR),
        context=build_context(
            settings.project / target.conductor_context,
            target.conductor_dockerfile,
            target.conductor_build_args,
        ),
    )


@contextmanager
def open_registry(settings: Settings, host: str | None = None) -> Iterator[Registry]:
    """The registry at `host`, signed in; default: the target's. Raises UsageError if it has none."""
    if host is None and not settings.target.registry:
        raise UsageError(
            f"the target {settings.name} has no registry, and a digest comes from one",
            hint=f'registry = "localhost:5000" in [targets.{settings.name}] of batchctl.toml, or BATCHCTL_REGISTRY',
        )
    host = host or host_of(settings.target.registry)
    with Registry(host, sign_in(settings.target, host)) as registry:
        yield registry


def build_image(engine: Engine, image: WantedImage, how: How) -> Outcome:
    """Build the image, unless the engine has that content. Raises SpecError, TargetError, Unreachable."""
    done = Done.UNCHANGED
    if how.rebuild or not engine.has(image.reference):
        revision, source = _revision(image.context.folder)
        labels = image_labels(
            image.name, image.context.digest, created=how.now, revision=revision, source=source
        )
        texts = [image.context.dockerfile_text(), *image.context.build_args.values()]
        engine.build(
            image.context, image.reference, labels,
            rebuild=how.rebuild, show=_of(image, how), sign_ins=sign_ins(how.target, texts),
        )  # fmt: skip
        done = Done.BUILT
    return Outcome(name=image.name, repository=image.repository, tag=image.tag, digest="", done=done)


def push_image(engine: Engine, registry: Registry, image: WantedImage, how: How) -> Outcome:
    """Build and push the image, unless the registry has that content: then the engine is not even asked.

    Raises what `build_image` does, and NotAuthenticated, UsageError for a name that the registry does not allow.
    """
    digest = registry.digest(image.path, image.tag)
    done = Done.UNCHANGED
    if digest is None or how.rebuild:
        build_image(engine, image, how)
        digest = _pushed(engine, registry, image, how)
        done = Done.PUSHED
    return Outcome(name=image.name, repository=image.repository, tag=image.tag, digest=digest, done=done)


def pinned_images(
    spec: Jobspec, spec_file: Path, settings: Settings, *, how: How | None = None
) -> dict[str, str]:
    """Every image of the jobspec by its content, for `Site.images`: `repository@sha256:…`, or, on this machine without a
    registry, its id in the engine. With `how`, what changed is built (and pushed) first; without, that is Refused."""
    remedy = "batchctl image {} " + str(spec_file)
    found = _pinned(wanted_images(spec, spec_file, settings), settings, how, remedy)
    named = {name: image.reference for name, image in spec.images.items() if image.reference is not None}
    return found | {name: pin(reference, settings) for name, reference in named.items()}


def pinned_conductor(settings: Settings, *, how: How | None = None) -> str:
    """The conductor's image by its content, for `Site.conductor_image`; empty if the target names none.

    A `conductor_image` that is set goes before `conductor_context`.
    """
    if settings.target.conductor_image:
        return pin(settings.target.conductor_image, settings)
    image = wanted_conductor(settings)
    return _pinned([image], settings, how, "batchctl image {}")[CONDUCTOR] if image else ""


def _pinned(
    wanted: Sequence[WantedImage], settings: Settings, how: How | None, remedy: str
) -> dict[str, str]:
    """Name -> content of each image. Needs the engine only to build, or where there is no registry."""
    if not wanted:
        return {}
    found: dict[str, str | None] = {}
    with Engine() as engine:
        if settings.target.registry or not settings.target.is_local:
            with open_registry(settings) as registry:
                for image in wanted:
                    digest = registry.digest(image.path, image.tag)
                    if digest is None and how is not None:
                        digest = push_image(engine, registry, image, how).digest
                    found[image.name] = f"{image.repository}@{digest}" if digest else None
                place, verb = registry.host, "push"
        else:
            for image in wanted:
                if how is not None:
                    build_image(engine, image, how)
                found[image.name] = engine.content_of(image.reference)
            place, verb = "the engine", "build"
    for image in wanted:
        if found[image.name] is None:
            raise Refused(
                f"the image {image.name} is not in {place} as it is in {image.context.folder}",
                hint=remedy.format(verb).strip(),
            )
    return {name: content for name, content in found.items() if content}


def pin(reference: str, settings: Settings) -> str:
    """`registry/repository:tag` -> `registry/repository@sha256:…`, as it is now; on this machine first as the engine has it.

    Raises Refused if there is no such image.
    """
    if not _DIGEST.search(reference) and "sha256:" in reference:
        raise UsageError(f"{reference}: this is no digest", hint="sha256: and 64 hexadecimal digits")
    if settings.target.is_local:
        with Engine() as engine:
            if here := engine.content_of(reference):
                return reference if "sha256:" in reference else here
    elif "sha256:" in reference:
        return reference
    host, path, tag = split_reference(reference)
    try:
        with open_registry(settings, host) as registry:
            digest = registry.digest(path, tag)
    except Unreachable as error:
        raise Unreachable(f"{reference}: {error.message}", hint=error.hint) from error
    if digest is None:
        raise Refused(f"there is no image {reference}", hint="is its name right?")
    return reference if "sha256:" in reference else f"{reference.removesuffix(f':{tag}')}@{digest}"


def _pushed(engine: Engine, registry: Registry, image: WantedImage, how: How) -> str:
    set_on_retry_hooks([])
    for attempt in stamina.retry_context(
        on=(PushInterrupted, Unreachable), attempts=5, timeout=60, wait_initial=0.5, wait_max=10
    ):
        with attempt:
            try:
                return engine.push(image.repository, image.tag, registry.credentials, _of(image, how))
            except PushInterrupted:
                # The engine tells it in words only. The registry tells us what is wrong with us, if anything is.
                registry.check_push(image.path)
                raise
    raise AssertionError("the last attempt raises")  # pragma: no cover


def _of(image: WantedImage, how: How) -> Callable[[Event], None]:
    return lambda event: how.show(image.name, event)


def _revision(folder: Path) -> tuple[str, str]:
    """The commit that `folder` is at (`…-dirty` if it is not exactly that) and where it came from; empty outside git."""
    revision = _git(folder, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    source = _git(folder, "config", "--get", "remote.origin.url")
    parts = urlsplit(source)
    if "@" in parts.netloc:  # a token in a URL is a secret, and a label is public
        source = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    return revision, source


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", "-C", folder, *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""

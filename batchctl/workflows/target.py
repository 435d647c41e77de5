"""Opening the target of a command: the local service, started if it is not up, or an Azure Batch account."""

import errno
import os
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import url2pathname

from batchctl.errors import TargetError, Unreachable, UsageError
from batchctl.plan import Pipeline, Site
from batchctl.spec import Jobspec, Lifetime
from batchctl.targets.batch import Batch
from batchctl.targets.settings import Settings

if TYPE_CHECKING:
    from batchctl.workflows.images import How

ON_DEMAND_SECONDS = 10.0
"""A service that a command started ends itself after this long without work and without requests."""


@contextmanager
def open_batch(settings: Settings, story: Callable[[str], None] = lambda _: None) -> Iterator[Batch]:
    """The Batch account of the target. `story` is told what takes a moment. Raises UsageError for a local target at Azure."""
    from batchctl.targets.connect import connect
    from batchctl.targets.registry_sign_in import registry_password

    target = settings.target
    if target.kind == "local" and not target.endpoint:
        from batchctl.server import daemon

        if daemon.find(local_state(settings)) is None:
            story("starting the local Batch service")
        with state_errors("started"):
            service = daemon.start(
                local_state(settings), on_demand=ON_DEMAND_SECONDS, output_folder=lake_folder(settings)
            )
        endpoint, account, key = service.endpoint, service.account, service.key
    elif target.kind == "local":
        if target.endpoint.startswith("https://"):
            raise UsageError(
                f"{target.endpoint} is not a local service, and the target {settings.name} is one",
                hint="BATCHCTL_ENDPOINT= batchctl … starts one here; or name the target of that account",
            )
        from batchctl.server import DEV_ACCOUNT, DEV_KEY

        endpoint, account, key = target.endpoint, target.account or DEV_ACCOUNT, target.key or DEV_KEY
    else:
        endpoint, account, key = target.endpoint, target.account, target.key
    with connect(
        endpoint, account=account, key=key, registry_password=lambda: registry_password(target)
    ) as batch:
        yield batch


@contextmanager
def state_errors(what: str) -> Iterator[None]:
    """Files of the local service that cannot be made, read or removed become a TargetError: it could not be `what`."""
    try:
        yield
    except OSError as error:
        if error.filename is None:  # not about a file: a bug
            raise
        raise TargetError(
            f"the local service could not be {what}: {error.filename}: {error.strerror}",
            hint="go to a folder that you may write to",
        ) from None


def local_state(settings: Settings) -> Path:
    """The folder of the local service's store and nodes."""
    return settings.state / "local"


def lake_folder(settings: Settings) -> Path | None:
    """The folder of a lake that is on this machine; None for one in the cloud."""
    url = urlsplit(settings.lake)
    return Path(url2pathname(url.path)) if url.scheme == "file" else None


def prepare_lake(settings: Settings) -> None:
    """Make the folder of a lake on this machine where runs leave their logs; nothing for one in the cloud.

    Raises TargetError if nothing can be written there: stage-run would refuse every task, and only its node would know why.
    """
    folder = lake_folder(settings)
    if folder is None:
        return
    runs = folder / "runs"
    with _lake_errors():
        runs.mkdir(parents=True, exist_ok=True)
        if not os.access(runs, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(runs))


@contextmanager
def _lake_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TargetError(
            f"the lake cannot be written: {error.filename}: {error.strerror}",
            hint="make it a folder that you may write to, or set another lake: BATCHCTL_LAKE",
        ) from None


def site(settings: Settings, spec_file: Path) -> Site:
    """What the target adds to the jobspec in `spec_file`. Raises UsageError for folders that no container can be given."""
    target = settings.target
    containers = runs_containers(settings)
    if target.is_local:
        beside = spec_file.resolve().parent.as_uri() + "/"
        return Site(
            target=settings.name,
            zones=settings.zones | {"jobspec": beside},
            runs_url=f"{settings.lake}runs/",
            lifetime=Lifetime.AUTO,
            containers=containers,
            conductor_image=target.conductor_image if containers else "",
            run_options=_local_options(settings, spec_file) if containers else "",
        )
    return Site(
        target=settings.name,
        zones=settings.zones,
        runs_url=f"{settings.lake}runs/",
        containers=containers,
        conductor_image=target.conductor_image,
        node_identity=target.node_identity,
    )


def runs_containers(settings: Settings) -> bool:
    """Whether tasks run in their images at this target. `auto`, on this machine, asks whether an engine answers."""
    match settings.target.runtime:
        case "process":
            return False
        case "auto" if settings.target.is_local:
            from batchctl.targets.docker_engine import Engine

            try:
                with Engine() as engine:
                    return engine.answers()
            except Unreachable:
                return False
        case "":
            return not settings.target.is_local
        case _:
            return True


def _with_registry(there: Site, settings: Settings) -> Site:
    """The site, and how its nodes sign in to the target's registry: as their identity, with a password, or not at all."""
    target = settings.target
    if not target.registry or not (target.registry_username or target.node_identity):
        return there
    from batchctl.targets.registry_sign_in import host_of

    return replace(
        there, registry_server=host_of(target.registry), registry_username=target.registry_username
    )


def _local_options(settings: Settings, spec_file: Path) -> str:
    """What a container on this machine needs to reach the lake: its folders, at the same path, as the user who runs this."""
    urls = [settings.lake, *settings.zones.values()]
    folders = {Path(url2pathname(urlsplit(url).path)) for url in urls if url.startswith("file:")}
    outermost = sorted(folder for folder in folders if not folders & set(folder.parents))
    beside = spec_file.resolve().parent
    if ":" in f"{beside}{''.join(map(str, outermost))}":
        raise UsageError(
            "a folder with a colon in its path cannot be given to a container", hint="--runtime process"
        )
    with _lake_errors():
        for folder in outermost:
            folder.mkdir(parents=True, exist_ok=True)  # the engine would make it, and root would own it
    words = ["--user", f"{os.getuid()}:{os.getgid()}"]
    for folder in outermost:
        words += ["--volume", f"{folder}:{folder}"]
    if not any(folder == beside or folder in beside.parents for folder in outermost):
        words += ["--volume", f"{beside}:{beside}:ro"]
    return shlex.join(words)


def pipeline(spec: Jobspec, spec_file: Path, settings: Settings, *, how: "How | None" = None) -> Pipeline:
    """The jobspec at the target. Where tasks run in containers, every image is named by the digest it has in the target's
    registry; on this machine without a registry by its id in the engine.

    With `how`, what changed is built and pushed first; without, an image that is not there as it should be is Refused.
    """
    there = site(settings, spec_file)
    if there.containers and spec.images:
        there = _with_registry(there, settings)
    if there.containers and spec.images and (settings.target.registry or settings.target.is_local):
        from batchctl.workflows.images import pinned_conductor, pinned_images

        images = pinned_images(spec, spec_file, settings, how=how)
        conductor = pinned_conductor(settings, how=how) if spec.schedule is not None else ""
        there = replace(there, images=images, conductor_image=conductor)
    return Pipeline(spec=spec, site=there)

"""`image list` and `image prune`: what an engine and a registry hold of ours, and what of that nothing needs any more."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from batchctl.errors import Conflict, Refused, TargetError, Unreachable
from batchctl.plan.images import StoredImage, merged, removable, repository, split_reference
from batchctl.targets.batch import Batch
from batchctl.targets.docker_engine import Engine
from batchctl.targets.image_references import living_bodies
from batchctl.targets.settings import Settings
from batchctl.workflows.images import open_registry


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """What was found, and what could not be asked."""

    images: tuple[StoredImage, ...]
    silent: tuple[str, ...]
    """Why a part is missing: no engine, for example. Words for people."""


@dataclass(frozen=True, kw_only=True)
class Removal:
    """One image that prune removes, or would."""

    image: StoredImage
    removed: bool
    why_not: str = ""
    """Why it is still there, if it should have gone."""
    hint: str = ""
    """What to do about that."""


def list_images(engine: Engine, settings: Settings, names: Collection[str], *, all_names: bool) -> Inventory:
    """The images of ours in the engine and in the target's registry, of `names`; with `all_names`, of any the engine has too.

    Only those of the target's own repositories: what another target needs is not known here. An engine that is not there
    leaves the registry's. Raises what the registry does.
    """
    registry = settings.target.registry
    silent: list[str] = []
    here: list[StoredImage] = []
    try:
        here = [
            image
            for image in engine.images()
            if (all_names or image.name in names) and image.repository == repository(registry, image.name)
        ]
    except Unreachable as error:
        silent.append(error.message)
    there: list[StoredImage] = []
    if registry:
        everyone = sorted({*names, *(image.name for image in here)} if all_names else set(names))
        with open_registry(settings) as held:
            for name in everyone:
                there += held.images(split_reference(repository(registry, name))[1], name)
    return Inventory(images=tuple(merged(here, there)), silent=tuple(silent))


def unneeded(batch: Batch, images: Iterable[StoredImage], *, keep: int) -> list[StoredImage]:
    """Those that are not of the newest `keep` of their repository, and that no pool, schedule or job of the account names."""
    return removable(list(images), living_bodies(batch), keep)


def unneeded_stages(
    engine: Engine, names: Collection[str], going: Iterable[StoredImage], *, all_names: bool
) -> list[StoredImage]:
    """What stages of builds left in the engine, of images that it no longer has when those `going` have gone. The stages of the
    others make their next build quick."""
    gone = {image.reference for image in going}
    try:
        there = {(image.name, image.tag) for image in engine.images() if image.reference not in gone}
        return [
            stage
            for stage in engine.stages()
            if (all_names or stage.name in names) and (stage.name, stage.tag) not in there
        ]
    except Unreachable:  # the list of images has told
        return []


def remove_images(
    engine: Engine, settings: Settings, images: Iterable[StoredImage], *, from_registry: bool
) -> list[Removal]:
    """Remove each from the engine and, with `from_registry`, from the registry. What a container uses stays, in both; what keeps
    one image does not keep the others."""
    done: list[Removal] = []
    for image in images:
        try:
            if image.is_stage:
                engine.remove(image.id)
            elif image.engine:
                engine.remove(image.reference)
                if image.digest:  # what a node pulled has no tag
                    engine.remove(f"{image.repository}@{image.digest}")
            if image.registry and from_registry:
                with open_registry(settings) as registry:
                    registry.delete(split_reference(image.repository)[1], image.digest)
        except (TargetError, Refused) as error:
            hint = "remove the containers that use them" if isinstance(error, Conflict) else error.hint
            done.append(Removal(image=image, removed=False, why_not=error.message, hint=hint))
        else:
            done.append(Removal(image=image, removed=True))
    return done

"""What befalls a container task that is about to start: its image cannot be pulled."""

from collections.abc import Sequence
from dataclasses import replace

from batchctl.server.batch.scheduler.effects import Effect, Ending, StartRun
from batchctl.server.batch.store import Store
from batchctl.server.chaos import book
from batchctl.server.chaos.rule import Fault


def with_denied_images(store: Store, effects: Sequence[Effect]) -> list[Effect]:
    """The same effects; starts of images that a rule denies are refused (`ContainerInvalidImage`)."""
    return [_judged(store, effect) for effect in effects]


def _judged(store: Store, effect: Effect) -> Effect:
    if not isinstance(effect, StartRun) or effect.image is None:
        return effect
    if not book.struck(store, {Fault.DENY_IMAGE}, (effect.image,)):
        return effect
    detail = f"Failed to pull the container image {effect.image}: pull access denied."
    return replace(effect, refused=Ending(failure="ContainerInvalidImage", detail=detail))

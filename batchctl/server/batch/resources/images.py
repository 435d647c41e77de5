"""The marketplace images and node agents that pools may name. A sample of what the service lists, as data.

The real list changes with every month; `supported_images.json` has the common families and is not meant to be complete.
"""

from importlib.resources import files

import orjson

from batchctl.server.batch.errors import ServiceError, invalid_value
from batchctl.server.batch.wire import Doc

_TABLE = orjson.loads(files(__package__).joinpath("supported_images.json").read_bytes())
SUPPORTED_IMAGES: tuple[Doc, ...] = tuple(_TABLE["images"])
_AGENTS = frozenset(image["nodeAgentSKUId"].lower() for image in SUPPORTED_IMAGES) | frozenset(
    _TABLE["retiredAgents"]
)


IMAGE_IDS = ("virtualMachineImageId", "sharedGalleryImageId", "communityGalleryImageId")
"""An image is named by one of these, or as one of the marketplace."""


def check_image(pool: Doc) -> None:
    """Raise InvalidPropertyValue for an image that is not named, or is by an id and otherwise (BatchVmImageReference)."""
    image = pool.get("virtualMachineConfiguration", {}).get("imageReference")
    if image is None:
        return
    if not image:
        raise invalid_value(
            "imageReference", "", "An image of the marketplace or the id of an image must be set."
        )
    ids = [name for name in IMAGE_IDS if name in image]
    if ids and len(image) > 1:
        raise invalid_value(ids[0], image[ids[0]], f"{ids[0]} excludes the other properties of an image.")


def check_node_agent(pool: Doc) -> None:
    """Raise NodeAgentSKUNotFound for a node agent that there never was; retired ones are let pass."""
    agent = pool.get("virtualMachineConfiguration", {}).get("nodeAgentSKUId")
    if agent is not None and agent.lower() not in _AGENTS:
        raise ServiceError("NodeAgentSKUNotFound", ("NodeAgentSKUId", agent))

"""What a target adds to a jobspec to make it concrete: where the lake is, what its pools can do, which images there are.

A value. It travels with the jobspec to the conductor, so it holds no secret.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from batchctl.spec import Lifetime

_OPTIONAL = frozenset({"run_options", "node_identity", "registry_server", "registry_username"})


@dataclass(frozen=True, kw_only=True)
class Site:
    """The place a plan is made for."""

    target: str
    """Name of the target, for people."""
    zones: Mapping[str, str]
    """Lake zone -> URL of its folder, ending in `/`: `{"raw": "file:///data/lake/raw/"}`."""
    runs_url: str
    """Folder of logs and run records, ending in `/`."""
    lifetime: Lifetime = Lifetime.IDLE
    """The lifetime of a pool whose jobspec is silent."""
    autoscale: bool = True
    """Whether pools can follow a formula; otherwise an idle pool keeps its nodes."""
    containers: bool = True
    """Whether tasks run in their images; otherwise as plain processes, where the images' programs must be installed."""
    images: Mapping[str, str] = field(default_factory=dict)
    """Image name in the jobspec -> reference with a digest."""
    conductor_image: str = ""
    """Image of the conductor, where there are containers."""
    run_options: str = ""
    """Options of every container (`docker create`): on this machine, the folders that its tasks need."""
    node_identity: str = ""
    """Resource id of the managed identity that the nodes have: it pulls images, and uploads logs that stage-run does not."""
    registry_server: str = ""
    """The registry that nodes sign in to, where they must."""
    registry_username: str = ""
    """Who signs in there with a password. The password is no part of a plan: see `REGISTRY_PASSWORD`."""

    @property
    def on_this_machine(self) -> bool:
        """Whether tasks see this machine's own files: the folder of the jobspec is a zone."""
        return "jobspec" in self.zones

    def as_json(self) -> dict[str, Any]:
        """Plain JSON data that `from_json` reads back.

        What a site has only since it knows containers is left out where it is not set: what is deployed keeps its digest.
        """
        return {name: value for name, value in asdict(self).items() if value or name not in _OPTIONAL}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Site":
        """The inverse of `as_json`."""
        return cls(**{**data, "lifetime": Lifetime(data["lifetime"])})

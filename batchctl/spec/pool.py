"""`pool`: the nodes a pipeline's tasks run on. Field names are those of Batch's pool, in snake_case."""

from datetime import timedelta
from enum import StrEnum

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from batchctl.spec.model import Duration, Id, Model


class Lifetime(StrEnum):
    """When a pool comes and goes. What each costs in safety: docs/pools.md."""

    IDLE = "idle"
    """One pool for the pipeline, empty while nothing runs."""
    RUN = "run"
    """One pool for each run, deleted after it."""
    AUTO = "auto"
    """A Batch auto pool: created and deleted by the service with each job. It cannot carry a managed identity."""


class VmImage(Model):
    """The operating system of the nodes: a Marketplace image and the node agent that fits it."""

    publisher: str = Field("microsoft-dsvm", description="Marketplace publisher.")
    offer: str = Field("ubuntu-hpc", description="Marketplace offer.")
    sku: str = Field("2204", description="Marketplace SKU.")
    version: str = Field("latest", description="Image version.")
    node_agent_sku_id: str = Field(
        "batch.node.ubuntu 22.04", description="The Batch node agent for this image."
    )


class Pool(Model):
    """Nodes to run on; or `id` alone: a pool that is there already and that batchctl never changes."""

    id: Id | None = Field(None, description="An existing pool to use as it is. Excludes every other field.")
    lifetime: Lifetime | None = Field(
        None, description="idle, run or auto. Default: idle on Azure, auto on this machine."
    )
    vm_size: str = Field("Standard_D2s_v5", description="Azure VM size of a node.")
    vm_image: VmImage = Field(default_factory=VmImage, description="Operating system of a node.")
    target_dedicated_nodes: int = Field(0, ge=0, description="Number of dedicated nodes.")
    target_low_priority_nodes: int = Field(
        0, ge=0, description="Number of low-priority (spot) nodes, which may be preempted."
    )
    task_slots_per_node: int = Field(
        1, ge=1, le=256, description="How many tasks a node runs at once; at most 4 x its cores."
    )
    resize_timeout: Duration = Field(
        timedelta(minutes=15), description="How long Batch tries to get the nodes; at least PT5M."
    )
    identity: str | None = Field(
        None, description="User-assigned managed identity of the nodes: its resource id."
    )

    @model_validator(mode="after")
    def _is_one_thing(self) -> "Pool":
        def refuse(message: str, hint: str = "") -> PydanticCustomError:
            return PydanticCustomError("jobspec", "{message}", {"message": message, "hint": hint})

        given = self.model_fields_set - {"id"}
        if self.id is not None and given:
            raise refuse(
                f"id names an existing pool, so {', '.join(sorted(given))} cannot be set",
                "remove id, or the other fields",
            )
        if self.id is None and not self.nodes:
            raise refuse(
                "the pool has no nodes, so tasks would wait for ever",
                "set target_dedicated_nodes or target_low_priority_nodes",
            )
        if self.resize_timeout < timedelta(minutes=5):
            raise refuse("resize_timeout must be at least PT5M")
        if self.identity and self.lifetime is Lifetime.AUTO:
            raise refuse(
                "an auto pool cannot carry a managed identity", "use lifetime: idle, or remove identity"
            )
        return self

    @property
    def nodes(self) -> int:
        """How many nodes there are when all have come."""
        return self.target_dedicated_nodes + self.target_low_priority_nodes

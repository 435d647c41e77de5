"""`images`: container images that tasks run in: built from a folder, or named."""

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from batchctl.spec.model import Model


class Image(Model):
    """A container image: `context` to build it from, or `reference` to use one that is there."""

    context: str | None = Field(None, description="Folder to build from, relative to the jobspec.")
    dockerfile: str = Field("Dockerfile", description="Dockerfile in the context.")
    build_args: dict[str, str] = Field({}, description="Build arguments.")
    reference: str | None = Field(
        None, description="An image that exists: registry/repository:tag or …@sha256:…."
    )

    stage_run: bool = Field(
        True,
        description="Whether the image holds stage-run, as ours do. Without: no secrets, and logs when the task has ended.",
    )
    run_options: str = Field("", description="Options of its containers, as of docker create: --shm-size 1g.")

    @model_validator(mode="after")
    def _has_one_origin(self) -> "Image":
        if (self.context is None) == (self.reference is None):
            raise PydanticCustomError(
                "jobspec",
                "{message}",
                {"message": "give context or reference, one of them", "hint": "context: ../images/etl"},
            )
        return self

"""A jobspec: the whole of what a user writes about one pipeline."""

from datetime import timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from batchctl.spec.image import Image
from batchctl.spec.model import Duration, Environment, Id, Model, Variable
from batchctl.spec.parameter import Parameter
from batchctl.spec.pool import Pool
from batchctl.spec.schedule import Schedule
from batchctl.spec.secret import SecretReference
from batchctl.spec.sourcemart import RUN_PARAMETERS, Sourcemart
from batchctl.spec.task import Task

MAX_NAME = 40
"""Longest name of a pipeline: room is left for `-<time>-<suffix>` in a job id of at most 64 characters."""


def _short(value: Any) -> Any:
    if isinstance(value, str) and len(value) > MAX_NAME:
        raise PydanticCustomError(
            "jobspec",
            "{message}",
            {"message": f"a name has at most {MAX_NAME} characters", "hint": "run ids begin with it"},
        )
    return value


def _some(value: tuple[Task, ...]) -> tuple[Task, ...]:
    if not value:
        raise PydanticCustomError(
            "jobspec", "{message}", {"message": "there are no tasks", "hint": "add one"}
        )
    return value


class Jobspec(Model):
    """One pipeline: when it runs, on what, and its tasks, or the tables they are derived from: one of the two."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["tasks"]}, {"required": ["sourcemart"]}]}
    )

    name: Annotated[Id, BeforeValidator(_short)] = Field(description="The pipeline's name.")
    description: str = Field("", description="What it does, for people.")
    schedule: Schedule | None = Field(None, description="When it runs by itself.")
    parameters: dict[str, Parameter] = Field({}, description="What a run can be given with -p.")
    pool: Pool = Field(description="The nodes it runs on.")
    images: dict[str, Image] = Field({}, description="Container images, by name.")
    secrets: dict[Variable, SecretReference] = Field(
        {}, description="Secret references, by environment variable."
    )
    environment: Environment = Field(
        {}, description="Environment variables of every task. Values are templates."
    )
    priority: int = Field(0, ge=-1000, le=1000, description="Priority of its jobs in a shared pool.")
    max_wall_clock_time: Duration = Field(
        timedelta(days=1),
        description="Batch ends a run after this time, so a stuck one cannot block the schedule.",
    )
    tasks: Annotated[tuple[Task, ...], AfterValidator(_some)] = Field((), description="The stages.")
    sourcemart: Sourcemart | None = Field(
        None, description="In place of tasks: tables, from which the tasks are derived."
    )

    @property
    def run_parameters(self) -> dict[str, Parameter]:
        """What a run can be given: `parameters`, and those that every sourcemart has."""
        return {**RUN_PARAMETERS, **self.parameters} if self.sourcemart else self.parameters

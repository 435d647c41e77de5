"""What a task does, wherever it is written: in `tasks` or in a `sourcemart`. Field names are those of Batch's task."""

import json
from typing import Annotated, Any

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from batchctl.spec.model import Duration, Environment, Model, Variable
from batchctl.spec.templates import is_template


def _may_be_a_shape(value: Any) -> bool:
    """Whether a text can give a shape: a template may, and JSON is one already."""
    if not isinstance(value, str) or is_template(value):
        return True
    try:
        found = json.loads(value)
    except ValueError:
        return False
    return isinstance(found, int | list | dict) and not isinstance(found, bool)


def _has_a_shape(value: Any) -> Any:
    if (
        isinstance(value, bool)
        or not isinstance(value, int | str | list | dict)
        or not _may_be_a_shape(value)
    ):
        raise PydanticCustomError(
            "jobspec",
            "{message}",
            {
                "message": "must be a list, a product or a number",
                "hint": "[a, b], {x: [a, b], y: [1, 2]}, or 500",
            },
        )
    return value


ForEach = Annotated[
    Any,
    AfterValidator(_has_a_shape),
    Field(json_schema_extra={"type": ["array", "object", "integer", "string"]}),
]


class Work(Model):
    """A command in an image, with its configuration."""

    command: str = Field(
        "",
        description="What to run; split like a process launch, without a shell. A template. May be left out only where the image "
        "has no stage-run: its own entrypoint then.",
    )
    image: str | None = Field(
        None, description="A name from `images`. Left out: the command runs on the node itself."
    )
    with_: dict[str, Any] = Field(
        {}, alias="with", description="Configuration for the program, as JSON. Strings are templates."
    )
    environment: Environment = Field({}, description="Environment variables. Values are templates.")
    secrets: tuple[Variable, ...] = Field((), description="Names from `secrets` that this task needs.")
    max_task_retry_count: int = Field(
        0, ge=-1, description="How often Batch tries again after a non-zero exit; -1: no limit."
    )
    max_wall_clock_time: Duration | None = Field(None, description="Batch ends the task after this time.")
    required_slots: int = Field(1, ge=1, description="How many of a node's task slots it takes.")


class ManyWork(Work):
    """Work that may be done many times at once, for one item each."""

    for_each: ForEach | None = Field(
        None,
        description="Fan out: a list, a product {a: […], b: […]}, a number, or a template of one of these.",
    )

"""The strict reading of a configuration: JSON text in, a frozen model or every problem out."""

import difflib
import typing
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from batchctl_etl.errors import BadConfig


class Strict(BaseModel):
    """A model that forgives nothing: no unknown keys, no number for a string, no change after it was read."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


Model = TypeVar("Model", bound=Strict)


def parse(model: type[Model], text: str, *, origin: str) -> Model:
    """Read JSON `text` that came from `origin`. Raises `BadConfig` with one line for each problem."""
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        problems = error.errors(include_url=False)
        raise BadConfig([_line(model, origin, details) for details in problems]) from error


def _line(model: type[Strict], origin: str, details: ErrorDetails) -> str:
    path, fields = _place(model, details["loc"])
    key = str(details["loc"][-1]) if details["loc"] else ""
    message = details["msg"].removeprefix("Value error, ")
    if details["type"] == "extra_forbidden":
        nearest = difflib.get_close_matches(key, fields, n=1, cutoff=0.5)
        hint = f"did you mean {nearest[0]}?" if nearest else f"known keys: {', '.join(fields)}"
        message = f"unknown key; {hint}"
    elif details["type"] == "missing":
        meaning = fields[key].description if key in fields else None
        message = f"missing: {meaning}" if meaning else "missing"
    elif details["type"] == "json_invalid":
        message = message.replace("Invalid JSON: ", "not JSON: ")
    where = f"{origin}: {path}" if path else origin
    return f"{where}: {message[:1].lower()}{message[1:]}"


def _place(model: type[Strict], loc: tuple[str | int, ...]) -> tuple[str, dict[str, FieldInfo]]:
    """The path as the user wrote it, without pydantic's names of union members, and the keys known at its
    end."""
    models, path, fields = [model], "", dict(model.model_fields)
    for step in loc:
        if chosen := [item for item in models if step in _tags(item)]:
            models = chosen
            continue
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else step
        fields = {name: field for item in models for name, field in item.model_fields.items()}
        inner = _models_in(fields[step].annotation) if isinstance(step, str) and step in fields else []
        models = inner or models
    return path, fields


def _tags(model: type[Strict]) -> tuple[str, ...]:
    """The values of `type` by which a union chooses this model."""
    field = model.model_fields.get("type")
    return typing.get_args(field.annotation) if field else ()


def _models_in(annotation: Any) -> list[type[Strict]]:
    if isinstance(annotation, type) and issubclass(annotation, Strict):
        return [annotation]
    return [found for part in typing.get_args(annotation) for found in _models_in(part)]

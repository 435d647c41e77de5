"""`parameters`: what a run can be given with `-p name=value`."""

from datetime import date
from enum import StrEnum

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from batchctl.spec.model import Model

Value = str | int | float | bool
"""A parameter's value as templates see it; a date is its ISO text."""


class ParameterType(StrEnum):
    """How the text of `-p name=value` is read."""

    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    DATE = "date"


class Parameter(Model):
    """One parameter. Without a default it must be given for every run, so a scheduled pipeline may not have it."""

    type: ParameterType = Field(
        ParameterType.STRING, description="string, integer, number, boolean or date (YYYY-MM-DD)."
    )
    default: Value | None = Field(None, description="The value when none is given.")
    choices: tuple[Value, ...] | None = Field(None, description="The only values allowed.")
    description: str = Field("", description="What it is for.")

    @model_validator(mode="after")
    def _default_fits(self) -> "Parameter":
        if self.default is not None:
            try:
                self.accept(self.default)
            except ValueError as error:
                raise PydanticCustomError(
                    "jobspec", "{message}", {"message": f"default: {error}", "hint": ""}
                ) from None
        return self

    def accept(self, value: Value) -> Value:
        """`value` as this parameter's type; text is read as its type. Raises ValueError with what was expected."""
        read = _READERS[self.type](value)
        if self.choices is not None and read not in self.choices:
            raise ValueError(f"{value!r} is not one of {', '.join(map(str, self.choices))}")
        return read


def _string(value: Value) -> Value:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a string")
    return value


def _integer(value: Value) -> Value:
    if isinstance(value, (bool, float)):
        raise ValueError(f"{value!r} is not an integer")
    try:
        return int(value)
    except ValueError:
        raise ValueError(f"{value!r} is not an integer") from None


def _number(value: Value) -> Value:
    if isinstance(value, bool):
        raise ValueError(f"{value!r} is not a number")
    try:
        return float(value)
    except ValueError:
        raise ValueError(f"{value!r} is not a number") from None


def _boolean(value: Value) -> Value:
    if isinstance(value, bool):
        return value
    if str(value).lower() in ("true", "false"):
        return str(value).lower() == "true"
    raise ValueError(f"{value!r} is not true or false")


def _date(value: Value) -> Value:
    try:
        return date.fromisoformat(value).isoformat() if isinstance(value, str) else _string(value)
    except ValueError:
        raise ValueError(f"{value!r} is not a date (YYYY-MM-DD)") from None


_READERS = {
    ParameterType.STRING: _string,
    ParameterType.INTEGER: _integer,
    ParameterType.NUMBER: _number,
    ParameterType.BOOLEAN: _boolean,
    ParameterType.DATE: _date,
}

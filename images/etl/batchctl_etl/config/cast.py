"""The step `cast`: text into types, explicitly."""

import re
from enum import StrEnum
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, model_validator

from batchctl_etl.config.rows import COLUMN_TYPES, known_type
from batchctl_etl.config.strict import Strict
from batchctl_etl.config.values import Name

_TIMES = frozenset({"date", "time", "timestamp", "timestamptz"})


class OnError(StrEnum):
    """What becomes of a row with a value that is not of its type."""

    FAIL = "fail"
    QUARANTINE = "quarantine"
    NULL = "null"


def _known_format(text: str) -> str:
    known = "aAbBcdfgGHIjmMnpsStTuUVwWxXyYzZ%-"
    if "%" not in text or any(sign not in known for sign in re.findall(r"%(.)", text)):
        raise ValueError(f"{text!r} is no format such as %d/%m/%Y")
    return text


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"{name!r} is no time zone such as America/Los_Angeles") from error
    return name


def _castable(column_type: str) -> str:
    return known_type(column_type, (*COLUMN_TYPES, "interval"))


CastType = Annotated[str, AfterValidator(_castable)]
"""As of a column of a file, or `interval`, which no file has."""


class ColumnCast(Strict):
    """How the text of a column is read. Blanks around it mean nothing."""

    to: CastType
    formats: tuple[Annotated[str, AfterValidator(_known_format)], ...] = Field(
        default=(), strict=False, description="Of dates and times: the first that fits. Default: ISO 8601."
    )
    zone: Annotated[str, AfterValidator(_known_zone)] | None = Field(
        default=None, description="timestamptz: of times without an offset."
    )
    thousands: str = Field(default="", max_length=1, description="Between groups of three digits.")
    decimal_point: Annotated[str, Field(min_length=1, max_length=1)] = "."
    true: tuple[str, ...] = Field(default=("true", "t", "yes", "y", "1"), strict=False)
    false: tuple[str, ...] = Field(default=("false", "f", "no", "n", "0"), strict=False)
    null_values: tuple[str, ...] = Field(
        default=("",), strict=False, description="Text that means: no value."
    )

    @model_validator(mode="before")
    @classmethod
    def _short(cls, data: object) -> object:
        return {"to": data} if isinstance(data, str) else data

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        given = self.model_fields_set
        number = self.to in {"int64", "float64"} or self.to.startswith("decimal")
        if self.formats and self.to not in _TIMES:
            raise ValueError(f"formats mean nothing for {self.to}")
        if self.zone and self.to != "timestamptz":
            raise ValueError(f"zone means nothing for {self.to}")
        if given & {"thousands", "decimal_point"} and not number:
            raise ValueError(f"thousands and decimal_point mean nothing for {self.to}")
        if given & {"true", "false"} and self.to != "bool":
            raise ValueError(f"true and false mean nothing for {self.to}")
        if self.thousands == self.decimal_point and self.to != "int64":
            raise ValueError("thousands and decimal_point are the same")
        offsets = {"%z" in text for text in self.formats}
        if len(offsets) == 2 or (True in offsets and self.to != "timestamptz"):
            raise ValueError("%z is for timestamptz, in all formats or in none")
        if self.to == "timestamptz" and offsets == {False} and not self.zone:
            raise ValueError("times without an offset need zone")
        return self


class Cast(Strict):
    """Columns into types. A value that is not of its type fails, or sends its row to the quarantine, or is
    lost."""

    type: Literal["cast"]
    columns: dict[Name, ColumnCast] = Field(min_length=1)
    on_error: Annotated[OnError, Field(strict=False)] = OnError.FAIL

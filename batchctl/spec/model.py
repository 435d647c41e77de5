"""The ground every noun of a jobspec stands on: strict, frozen, keyword-only, no unknown field."""

import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer
from pydantic_core import PydanticCustomError


class Model(BaseModel):
    """A frozen value. Validate from JSON, so that a list becomes a tuple and a word an enum, and nothing else bends."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)


def _problem(message: str, hint: str = "") -> PydanticCustomError:
    return PydanticCustomError("jobspec", "{message}", {"message": message, "hint": hint})


_DURATION = re.compile(r"P(?!$)(?:(\d+)W)?(?:(\d+)D)?(?:T(?=\d)(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)(?:\.\d+)?S)?)?")


def _iso_duration(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value
    try:
        return parse_iso_duration(value)
    except (ValueError, TypeError, OverflowError):
        raise _problem(f"{value!r} is not an ISO 8601 duration", "write PT30M, PT2H, P1D") from None


def parse_iso_duration(text: str) -> timedelta:
    """`PT30M` -> 30 minutes. Raises ValueError; fractions of a second are dropped, Batch's schedules count in minutes."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not an ISO 8601 duration")
    weeks, days, hours, minutes, seconds = (int(group or 0) for group in match.groups())
    return timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)


def iso_duration(value: timedelta) -> str:
    """The canonical ISO 8601 form that Batch answers with: `PT6M`, `PT1H30M`, `P1D`, `PT0S`."""
    minutes, seconds = divmod(int(value.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    time = "".join(f"{n}{unit}" for n, unit in ((hours, "H"), (minutes, "M"), (seconds, "S")) if n)
    return "P" + (f"{days}D" if days else "") + (f"T{time}" if time or not days else "")


Duration = Annotated[
    timedelta,
    BeforeValidator(_iso_duration, json_schema_input_type=str),
    PlainSerializer(iso_duration, return_type=str),
]
"""A length of time, written as ISO 8601: `PT30M`."""

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def _batch_id(value: Any) -> Any:
    if isinstance(value, str) and not _ID.fullmatch(value):
        raise _problem(f"{value!r} is not a valid id", "1 to 64 letters, digits, - and _")
    return value


Id = Annotated[str, BeforeValidator(_batch_id), Field(json_schema_extra={"pattern": "^[A-Za-z0-9_-]{1,64}$"})]
"""An id as Batch allows it: 1 to 64 letters, digits, hyphens and underscores."""

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _variable(value: Any) -> Any:
    if isinstance(value, str):
        if not _VARIABLE.fullmatch(value):
            raise _problem(
                f"{value!r} is not a name of an environment variable",
                "letters, digits and _, not a digit first",
            )
        if value.upper().startswith(("AZ_BATCH_", "BATCHCTL_")):
            raise _problem(
                f"{value!r} is reserved", "names that begin with AZ_BATCH_ or BATCHCTL_ are set for you"
            )
    return value


Variable = Annotated[str, BeforeValidator(_variable)]
"""The name of an environment variable that a jobspec may set."""

Environment = dict[Variable, str]

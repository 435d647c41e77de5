"""Request bodies: checked against the field table and brought into canonical form.

The table `fields.json` lists, for every model of the REST API (2025-06-01), each property and its type. It is
compiled once into closures, because task collections of 100 must validate in a millisecond or two.
Lenient as the service is: numbers as strings, enums in any case, any spelling of a duration. This module must
not know rules that span properties; those belong to the resource.
"""

from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any

import orjson

from batchctl.server.batch.errors import invalid_body, invalid_value, missing_property
from batchctl.server.batch.wire import (
    Doc,
    duration_text,
    duration_ticks,
    instant_text,
    integer,
    parse_instant,
    real,
)

_INT32 = range(-(2**31), 2**31)

Check = Callable[[str, Any], Any]
"""(property name, JSON value) -> canonical value; raises ServiceError."""

RETIRED = frozenset(
    {
        "authenticationTokenSettings",
        "certificateReferences",
        "cloudServiceConfiguration",
        "currentNodeCommunicationMode",
        "resourceTags",
        "targetNodeCommunicationMode",
    }
)
"""Properties that older API versions had and 2025-06-01 has not: ignored when an older client sends them."""

RENAMED = {"maxTasksPerNode": "taskSlotsPerNode"}
"""Properties that go by another name since (2020-09-01.12.0)."""

_TABLE = orjson.loads(files(__package__).joinpath("fields.json").read_bytes())
_ENUMS: Mapping[str, list[str]] = _TABLE["enums"]
_MODELS: Mapping[str, Mapping[str, str]] = _TABLE["models"]

# The service writes these with a capital in its answers, although its documentation has them lower-case.
_SPELLINGS = {
    ("BatchNodeFillType", "spread"): "Spread",
    ("BatchNodeFillType", "pack"): "Pack",
    ("OutputFileUploadCondition", "tasksuccess"): "TaskSuccess",
    ("OutputFileUploadCondition", "taskfailure"): "TaskFailure",
    ("OutputFileUploadCondition", "taskcompletion"): "TaskCompletion",
}


def _wrong_type(name: str, expected: str, value: object) -> Exception:
    kind = type(value).__name__
    return invalid_body(
        f"Cannot convert the value of property '{name}' ({kind}) to the expected type '{expected}'."
    )


def _string(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise _wrong_type(name, "Edm.String", value)
    return value


def _integer(name: str, value: Any) -> int:
    try:
        number = integer(value) if isinstance(value, str) else value
        if not isinstance(number, bool) and number == int(number) and int(number) in _INT32:
            return int(number)
    except (ValueError, TypeError, OverflowError):
        pass
    raise _wrong_type(name, "Edm.Int32", value)


def _number(name: str, value: Any) -> float:
    try:
        if not isinstance(value, bool):
            return real(value) if isinstance(value, str) else float(value)
    except (TypeError, ValueError):
        pass
    raise _wrong_type(name, "Edm.Double", value)


def _boolean(name: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise _wrong_type(name, "Edm.Boolean", value)


def _instant(name: str, value: Any) -> str:
    try:
        return instant_text(parse_instant(_string(name, value)))
    except (ValueError, OverflowError):
        raise _wrong_type(name, "Edm.DateTime", value) from None


def _duration(name: str, value: Any) -> str:
    try:
        return duration_text(duration_ticks(_string(name, value)))
    except ValueError:
        raise _wrong_type(name, "Edm.Time", value) from None


def _dictionary(name: str, value: Any) -> Doc:
    if not isinstance(value, dict):
        raise _wrong_type(name, "Edm.Untyped", value)
    return value


_SCALARS: Mapping[str, Check] = {
    "str": _string,
    "int": _integer,
    "float": _number,
    "bool": _boolean,
    "datetime": _instant,
    "duration": _duration,
    "dict": _dictionary,
}


def _enum(kind: str) -> Check:
    allowed = {value.lower(): _SPELLINGS.get((kind, value), value) for value in _ENUMS[kind]}

    def check(name: str, value: Any) -> str:
        found = allowed.get(_string(name, value).lower())
        if found is None:
            raise invalid_value(name, value, f"The value must be one of: {', '.join(allowed.values())}")
        return found

    return check


def _list(item: Check) -> Check:
    def check(name: str, value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise _wrong_type(name, "Collection", value)
        return [item(name, element) for element in value]

    return check


def _compile(kind: str) -> Check:
    if kind.startswith("["):
        return _list(_compile(kind[1:]))
    if kind.startswith("E:"):
        return _enum(kind[2:])
    if kind.startswith("M:"):
        return lambda name, value: _model(kind[2:])(name, value)
    return _SCALARS[kind]


_compiled: dict[str, Check] = {}


def _model(model: str) -> Check:
    if model not in _compiled:
        _compiled[model] = _compile_model(model)
    return _compiled[model]


def _compile_model(model: str) -> Check:
    checks = {field: _compile(kind.rstrip("!")) for field, kind in _MODELS[model].items()}
    required = tuple(field for field, kind in _MODELS[model].items() if kind.endswith("!"))

    def check(name: str, value: Any) -> Doc:
        if not isinstance(value, dict):
            raise _wrong_type(name, model, value)
        body: Doc = value
        result: Doc = {}
        for written, given in body.items():
            field = RENAMED.get(written, written)
            known = checks.get(field)
            if known is not None:
                if given is not None:
                    result[field] = known(field, given)
            elif field not in RETIRED and not field.startswith("odata."):
                where = f"type 'Microsoft.Azure.Batch.Protocol.Entities.{model}'"
                reason = f"The property '{field}' does not exist on {where}."
                raise invalid_body(
                    f"{reason} Make sure to only use property names that are defined by the type."
                )
        for field in required:
            if field not in result:
                raise missing_property(field)
        return result

    return check


def canonical(model: str, body: Any, *, retired_allowed: bool = True) -> Doc:
    """`body` checked as `model` and in canonical form (enum spelling, durations, numbers, no nulls).

    Raises ServiceError: InvalidRequestBody (unknown property, wrong type), MissingRequiredProperty, or
    InvalidPropertyValue (not a value of the enum). With `retired_allowed` the properties that only older API
    versions had are dropped silently, or renamed; without it they count as unknown at the top level.
    """
    if not isinstance(body, dict):
        raise invalid_body("The body must be a JSON object.")
    if not retired_allowed and (stale := (RETIRED | RENAMED.keys()) & body.keys()):
        raise invalid_body(f"The property '{min(stale)}' does not exist on type '{model}'.")
    return dict(_model(model)("body", body))


def properties(model: str) -> frozenset[str]:
    """The top-level properties that an answer of `model` may have (for $select)."""
    return frozenset(_MODELS[model])


def property_type(model: str, path: tuple[str, ...]) -> str | None:
    """The type of a nested property (`("executionInfo", "exitCode")`) in the table's notation, or None."""
    kind = _MODELS[model].get(path[0], "").rstrip("!")
    if len(path) == 1:
        return kind or None
    return property_type(kind[2:], path[1:]) if kind.startswith("M:") else None

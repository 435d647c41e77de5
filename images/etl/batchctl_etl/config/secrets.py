"""Secrets: the configuration names environment variables, and their values are looked up here, last of all.

No value is ever shown, in a message or elsewhere.
"""

import os
import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, StringConstraints

from batchctl_etl.errors import BadConfig

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_UNSET = "is not set; list it in the task's secrets"


def _header(value: str) -> str:
    if not value.isascii() or not value.isprintable():
        raise ValueError("a header holds printable ASCII characters only")
    return value


Header = Annotated[str, AfterValidator(_header)]
"""A header's name or value; in a value `${NAME}` is an environment variable."""
VariableName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
"""The name of an environment variable."""


def revealed(headers: Mapping[str, str], environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The headers with each `${NAME}` replaced. Raises `BadConfig` naming the variables that are not set."""
    missing = {name for value in headers.values() for name in _VARIABLE.findall(value) if name not in environ}
    if missing:
        raise BadConfig([f"source.headers: ${{{name}}} {_UNSET}" for name in sorted(missing)])
    filled = {name: _VARIABLE.sub(lambda match: environ[match[1]], value) for name, value in headers.items()}
    for name, value in filled.items():
        if not value.isascii() or not value.isprintable():
            raise BadConfig([f"source.headers: {name}: the variable's value holds what no header may hold"])
    return filled


def variable(name: str, *, key: str, environ: Mapping[str, str] = os.environ) -> str:
    """The value of the variable that the configuration's `key` names. Raises `BadConfig` if it is not set."""
    if not environ.get(name):
        raise BadConfig([f"{key}: {name} {_UNSET}"])
    return environ[name]

"""`secrets`: names of environment variables, and where their values are kept. A value is never in a jobspec."""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

_REFERENCE = re.compile(r"kv://[A-Za-z0-9-]{3,24}/[A-Za-z0-9-]{1,127}(@[0-9a-f]{32})?")


def _reference(value: Any) -> Any:
    if isinstance(value, str) and not _REFERENCE.fullmatch(value):
        shown = value if value.startswith("kv://") else "this value"
        raise PydanticCustomError(
            "jobspec",
            "{message}",
            {
                "message": f"{shown} is not a secret reference",
                "hint": "kv://VAULT/NAME or kv://VAULT/NAME@VERSION; never the secret itself",
            },
        )
    return value


SecretReference = Annotated[str, BeforeValidator(_reference)]
"""`kv://vault/name[@version]`: a secret in Azure Key Vault, read by the task's own process."""

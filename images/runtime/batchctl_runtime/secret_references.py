"""Secrets: from the references in BATCHCTL_SECRETS to the values that only COMMAND's environment holds.

A value must never be written, printed, put in an error or on a command line.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from batchctl_runtime.errors import StageError

_REFERENCE = re.compile(r"kv://(?P<vault>[A-Za-z0-9-]+)/(?P<name>[A-Za-z0-9-]+)(@(?P<version>[A-Za-z0-9]+))?")


class Reference(NamedTuple):
    """`kv://vault/name` or `kv://vault/name@version`; without a version, the latest."""

    vault: str
    name: str
    version: str | None

    def __str__(self) -> str:
        return f"kv://{self.vault}/{self.name}" + (f"@{self.version}" if self.version else "")


Fetch = Callable[[Reference], str]
"""Reads one secret's value. Raises `StageError` naming the reference, never the value."""


def references(environ: Mapping[str, str]) -> dict[str, Reference]:
    """BATCHCTL_SECRETS as variable name -> reference; empty if absent. Raises `StageError` for anything
    malformed."""
    text = environ.get("BATCHCTL_SECRETS")
    if not text:
        return {}
    try:
        wanted = json.loads(text)
    except ValueError as error:
        raise StageError(f"BATCHCTL_SECRETS is not JSON: {error}") from error
    if not isinstance(wanted, dict):
        raise StageError('BATCHCTL_SECRETS is not a JSON object: write {"NAME": "kv://vault/secret"}')
    return {variable: _reference(variable, value) for variable, value in wanted.items()}


def _reference(variable: str, value: object) -> Reference:
    if not variable or "=" in variable or "\0" in variable:
        raise StageError(f"BATCHCTL_SECRETS: {variable!r} cannot name an environment variable")
    match = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        # The value is not shown: someone may have written the secret itself where its reference belongs.
        raise StageError(f"BATCHCTL_SECRETS: {variable}: not a secret reference; write kv://vault/name")
    return Reference(vault=match["vault"], name=match["name"], version=match["version"])


def secret_values(wanted: Mapping[str, Reference], *, fetch: Fetch) -> dict[str, str]:
    """Fetch each secret, each reference once. Raises `StageError` at the first that cannot be read."""
    fetched = {reference: fetch(reference) for reference in dict.fromkeys(wanted.values())}
    for variable, reference in wanted.items():
        if "\0" in fetched[reference]:
            raise StageError(
                f"{variable}: {reference}: the value holds a zero byte, which no environment can carry"
            )
    return {variable: fetched[reference] for variable, reference in wanted.items()}

"""One JSON document as values: numbers keep all their digits. Pure."""

import json
from decimal import Decimal
from typing import Any

from batchctl_etl.errors import WorkFailed

_MISSING = object()


def parsed(body: bytes, *, where: str) -> Any:
    """The document. Raises `WorkFailed` for anything else, such as a page of HTML."""
    try:
        return json.loads(body, parse_float=Decimal, parse_int=_integer, parse_constant=_refused)
    except (ValueError, RecursionError) as error:
        begin = " ".join(body[:60].decode("utf-8", "replace").split())
        what = f"the answer is not JSON ({error}); it begins with {begin!r}"
        raise WorkFailed(where, what, "check the URL and the key") from None


def _integer(text: str) -> int | Decimal:
    return int(text) if len(text) < 19 else Decimal(text)


def _refused(text: str) -> Any:
    raise ValueError(f"{text} is no JSON")


def value_at(document: Any, path: str, default: Any = _MISSING) -> Any:
    """What is at `path` (`data.items.0`). Without a default, raises `KeyError` with what is there instead."""
    for step in path.split("."):
        if isinstance(document, dict) and step in document:
            document = document[step]
        elif isinstance(document, list) and step.isdigit() and int(step) < len(document):
            document = document[int(step)]
        elif default is not _MISSING:
            return default
        else:
            keys = ", ".join(list(document)[:20]) if isinstance(document, dict) else type(document).__name__
            raise KeyError(f"there is no {step!r} of {path!r}, but {keys or 'nothing'}")
    return document


def rows_at(document: Any, path: str | None, *, where: str) -> list[dict[str, Any]]:
    """The array of objects at `path`; null is no rows. Raises `WorkFailed` for anything else."""
    try:
        found = document if path is None else value_at(document, path)
    except KeyError as error:
        raise WorkFailed(where, str(error.args[0]), "check source.rows") from None
    rows = [] if found is None else found
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        kind = type(rows).__name__ if not isinstance(rows, list) else "array of other things"
        raise WorkFailed(where, f"rows are an array of objects, and this is a {kind}", "check source.rows")
    return rows

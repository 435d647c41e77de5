"""A URL as it is written under `with:`, before any run: whether it can be one. Pure: nothing is opened."""

import re
from difflib import get_close_matches
from urllib.parse import unquote, urlsplit

from batchctl.spec.templates import is_template

ZONES = ("raw", "staging", "curated", "jobspec")
"""Lake zones, and `jobspec`: files beside the jobspec, for samples on this machine."""

_SCHEMES = (*ZONES, "file", "http", "https", "az")
_HALF_A_SCHEME = rf"({'|'.join(_SCHEMES)})(?::/?|//)(?!/)"
"""Compiled when it is needed, which is seldom: `validate` has no time to spare."""


def url_problem(text: str) -> tuple[str, str] | None:
    """(what is wrong, what to write) for a URL that nothing can be at; None for a path, and for schemes that are not ours."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        return _not_separated(text)
    if is_template(scheme):
        return None
    if scheme not in _SCHEMES:
        close = get_close_matches(scheme, _SCHEMES, n=1, cutoff=0.65)
        return (f"{scheme}:// is not a URL we know", f"did you mean {close[0]}://?") if close else None
    if scheme in ("http", "https"):
        return None if is_template(rest) else _web_problem(text)
    if (found := zone_problem(text)) is not None:
        return found
    if not rest.strip("/"):
        return f"{text!r} names no file or folder", f"{scheme}://folder/"
    if is_template(rest):
        return None
    if scheme == "az" and not rest.partition("/")[2]:
        return f"{text!r} names no container", "az://account/container/blob"
    if scheme == "file" and not rest.startswith(("/", "localhost/")):
        return f"{text!r} is not an absolute path", f"file:///{rest}"
    return None


def zone_problem(text: str) -> tuple[str, str] | None:
    """(what is wrong, what to write) for a URL `zone://…` that would lead out of its zone; None for every other text."""
    scheme, separator, rest = text.partition("://")
    if separator and scheme in ZONES and ".." in unquote(rest).split("/"):
        return f"{text!r} leads out of {scheme}://: a part of it is '..'", f"{scheme}://folder/"
    return None


def _not_separated(text: str) -> tuple[str, str] | None:
    if not text:
        return "a URL is missing", "raw://folder/file.csv"
    half = re.match(_HALF_A_SCHEME, text)
    if half is None:
        return None
    return f"{text!r} is not a URL", f"did you mean {half[1]}://{text[half.end() :]}?"


def _web_problem(text: str) -> tuple[str, str] | None:
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        return f"{text!r} is not a URL: {error}", "https://example.org/file.csv"
    if not host:
        return f"{text!r} is not a URL: it has no host", "https://example.org/file.csv"
    if any(character.isspace() for character in text):
        return f"{text!r} is not a URL: it has a space", "a space in a URL is written %20"
    return None

"""The source `api`: many requests to a web API, whose answers are rows in JSON."""

import itertools
import json
import string
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator

from batchctl_etl.config.secrets import Header, VariableName
from batchctl_etl.config.strict import Strict
from batchctl_etl.config.values import Name, SinkFileUrl
from batchctl_etl.storage.locations import HttpLocation, location

Path = Annotated[str, StringConstraints(pattern=r"^[^.\s]+(\.[^.\s]+)*$")]
"""Keys, and numbers of items, with dots between: `data.items`."""
AFTER = "after"
"""In `url`, `{after}` stands for the watermark, if there is one."""
ListName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class NextLink(Strict):
    """The answer holds the URL of the next page at `path`; at the end it is missing, null or empty."""

    type: Literal["next_link"]
    path: Path


class PageNumber(Strict):
    """Pages are numbered by the query's `parameter`; the first without rows is the end."""

    type: Literal["page"]
    parameter: Name
    start: int = 1


class Cursor(Strict):
    """The answer holds at `path` what the query's `parameter` must be for the next page."""

    type: Literal["cursor"]
    path: Path
    parameter: Name


class NoData(StrEnum):
    """What a request without rows gives: nothing, or one row of `add`."""

    DROP = "drop"
    KEEP = "keep"


def names_in(template: str) -> list[str]:
    """The names in braces. Raises `ValueError` if the braces do not match."""
    return [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]


def _values(given: object) -> object:
    if not isinstance(given, str):
        return given
    try:
        found = json.loads(given)
    except ValueError:
        found = None
    if not isinstance(found, list):
        raise ValueError('a text must be a list in JSON: ["a", "b"]')
    return found


Values = Annotated[tuple[str, ...], Field(strict=False, min_length=1), BeforeValidator(_values)]
"""A list, or a text that is one in JSON: what a template can make."""


def _on_the_web(url: str) -> str:
    if not isinstance(location(url), HttpLocation):
        raise ValueError("is not on the web")
    return url


class ApiSource(Strict):
    """One request for each combination of the `lists`; `{name}` in `url` and `add` stands for a list's value."""

    type: Literal["api"]
    url: Annotated[str, AfterValidator(_on_the_web)]
    lists: dict[ListName, Values] = Field(default_factory=dict)
    headers: dict[Header, Header] = Field(default_factory=dict)
    query_env: dict[Name, VariableName] = Field(
        default_factory=dict, description="Query parameter -> environment variable: the place for a key."
    )
    rows: Path | None = Field(default=None, description="Where in the answer the array of rows is.")
    add: dict[Name, str] = Field(default_factory=dict, description="Fields to add to each row.")
    pagination: Annotated[NextLink | PageNumber | Cursor, Field(discriminator="type")] | None = None
    max_pages: int = Field(default=1000, ge=1, description="Of one request.")
    no_data: Annotated[NoData, Field(strict=False)] = NoData.DROP
    requests_per_second: float | None = Field(default=None, gt=0)
    timeout_seconds: float = Field(default=60.0, gt=0)
    retries: int = Field(default=5, ge=0, le=20)
    state: SinkFileUrl | None = Field(default=None, description="JSON file of what has not changed since.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        used = {name for template in (self.url, *self.add.values()) for name in names_in(template)}
        if unknown := sorted(used - {AFTER} - set(self.lists)):
            raise ValueError(f"lists: {unknown[0]!r} is missing, which the template names")
        if unused := sorted(set(self.lists) - set(names_in(self.url))):
            raise ValueError(f"url: {{{unused[0]}}} is missing, so all its requests would be the same")
        if self.no_data is NoData.KEEP and not self.add:
            raise ValueError("no_data keep needs add: what the row without data holds")
        return self

    @property
    def has_after(self) -> bool:
        """Whether the URL has a place for the watermark."""
        return AFTER in names_in(self.url) and AFTER not in self.lists

    @property
    def combinations(self) -> Iterator[dict[str, str]]:
        """One value of each list, for each request."""
        for values in itertools.product(*self.lists.values()):
            yield dict(zip(self.lists, values, strict=True))

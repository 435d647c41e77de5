"""Declared steps of a transform: each takes the rows so far and gives other rows."""

import re
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from batchctl_etl.config.cast import Cast
from batchctl_etl.config.strict import Strict
from batchctl_etl.config.values import Name

Expression = Annotated[str, StringConstraints(min_length=1)]
"""In DuckDB's SQL, over the columns of the rows so far."""


def _regex(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"is no regular expression: {error}") from error
    return text


Regex = Annotated[str, AfterValidator(_regex)]


class Rename(Strict):
    """Old name -> new name."""

    type: Literal["rename"]
    columns: dict[Name, Name] = Field(min_length=1)


class Select(Strict):
    """These columns only, in this order."""

    type: Literal["select"]
    columns: tuple[Name, ...] = Field(strict=False, min_length=1)


class Filter(Strict):
    """The rows for which `where` is true."""

    type: Literal["filter"]
    where: Expression


class Derive(Strict):
    """New columns, or new values of old ones, from expressions over the old ones."""

    type: Literal["derive"]
    columns: dict[Name, Expression] = Field(min_length=1)


class Melt(Strict):
    """Wide to long: each column whose whole name matches becomes rows of `name` and `value`; the others repeat."""

    type: Literal["melt"]
    columns: Regex
    name: Name
    value: Name
    last: int | None = Field(
        default=None, ge=1, description="Of the columns that match, the last so many only."
    )
    keep_nulls: bool = False


class Aggregate(Strict):
    """One row for each group. `values` maps new columns to aggregate expressions."""

    type: Literal["aggregate"]
    by: tuple[Name, ...] = Field(default=(), strict=False)
    values: dict[Name, Expression] = Field(min_length=1)


class WindowAverage(Strict):
    """The average of `column` over this row and those before it, `rows` in all, in each group, as `name`."""

    type: Literal["window_average"]
    column: Name
    by: tuple[Name, ...] = Field(default=(), strict=False)
    order_by: tuple[Name, ...] = Field(strict=False, min_length=1)
    rows: int = Field(ge=1)
    name: Name
    whole: bool = Field(default=False, description="No value where fewer rows are there.")


class Keep(StrEnum):
    """Which of the rows with one key."""

    FIRST = "first"
    LAST = "last"


class Deduplicate(Strict):
    """One row for each key: the first or last by `order_by`, else in the order they came. No key: all columns."""

    type: Literal["deduplicate"]
    key: tuple[Name, ...] = Field(default=(), strict=False)
    order_by: tuple[Name, ...] = Field(default=(), strict=False)
    keep: Annotated[Keep, Field(strict=False)] = Keep.FIRST


class How(StrEnum):
    """Which rows a join keeps."""

    INNER = "inner"
    LEFT = "left"
    SEMI = "semi"
    ANTI = "anti"


class Join(Strict):
    """With the input `input`, where the columns `on` (names, or here -> there) are equal."""

    type: Literal["join"]
    input: Name
    on: dict[Name, Name] = Field(min_length=1)
    how: Annotated[How, Field(strict=False)] = How.INNER

    @model_validator(mode="before")
    @classmethod
    def _same_names(cls, data: object) -> object:
        if isinstance(data, dict) and isinstance(data.get("on"), list):
            return data | {"on": {name: name for name in data["on"]}}
        return data


class Sort(Strict):
    """By columns; a name that begins with `-` is descending. Missing values come last."""

    type: Literal["sort"]
    by: tuple[Name, ...] = Field(strict=False, min_length=1)


class Sql(Strict):
    """One SELECT; the rows so far are called `rows`, the inputs have their names."""

    type: Literal["sql"]
    query: Expression


class Python(Strict):
    """A function `module:name` of the user's image: a stream of Arrow batches in, Arrow batches out."""

    type: Literal["python"]
    function: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]


Step = Annotated[
    Cast
    | Rename
    | Select
    | Filter
    | Derive
    | Melt
    | Aggregate
    | WindowAverage
    | Deduplicate
    | Join
    | Sort
    | Sql
    | Python,
    Field(discriminator="type"),
]

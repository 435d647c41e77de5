"""Nested JSON as columns: where in each object the values are."""

import re
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from batchctl_etl.config.strict import Strict
from batchctl_etl.config.values import Name

_STEP = r'(\.[A-Za-z_][A-Za-z0-9_]*|\."[^"\\]+"|\[-?\d+\])'


def _path(text: str) -> str:
    if not re.fullmatch(rf"[$@]{_STEP}*", text):
        raise ValueError(f"""{text!r} is no path such as $.station.id, $.values[0] or $."a name".x""")
    return text


JsonPath = Annotated[str, AfterValidator(_path)]
"""Keys and numbers of items (from 0; -1 is the last) from the object (`$`) or the exploded item (`@`)."""


class Flatten(Strict):
    """Each object becomes a row of text columns, or one for each item of the array at `explode`."""

    columns: dict[Name, JsonPath] = Field(min_length=1)
    explode: JsonPath | None = None
    keep_empty: bool = Field(
        default=False, description="Whether an object without items is a row all the same."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.explode is None and self.keep_empty:
            raise ValueError("keep_empty means nothing without explode")
        if self.explode is not None and self.explode.startswith("@"):
            raise ValueError("explode begins with $: the object")
        if self.explode is None and (
            items := [n for n, path in self.columns.items() if path.startswith("@")]
        ):
            raise ValueError(f"columns.{items[0]}: @ is an item of explode, which is missing")
        if len({name.lower() for name in self.columns}) < len(self.columns):
            raise ValueError("columns that differ only in case are one name in SQL")
        return self

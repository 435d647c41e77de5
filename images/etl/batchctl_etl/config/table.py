"""What all sinks that are tables share: modes, the key of a merge, and the ledger of loads."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator

from batchctl_etl.config.strict import Strict
from batchctl_etl.config.values import Name

LEDGER = "_batchctl_loads"
"""The table beside every loaded table that remembers which loads were committed."""


class TableMode(StrEnum):
    """`replace`: the table holds these rows only. `append`: once per load. `merge`: rows with the same key
    give way."""

    REPLACE = "replace"
    APPEND = "append"
    MERGE = "merge"


class OnDuplicate(StrEnum):
    """What two rows with one key in the source are: an error, or the last one counts."""

    ERROR = "error"
    LAST = "last"


class Table(Strict):
    """A table, how its rows change, and how long to wait for it."""

    table: Name
    mode: Annotated[TableMode, Field(strict=False)]
    key: tuple[Name, ...] = ()
    on_duplicate: Annotated[OnDuplicate, Field(strict=False)] = OnDuplicate.ERROR
    lock_timeout_seconds: float = Field(
        default=60.0, ge=0, description="How long to wait for another process."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        merging = self.mode is TableMode.MERGE
        if merging and not self.key:
            raise ValueError("mode merge needs key: the columns that tell one row from another")
        if not merging and (self.key or "on_duplicate" in self.model_fields_set):
            raise ValueError(f"key and on_duplicate mean nothing in mode {self.mode.value}")
        if len({column.lower() for column in self.key}) < len(self.key):
            raise ValueError("key names a column twice")
        if self.table.lower() == LEDGER:
            raise ValueError(f"{LEDGER} is where loads are remembered; name another table")
        return self

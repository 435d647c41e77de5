"""A Delta Lake table as a source and as a sink."""

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, Field, StringConstraints, model_validator

from batchctl_etl.config.strict import Strict
from batchctl_etl.config.table import OnDuplicate
from batchctl_etl.config.values import Name, SinkUrl


class DeltaRows(Strict):
    """The rows of a table as it is, or as it was at `version` or `timestamp`."""

    type: Literal["delta"]
    url: SinkUrl
    version: int | None = Field(default=None, ge=0)
    timestamp: Annotated[AwareDatetime, Field(strict=False)] | None = Field(
        default=None, description="With an offset; the last version until then."
    )

    @model_validator(mode="after")
    def _one_moment(self) -> Self:
        if self.version is not None and self.timestamp is not None:
            raise ValueError("give version or timestamp")
        return self


class DeltaMode(StrEnum):
    """`append`: once per load. `overwrite`: the table, or what `overwrite_where` names, holds these rows only.
    `merge`: rows with the same key give way."""

    APPEND = "append"
    OVERWRITE = "overwrite"
    MERGE = "merge"


class DeltaSink(Strict):
    """A Delta Lake table in a folder on disk or in Azure, made if it is missing."""

    type: Literal["delta"]
    url: SinkUrl
    mode: Annotated[DeltaMode, Field(strict=False)]
    key: tuple[Name, ...] = Field(default=(), strict=False)
    on_duplicate: Annotated[OnDuplicate, Field(strict=False)] = OnDuplicate.ERROR
    partition_by: tuple[Name, ...] = Field(default=(), strict=False)
    overwrite_where: Annotated[str, StringConstraints(min_length=1)] | None = None
    evolve: bool = Field(default=False, description="Whether columns that the table has not are added to it.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        merging = self.mode is DeltaMode.MERGE
        if merging and not self.key:
            raise ValueError("mode merge needs key: the columns that tell one row from another")
        if not merging and (self.key or "on_duplicate" in self.model_fields_set):
            raise ValueError(f"key and on_duplicate mean nothing in mode {self.mode.value}")
        if self.overwrite_where and self.mode is not DeltaMode.OVERWRITE:
            raise ValueError(f"overwrite_where means nothing in mode {self.mode.value}")
        for name, columns in (("key", self.key), ("partition_by", self.partition_by)):
            if len({column.lower() for column in columns}) < len(columns):
                raise ValueError(f"{name} names a column twice")
        return self

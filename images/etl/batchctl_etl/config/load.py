"""The configuration of `etl load`: rows into a folder of Parquet files, a file or a table."""

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from batchctl_etl.config.checks import Check, check_evidence, needs_quarantine
from batchctl_etl.config.dataset import Dataset, check_version_path
from batchctl_etl.config.delta import DeltaSink
from batchctl_etl.config.odbc import OdbcSink
from batchctl_etl.config.parquet import ParquetForm
from batchctl_etl.config.quarantine import NEEDED, UNNEEDED, Quarantine
from batchctl_etl.config.rows import RowSource
from batchctl_etl.config.secrets import VariableName
from batchctl_etl.config.strict import Strict
from batchctl_etl.config.table import Table
from batchctl_etl.config.values import DatabaseUrl, Name, SinkFileUrl, SinkUrl
from batchctl_etl.config.watermark import ColumnWatermark, FilesWatermark, RunWatermark, check_source

REPLACES_ALL = "only what is new is read, and mode replace would delete all the rest: append or merge"


PartitionName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class FolderMode(StrEnum):
    """`replace`: the folder holds these rows only. `append`: one more file, the same one at a second
    attempt."""

    REPLACE = "replace"
    APPEND = "append"


class FolderSink(ParquetForm):
    """A folder of Parquet files; with `partition`, its subfolder of that name; with `partition_by`, a folder for each
    value of those columns."""

    type: Literal["parquet"]
    url: SinkUrl
    partition: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*=[^/\x00]+$")] | None = None
    partition_by: tuple[PartitionName, ...] = Field(default=(), strict=False)
    mode: Annotated[FolderMode, Field(strict=False)]

    @model_validator(mode="after")
    def _columns_once(self) -> Self:
        if len({name.lower() for name in self.partition_by}) < len(self.partition_by):
            raise ValueError("partition_by names a column twice")
        return self


class FileSink(Strict):
    """A file of CSV or JSON lines, which holds the rows of this load only."""

    type: Literal["csv", "jsonl"]
    url: SinkFileUrl


class TableSink(Table):
    """A table in a database file. It is made from the source's columns if it is missing."""

    type: Literal["duckdb", "sqlite"]
    url: DatabaseUrl


class PostgresSink(Table):
    """A table of a PostgreSQL database, made if it is missing. The variable `dsn_env` holds the connection
    string."""

    type: Literal["postgres"]
    dsn_env: VariableName
    db_schema: Name = "public"


class LoadConfig(Strict):
    """What to load, and to where. `load_id` overrules the name by which a second attempt is known."""

    source: RowSource
    sink: Annotated[
        FolderSink | FileSink | TableSink | PostgresSink | DeltaSink | OdbcSink, Field(discriminator="type")
    ]
    load_id: Name | None = None
    checks: tuple[Check, ...] = Field(default=(), strict=False)
    quarantine: Quarantine | None = None
    watermark: (
        Annotated[ColumnWatermark | FilesWatermark | RunWatermark, Field(discriminator="type")] | None
    ) = None
    dataset: Dataset | None = None

    @model_validator(mode="after")
    def _bad_rows_have_a_place(self) -> Self:
        needed = needs_quarantine(self.checks)
        if needed != (self.quarantine is not None):
            raise ValueError(NEEDED if needed else UNNEEDED)
        check_evidence(self.checks, inputs=frozenset(), has_dataset=self.dataset is not None)
        return self

    @model_validator(mode="after")
    def _new_of_what(self) -> Self:
        if isinstance(self.watermark, ColumnWatermark | FilesWatermark):
            if self.watermark.input:
                raise ValueError("watermark: input is for a transform; a load has one source")
            check_source(self.watermark, self.source)
            if self.replaces_all:
                raise ValueError(f"watermark: {REPLACES_ALL}")
        return self

    @model_validator(mode="after")
    def _versions_apart(self) -> Self:
        # A table has one place; its versions are entries of the catalogue only.
        check_version_path(
            getattr(self.sink, "url", ""),
            self.dataset if isinstance(self.sink, FolderSink | FileSink) else None,
        )
        return self

    @property
    def replaces_all(self) -> bool:
        """Whether the sink holds the rows of this load only."""
        if isinstance(self.sink, FileSink):
            return True
        whole = getattr(self.sink, "partition", None) is None and not getattr(
            self.sink, "overwrite_where", None
        )
        return whole and self.sink.mode.value in {"replace", "overwrite"}

"""The configuration of `etl transform`: rows from files through one SELECT, or declared steps, to a file."""

from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from batchctl_etl.config.cast import Cast, OnError
from batchctl_etl.config.checks import Check, check_evidence, needs_quarantine
from batchctl_etl.config.dataset import Dataset, check_version_path
from batchctl_etl.config.parquet import ParquetForm
from batchctl_etl.config.quarantine import NEEDED, UNNEEDED, Quarantine
from batchctl_etl.config.rows import FORMAT, RowSource, with_format
from batchctl_etl.config.steps import Step
from batchctl_etl.config.strict import Strict
from batchctl_etl.config.values import Format, SinkFileUrl
from batchctl_etl.config.watermark import ColumnWatermark, FilesWatermark, RunWatermark, check_source

ViewName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class TransformSink(ParquetForm):
    """A file of rows: CSV, JSONL or Parquet, uncompressed but for Parquet's own."""

    url: SinkFileUrl
    format: Format = FORMAT

    @model_validator(mode="before")
    @classmethod
    def _format_from_extension(cls, data: object) -> object:
        return with_format(data)

    @model_validator(mode="after")
    def _writable(self) -> Self:
        if self.format is Format.JSON:
            raise ValueError("json cannot be written row by row; choose jsonl")
        if self.format is not Format.PARQUET and not self.is_default:
            raise ValueError(f"compression and row_group_size mean nothing for {self.format.value}")
        if self.url.lower().endswith(".gz"):
            raise ValueError("compressed text is not written; choose parquet, or a name without .gz")
        return self


class TransformConfig(Strict):
    """Either `inputs`, views by name, or `input`, the one view named `input`; one SELECT, or steps that begin
    with the input `start`; checks; where the rows go.

    `memory_limit` is DuckDB's: beyond it, it works on disk. `threads` defaults to the processor's.
    """

    inputs: dict[ViewName, RowSource] = Field(default_factory=dict)
    input: RowSource | None = None
    sql: Annotated[str, StringConstraints(min_length=1)] | None = None
    steps: tuple[Step, ...] = Field(default=(), strict=False)
    start: ViewName | None = None
    checks: tuple[Check, ...] = Field(default=(), strict=False)
    quarantine: Quarantine | None = None
    sink: TransformSink
    watermark: (
        Annotated[ColumnWatermark | FilesWatermark | RunWatermark, Field(discriminator="type")] | None
    ) = None
    dataset: Dataset | None = None
    memory_limit: Annotated[str, StringConstraints(pattern=r"^[0-9]+(\.[0-9]+)? ?[KMGT]i?B$")] = "1GB"
    threads: int | None = Field(default=None, ge=1, le=256)

    @model_validator(mode="after")
    def _one_way_to_name_inputs(self) -> Self:
        if bool(self.inputs) == (self.input is not None):
            raise ValueError("give either inputs or input")
        if len({name.lower() for name in self.inputs}) < len(self.inputs):
            raise ValueError("inputs: names that differ only in case are one name in SQL")
        if "rows" in {name.lower() for name in self.inputs} and self.steps:
            raise ValueError("inputs: rows is what steps call the rows so far; name the input otherwise")
        return self

    @model_validator(mode="after")
    def _one_way_to_transform(self) -> Self:
        if (self.sql is None) == (not self.steps):
            raise ValueError("give either sql or steps")
        if self.start is not None and (not self.steps or self.start not in self.views):
            raise ValueError("start names the input that steps begin with")
        if self.steps and self.start is None and len(self.views) > 1:
            raise ValueError("start is missing: the input that steps begin with")
        return self

    @model_validator(mode="after")
    def _bad_rows_have_a_place(self) -> Self:
        casts = [step for step in self.steps if isinstance(step, Cast)]
        needed = needs_quarantine(self.checks) or any(step.on_error is OnError.QUARANTINE for step in casts)
        if needed != (self.quarantine is not None):
            raise ValueError(NEEDED if needed else UNNEEDED)
        check_evidence(self.checks, inputs=frozenset(self.views), has_dataset=self.dataset is not None)
        check_version_path(self.sink.url, self.dataset)
        return self

    @model_validator(mode="after")
    def _new_of_what(self) -> Self:
        if isinstance(self.watermark, ColumnWatermark | FilesWatermark):
            name = self.watermark.input or (next(iter(self.views)) if len(self.views) == 1 else None)
            if name not in self.views:
                raise ValueError(f"watermark: input names one of {', '.join(self.views)}")
            check_source(self.watermark, self.views[name])
        return self

    @property
    def views(self) -> dict[str, RowSource]:
        """The inputs by the name of their view."""
        return self.inputs or ({"input": self.input} if self.input else {})

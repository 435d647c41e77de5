"""Checks of a dataset: what must be true of the rows before anything is written."""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, Field, StringConstraints, model_validator

from batchctl_etl.config.rows import RowSource
from batchctl_etl.config.steps import Expression, Regex
from batchctl_etl.config.strict import Strict
from batchctl_etl.config.values import Name, SinkFileUrl

Value = str | int | float | bool


class Level(StrEnum):
    """What a check that fails does: say so, stop the stage, or send the bad rows to the quarantine."""

    WARN = "warn"
    ERROR = "error"
    QUARANTINE = "quarantine"


class _Check(Strict):
    level: Annotated[Level, Field(strict=False)] = Level.ERROR


class NotNull(_Check):
    """Every row has a value in each of the columns."""

    type: Literal["not_null"]
    columns: tuple[Name, ...] = Field(strict=False, min_length=1)


class Unique(_Check):
    """No two rows have the same values in the columns; a missing value is equal to none."""

    type: Literal["unique"]
    columns: tuple[Name, ...] = Field(strict=False, min_length=1)


class Range(_Check):
    """Values are from `min` to `max`, both included; dates as text. A missing value passes; NaN does not."""

    type: Literal["range"]
    column: Name
    min: str | int | float | None = None
    max: str | int | float | None = None

    @model_validator(mode="after")
    def _limited(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("give min or max")
        return self


class OneOf(_Check):
    """Values are among `values`. A missing value passes."""

    type: Literal["set"]
    column: Name
    values: tuple[Value, ...] = Field(strict=False, min_length=1)


class Pattern(_Check):
    """Texts match `regex` from beginning to end. A missing value passes."""

    type: Literal["pattern"]
    column: Name
    regex: Regex


class ForeignKey(_Check):
    """The values of `columns` are a row's `key` in another input (of `transform`), or in a source of its own.

    A row with a missing value passes, as in SQL.
    """

    type: Literal["foreign_key"]
    columns: tuple[Name, ...] = Field(strict=False, min_length=1)
    input: Name | None = None
    source: RowSource | None = None
    key: tuple[Name, ...] = Field(default=(), strict=False, description="Default: the same names.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.input is None) == (self.source is None):
            raise ValueError("give either input or source: where the key is")
        if self.key and len(self.key) != len(self.columns):
            raise ValueError("key has another number of columns than columns")
        return self


class RowCount(_Check):
    """So many rows; with `change`, about as many as in the runs before.

    `history` is a JSON file of the counts of committed runs; without it, they are those of the stage's dataset.
    """

    type: Literal["row_count"]
    min: int = Field(default=1, ge=0)
    max: int | None = Field(default=None, ge=0)
    change: Annotated[str, StringConstraints(pattern=r"^[0-9]+(\.[0-9]+)?%$")] | None = None
    runs: int = Field(default=1, ge=1, le=100, description="Compared with the median of so many runs.")
    history: SinkFileUrl | None = None

    @model_validator(mode="after")
    def _compared(self) -> Self:
        if self.change is None and self.model_fields_set & {"runs", "history"}:
            raise ValueError("runs and history mean something with change only")
        return self


class Freshness(_Check):
    """The newest value of `column` is at most `max_age` (ISO 8601: `P1D`) older than `at`.

    Default for `at`: the occurrence that the run is for, BATCHCTL_SCHEDULED_AT. Never the wall clock.
    """

    type: Literal["freshness"]
    column: Name
    max_age: timedelta = Field(ge=timedelta(0))
    at: AwareDatetime | None = None


class SqlCheck(_Check):
    """A SELECT over `rows` that finds what is wrong: it passes if it finds nothing."""

    type: Literal["sql"]
    name: Name
    query: Expression


Check = Annotated[
    NotNull | Unique | Range | OneOf | Pattern | ForeignKey | RowCount | Freshness | SqlCheck,
    Field(discriminator="type"),
]


def needs_quarantine(checks: tuple[Check, ...]) -> bool:
    """Whether bad rows need a place to go. Raises `ValueError` for a check that has no rows to send there."""
    sending = [check for check in checks if check.level is Level.QUARANTINE]
    for check in sending:
        if isinstance(check, RowCount | Freshness | SqlCheck):
            raise ValueError(f"checks: {check.type} tells no bad rows: its level is warn or error")
    return bool(sending)


def check_evidence(checks: tuple[Check, ...], *, inputs: frozenset[str], has_dataset: bool) -> None:
    """Raises `ValueError` for a check that asks for an input, or a history, that the stage does not have."""
    for check in checks:
        if isinstance(check, ForeignKey) and check.input is not None and check.input not in inputs:
            known = (
                f"the inputs are {', '.join(sorted(inputs))}" if inputs else "a load has none: give source"
            )
            raise ValueError(f"checks: foreign_key: there is no input {check.input!r}; {known}")
        if isinstance(check, RowCount) and check.change and not check.history and not has_dataset:
            raise ValueError(
                "checks: row_count: change needs history, where earlier counts are, or a dataset"
            )

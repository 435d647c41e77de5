"""A source of rows: files of a format and its options, or a query of a database."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Discriminator, Field, StringConstraints, Tag, model_validator

from batchctl_etl.config.dataset import DatasetRows
from batchctl_etl.config.delta import DeltaRows
from batchctl_etl.config.flatten import Flatten
from batchctl_etl.config.odbc import OdbcRows
from batchctl_etl.config.secrets import Header, VariableName
from batchctl_etl.config.strict import Strict
from batchctl_etl.config.unpack import Unpack
from batchctl_etl.config.values import Format, Name, SourceUrl, format_of
from batchctl_etl.storage.locations import HttpLocation, location

COLUMN_TYPES = ("bool", "int64", "float64", "string", "date", "time", "timestamp", "timestamptz")
_DECIMAL = re.compile(r"decimal\((\d+), ?(\d+)\)")


def decimal_digits(column_type: str) -> tuple[int, int] | None:
    """Precision and scale of `decimal(p,s)`; `None` for any other type."""
    match = _DECIMAL.fullmatch(column_type)
    return (int(match[1]), int(match[2])) if match else None


def known_type(column_type: str, among: tuple[str, ...] = COLUMN_TYPES) -> str:
    """`column_type`, if it is one of these or a decimal. Raises `ValueError`."""
    if column_type in among:
        return column_type
    digits = decimal_digits(column_type)
    if digits is None or not 1 <= digits[0] <= 38 or digits[1] > digits[0]:
        raise ValueError(f"{column_type!r} is not one of {', '.join(among)}, decimal(p,s)")
    return column_type


def _one_byte(character: str) -> str:
    if len(character) != 1 or not character.isascii():
        raise ValueError("must be one ASCII character")
    return character


Character = Annotated[str, AfterValidator(_one_byte)]
ColumnType = Annotated[str, AfterValidator(known_type)]


class Options(Strict):
    """How to read a format. `types` is for CSV, JSON and JSONL, `flatten` for JSON and JSONL, all else for CSV."""

    delimiter: Character = ","
    quote: Character = '"'
    header: bool = Field(default=True, description="Whether the first row holds the names of the columns.")
    columns: tuple[Name, ...] = Field(
        default=(), strict=False, description="Names of the columns, if there is no header."
    )
    ragged: bool = Field(
        default=False, description="Rows differ in length: each is a list of texts, the column `fields`."
    )
    encoding: str = Field(default="utf-8", description="Any encoding that Python knows.")
    null_values: tuple[str, ...] = Field(
        default=("",), strict=False, description="Unquoted text that means: no value."
    )
    types: dict[Name, ColumnType] = Field(
        default_factory=dict, description="Types of columns not to be guessed."
    )

    flatten: Flatten | None = Field(default=None, description="Nested JSON as columns.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.flatten and self.types:
            raise ValueError("flatten gives text: cast it in a step")
        if self.ragged and (
            extra := sorted(self.model_fields_set & {"header", "columns", "null_values", "types"})
        ):
            raise ValueError(f"{extra[0]} means nothing for ragged rows")
        if self.columns and self.header:
            raise ValueError("columns is for files without a header: set header to false")
        try:
            "".encode(self.encoding)
        except LookupError as error:
            raise ValueError(f"encoding {self.encoding!r} is not known") from error
        return self


FORMAT: Any = Field(
    strict=False, description="csv, json, jsonl or parquet, since the URL's extension does not tell"
)


class FileRows(Strict):
    """Rows in files on disk, in Azure or on the web: one, all that match a pattern, or members of archives."""

    type: Literal["file"] = "file"
    url: SourceUrl
    format: Format = FORMAT
    options: Options = Options()
    headers: dict[Header, Header] = Field(default_factory=dict, description="For http(s) URLs.")
    unpack: Unpack | None = None
    partitions: dict[Name, ColumnType] = Field(
        default_factory=dict, description="Columns that folders of the path tell, such as week=2026-01-31."
    )

    @model_validator(mode="before")
    @classmethod
    def _format_from_extension(cls, data: object) -> object:
        return with_format(data)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        given = self.options.model_fields_set
        allowed = _OPTIONS_OF[self.format]
        if extra := sorted(given - allowed):
            raise ValueError(f"options.{extra[0]} means nothing for {self.format.value}")
        if self.partitions and isinstance(location(self.url), HttpLocation):
            raise ValueError("partitions mean something for files on disk and in Azure only")
        if self.headers and not isinstance(location(self.url), HttpLocation):
            raise ValueError("headers mean something for http(s) URLs only")
        return self


class PostgresRows(Strict):
    """The rows of one query. The variable named by `dsn_env` holds the connection string."""

    type: Literal["postgres"]
    dsn_env: VariableName
    query: Annotated[str, StringConstraints(min_length=1)]


def _kind(data: object) -> object:
    return data.get("type", "file") if isinstance(data, dict) else getattr(data, "type", "file")


RowSource = Annotated[
    Annotated[FileRows, Tag("file")]
    | Annotated[PostgresRows, Tag("postgres")]
    | Annotated[DeltaRows, Tag("delta")]
    | Annotated[OdbcRows, Tag("odbc")]
    | Annotated[DatasetRows, Tag("dataset")],
    Discriminator(
        _kind,
        custom_error_type="kind",
        custom_error_message="type must be file (the default), postgres, delta, odbc or dataset",
    ),
]
"""Where rows come from."""


_OPTIONS_OF: dict[Format, frozenset[str]] = {
    Format.CSV: frozenset(Options.model_fields) - {"flatten"},
    Format.JSON: frozenset({"types", "flatten"}),
    Format.JSONL: frozenset({"types", "flatten"}),
    Format.PARQUET: frozenset(),
}


def with_format(data: object) -> object:
    """Add the format that the URL, or the pattern of members, tells to configuration that names none."""
    if not isinstance(data, dict) or "format" in data:
        return data
    unpack = data.get("unpack")
    for name in (data.get("url"), unpack.get("members") if isinstance(unpack, dict) else None):
        try:
            found = format_of(name) if isinstance(name, str) else None
        except ValueError:
            continue
        if found:
            return data | {"format": found}
    return data

"""Any database with an ODBC driver, as a source and as a sink."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from batchctl_etl.config.secrets import VariableName
from batchctl_etl.config.strict import Strict
from batchctl_etl.config.table import Table
from batchctl_etl.config.values import Name


class OdbcRows(Strict):
    """The rows of one query. The variable named by `dsn_env` holds the driver's connection string."""

    type: Literal["odbc"]
    dsn_env: VariableName
    query: Annotated[str, StringConstraints(min_length=1)]
    max_text_bytes: int = Field(
        default=65_536, ge=1, description="Of one text or binary value; a longer one is an error."
    )


class SqlDialect(StrEnum):
    """Whose SQL the database speaks."""

    MSSQL = "mssql"
    POSTGRESQL = "postgresql"
    SQLITE = "sqlite"


class OdbcSink(Table):
    """A table of a database, made if it is missing. `db_schema` defaults to `dbo` and `public`; SQLite has none."""

    type: Literal["odbc"]
    dsn_env: VariableName
    dialect: Annotated[SqlDialect, Field(strict=False)]
    db_schema: Name | None = None

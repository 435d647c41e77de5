"""The connection to PostgreSQL, and the one translation of its errors.

The connection string comes from an environment variable that the configuration names. It is never shown: not
in messages, not in reports.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from batchctl_etl.config.secrets import variable
from batchctl_etl.errors import BadConfig, WorkFailed

if TYPE_CHECKING:
    import psycopg

_REMEDIES = {
    "22003": "make the column of the table wider, or filter the rows in the transform",
    "23505": 'remove the duplicates, or use mode "merge"',
    "23502": "fill the column in the transform",
    "23503": "load the rows it refers to first",
    "23514": "filter the rows in the transform, or correct the table's constraint",
    "25006": "a source may only read",
    "3F000": "create it, or name another in db_schema",
    "42501": "grant the database user what it needs",
    "42P01": "check the name and the schema",
    "42601": "check the query",
    "42703": "check the query",
    "53100": "free some space on the server",
    "55P03": "another process has the table; end it, or raise lock_timeout_seconds",
    "57014": "the statement was cancelled; try later",
}
"""By SQLSTATE (PostgreSQL, Appendix A)."""


@contextmanager
def postgres_extra() -> Iterator[None]:
    """Around an import of the driver. Raises `BadConfig` naming the extra if a package is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        install = "install it: pip install 'batchctl-etl[postgres]'"
        raise BadConfig([f"postgres needs the package {error.name}; {install}"]) from error


def connect(dsn_env: str, *, key: str) -> "psycopg.Connection":
    """A connection in UTC, without a transaction, for the caller to close. `key` is what names `dsn_env`.

    Raises `BadConfig` if the variable is not set or holds no connection string, `WorkFailed` if nobody answers.
    """
    with postgres_extra():
        import psycopg
        from psycopg.conninfo import conninfo_to_dict

    # What it warns of is what it raises.
    logging.getLogger("psycopg").addHandler(logging.NullHandler())
    dsn = variable(dsn_env, key=key)
    try:
        parts = conninfo_to_dict(dsn)
    except psycopg.Error:
        # Its message quotes the string.
        raise BadConfig([f"{key}: {dsn_env} holds no connection string (postgresql://…)"]) from None
    try:
        connection = psycopg.connect(
            dsn,
            autocommit=True,
            connect_timeout=int(parts.get("connect_timeout") or 30),
            application_name="batchctl-etl",
        )
    except psycopg.Error as error:
        reason = str(error).splitlines()[-1]
        if password := parts.get("password"):
            reason = reason.replace(str(password), "…")
        raise WorkFailed(
            f"the database of {dsn_env}", f"cannot be reached: {reason}", "check the variable and the server"
        ) from None
    connection.execute("SET timezone = 'UTC'")
    connection.execute("SET datestyle = 'ISO'")
    connection.execute("SET bytea_output = 'hex'")
    return connection


@contextmanager
def postgres_errors(where: str) -> Iterator[None]:
    """Turn what the database says into `WorkFailed`: `<where>: <message> <detail>; <remedy>`."""
    import psycopg

    try:
        yield
    except psycopg.Error as error:
        diagnosis = error.diag
        if diagnosis.message_primary is None:
            what = f"the connection is lost: {(str(error).splitlines() or ['no reason given'])[0]}"
            raise WorkFailed(where, what, "check the server, and run the task again") from error
        details = [diagnosis.message_primary, diagnosis.message_detail, diagnosis.context]
        lost = error.sqlstate in {"57P01", "57P02", "57P03"}
        remedy = (
            "check the server, and run the task again" if lost else _REMEDIES.get(error.sqlstate or "", "")
        )
        raise WorkFailed(where, " · ".join(part for part in details if part), remedy) from error

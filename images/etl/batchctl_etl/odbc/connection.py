"""The connection through an ODBC driver, and the one translation of its errors.

The connection string comes from an environment variable that the configuration names, and is never shown.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from batchctl_etl.config.secrets import variable
from batchctl_etl.errors import BadConfig, WorkFailed

if TYPE_CHECKING:
    from arrow_odbc import Connection  # type: ignore[import-untyped]

LOGIN_TIMEOUT_SECONDS = 30
_REMEDIES = {
    "01004": "raise source.max_text_bytes",
    "08": "check the server, and run the task again",
    "22": "cast the column in the transform",
    "23": 'correct the rows, or use mode "merge"',
    "28": "check the user and the password in the variable",
    "40001": "another process was in the way: run the task again",
    "42": "check the names, and what the database user may do",
    "HYT00": "another process has the table; end it, or try later",
    "IM002": "check the variable, and that the driver is installed (odbcinst -q -d)",
    "IM003": "check that the driver is installed (odbcinst -q -d)",
}
"""By SQLSTATE or its class (ODBC, Appendix A)."""


@contextmanager
def odbc_extra() -> Iterator[None]:
    """Around an import of the library. Raises `BadConfig` naming the extra, or unixODBC, if it is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        install = "install it: pip install 'batchctl-etl[odbc]'"
        raise BadConfig([f"odbc needs the package {error.name}; {install}"]) from error
    except OSError as error:
        raise BadConfig([f"odbc needs unixODBC and a driver ({error}); apt-get install unixodbc"]) from error


def connect(dsn_env: str, *, key: str) -> "Connection":
    """A connection in a transaction, which ends with it. `key` is what names `dsn_env`.

    Raises `BadConfig` if the variable is not set, `WorkFailed` if nobody answers.
    """
    with odbc_extra():
        import arrow_odbc

    dsn = variable(dsn_env, key=key)
    try:
        return arrow_odbc.connect(dsn, login_timeout_sec=LOGIN_TIMEOUT_SECONDS, autocommit=False)
    except arrow_odbc.Error as error:
        reason, remedy = _explained(error.message())
        for secret in _secrets(dsn):
            reason = reason.replace(secret, "…")
        where = f"the database of {dsn_env}"
        raise WorkFailed(where, f"cannot be reached: {reason}", remedy or "check the variable") from None


def _secrets(dsn: str) -> list[str]:
    """The passwords in a connection string, longest first; a value may be in braces (ODBC, SQLDriverConnect)."""
    found = re.findall(r"(?i)(?:pwd|password|accesstoken)\s*=\s*(\{(?:[^}]|\}\})*\}|[^;]*)", dsn)
    return sorted(
        {part for value in found for part in (value, value.strip("{}")) if part}, key=len, reverse=True
    )


@contextmanager
def odbc_errors(where: str) -> Iterator[None]:
    """Turn what the driver says into `WorkFailed`: `<where>: <message>; <remedy>`."""
    import arrow_odbc

    try:
        yield
    except arrow_odbc.Error as error:
        raise WorkFailed(where, *_explained(error.message())) from error


def _explained(text: str) -> tuple[str, str]:
    if "too large to be written into the allocated buffer" in text:
        size = re.search(r"Some\((\d+)\)", text)
        what = f"a value is {size[1] if size else '?'} bytes long, which is more than the driver told or is allowed"
        return what, "raise source.max_text_bytes, or cast the column to text in the query"
    found = re.search(r"State: (\w{5}), Native error: (-?\d+), Message: (.*)", text, re.S)
    if found is None:
        return text, ""
    state, reason = found[1], found[3].partition("Error while executing the query")[0].strip()
    remedy = _REMEDIES.get(state) or _REMEDIES.get(state[:2], "")
    if state == "HY000":  # SQLite's driver has no other state.
        remedy = next((text for sign, text in _SIGNS.items() if sign in reason), "")
    return f"{reason} ({state})", remedy


_SIGNS = {
    "UNIQUE constraint": _REMEDIES["23"],
    "NOT NULL constraint": _REMEDIES["23"],
    "locked": _REMEDIES["HYT00"],
    "no such table": _REMEDIES["42"],
    "no such column": _REMEDIES["42"],
    "syntax error": _REMEDIES["42"],
    "full": "free some space",
}

"""Opening a Delta table on disk or in Azure, and the one translation of the library's errors."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa

from batchctl_etl.errors import BadConfig, WorkFailed
from batchctl_etl.storage.locations import BlobLocation, FileLocation, location, shown

if TYPE_CHECKING:
    from deltalake import DeltaTable


@contextmanager
def delta_extra() -> Iterator[None]:
    """Around an import of the library. Raises `BadConfig` naming the extra if it is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        install = "install it: pip install 'batchctl-etl[delta]'"
        raise BadConfig([f"delta needs the package {error.name}; {install}"]) from error


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a table is: `name` for messages, `uri` and `options` for the library. `options` hold secrets."""

    name: str
    uri: str
    options: dict[str, str] = field(repr=False)


def place(url: str) -> Place:
    """The place that `url` names. Raises `BadConfig`, `WorkFailed` if Azure cannot be asked."""
    where, name = location(url), shown(url)
    if isinstance(where, BlobLocation):
        from batchctl_etl.storage.azure_client import object_store_options

        path = f"az://{where.container}/{where.name.strip('/')}"
        return Place(name=name, uri=path, options=object_store_options(where))
    if not isinstance(where, FileLocation):
        raise BadConfig([f"{name}: a Delta table is in a folder on disk or in Azure"])
    if "%" in str(where.path.absolute()):  # The library takes it for the escape of another character.
        raise BadConfig([f"{name}: the path of a Delta table holds no %"])
    return Place(name=name, uri=str(where.path.absolute()), options={})


def table_at(where: Place) -> "DeltaTable | None":
    """The table in its last version; `None` if there is none. Raises `WorkFailed`."""
    with delta_extra():
        from deltalake import DeltaTable

    with delta_errors(where.name):
        if not DeltaTable.is_deltatable(where.uri, storage_options=where.options):
            return None
        return DeltaTable(where.uri, storage_options=where.options)


def existing_table(where: Place) -> "DeltaTable":
    """As `table_at`. Raises `WorkFailed` also if there is no table."""
    table = table_at(where)
    if table is None:
        raise WorkFailed(where.name, "there is no Delta table", "check the URL, and what should have made it")
    return table


def travel(table: "DeltaTable", version: int | None, timestamp: datetime | None, *, where: str) -> None:
    """Make `table` what it was. Raises `WorkFailed` if it was not yet, or nobody knows any longer."""
    if version is not None:
        if version > table.version():
            raise WorkFailed(where, f"there is no version {version}", f"the last is {table.version()}")
        with delta_errors(where):
            table.load_as_version(version)
    if timestamp is not None:
        with delta_errors(where):
            # A table that has travelled numbers its history wrongly (delta-rs 1.6).
            known = {entry["version"]: moment(entry["timestamp"]) for entry in table.history()}
            table.load_as_version(timestamp.astimezone(UTC))
        # The library gives the first version for all that was before it.
        if table.version() == min(known) and known[table.version()] > timestamp:
            what = f"there is no version as old as {timestamp.isoformat()}"
            raise WorkFailed(where, what, f"the first is from {known[table.version()].isoformat()}")


def moment(milliseconds: int) -> datetime:
    """A version's timestamp (milliseconds since 1970, UTC), to the digit."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)


def arrow_schema(table: "DeltaTable") -> pa.Schema:
    """The table's columns in plain Arrow types."""
    return pa.schema(table.schema().to_arrow())


@contextmanager
def delta_errors(where: str) -> Iterator[None]:
    """Turn what the library says into `WorkFailed`: `<where>: <reason>; <remedy>`."""
    import deltalake.exceptions as theirs

    try:
        yield
    except theirs.CommitFailedError as error:
        what = "another program has changed the table in the meantime"
        raise WorkFailed(where, what, "nothing was written: run the task again") from error
    except (theirs.DeltaError, pa.ArrowException, OSError, ValueError) as error:
        raise WorkFailed(where, *_explained(str(error))) from error
    except Exception as error:
        if type(error) is not Exception:  # So the library raises what it has no class for.
            raise
        raise WorkFailed(where, *_explained(str(error))) from error


def _explained(text: str) -> tuple[str, str]:
    reason = re.split(r"\n\s+0: |\. Detail: Python exception", text)[0]
    for sign, remedy in (
        ("No space left", "free some space"),
        ("ermission denied", "check the permissions"),
        (
            "Invalid data found",
            "the rows must be those that overwrite_where and the table's constraints allow",
        ),
        ("predicate", "check overwrite_where"),
        ("ContainerNotFound", "make the container, or check the URL"),
        ("AuthenticationFailed", "check AZURE_STORAGE_CONNECTION_STRING, or the identity's role"),
        ("error sending request", "check the account's name and the network"),
    ):
        if sign in reason:
            return reason[:400], remedy
    return reason[:400], ""

"""The key of a merge: its columns are there, every staged row has one, and no two rows have the same."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from batchctl_etl.config.table import OnDuplicate
from batchctl_etl.errors import WorkFailed
from batchctl_etl.tables.statements import Dialect, Target


class Stage(Protocol):
    """Rows kept in a private table that SQL can be asked about."""

    dialect: Dialect

    def query(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Run one statement; its rows. Raises `WorkFailed`."""


def key_columns(key: Sequence[str], names: Sequence[str], *, where: str) -> tuple[str, ...]:
    """The configured key in the source's spelling. Raises `WorkFailed` for a column that the source has not."""
    spelled = {name.lower(): name for name in names}
    missing = [column for column in key if column.lower() not in spelled]
    if missing:
        what = f"the key names the column {missing[0]!r}, which the source has not"
        raise WorkFailed(where, what, f"its columns are {', '.join(names)}")
    return tuple(spelled[column.lower()] for column in key)


def check_staged_key(stage: Stage, key: Sequence[str], on_duplicate: OnDuplicate, *, where: str) -> None:
    """Leave one staged row for each key, or raise `WorkFailed` naming a key that is missing or comes twice."""
    if (without := int(stage.query(stage.dialect.rows_without_key(key))[0][0])) > 0:
        what = f"{without} rows have no value in the key ({', '.join(key)})"
        raise WorkFailed(where, what, "remove them in the transform, or choose another key")
    if on_duplicate is OnDuplicate.LAST:
        stage.query(stage.dialect.deletion_of_all_but_the_last(key))
    elif found := stage.query(stage.dialect.duplicate_key(key)):
        raise WorkFailed(
            where, _same(key, found[0]), 'remove them in the transform, or set on_duplicate to "last"'
        )


def check_key_forms(
    stage: Stage, key: Sequence[str], source: Mapping[str, str], target: Target, *, where: str
) -> None:
    """Raise `WorkFailed` for keys that differ as text, and are one in the table: an UUID in capitals, and in small letters."""
    query = stage.dialect.key_in_two_forms(key, source, target)
    if query is not None and (found := stage.query(query)):
        raise WorkFailed(where, _same(key, found[0]), "write the key in one form in the transform")


def _same(key: Sequence[str], found: tuple[Any, ...]) -> str:
    values = ", ".join(f"{name}={value}" for name, value in zip(key, found, strict=False))
    return f"{found[-1]} rows of the source have the key {values}"

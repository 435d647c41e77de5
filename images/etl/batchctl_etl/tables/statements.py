"""The SQL of a load, in words that DuckDB, SQLite and PostgreSQL share. Pure: text in, text out."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from batchctl_etl.config.table import LEDGER

_FRACTIONS = frozenset({"real", "float", "float(53)", "double", "double precision"})
"""Floating-point types: whole numbers from 2^53 on, or from 2^24 on, are rounded."""
NO_TYPE = ""
"""The type of a column without a single value: it goes into a column of any."""
Target = Mapping[str, tuple[str, str]]
"""The stage's column -> the table's column and its type."""


def literal(text: str) -> str:
    """`text` as an SQL string."""
    return "'" + text.replace("'", "''") + "'"


def quoted(name: str) -> str:
    """`name` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def listed(names: Iterable[str]) -> str:
    """Identifiers with commas between."""
    return ", ".join(quoted(name) for name in names)


def table_creation(table: str, columns: Mapping[str, str]) -> str:
    """CREATE TABLE; `columns` maps names to SQL types."""
    definitions = ", ".join(f"{quoted(name)} {kind}" for name, kind in columns.items())
    return f"CREATE TABLE {table} ({definitions})"


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """What differs between databases: the stage, what comes before a table's name, a row's place, a parameter.

    `is_parsed(source type, table type)`: whether text must be cast to go into a column of that type. A database
    with other words overrides the statement.
    """

    stage: str = "main.stage"
    target: str = "target."
    row: str = "rowid"
    parameter: str = "?"
    is_parsed: Callable[[str, str], bool] = lambda _source, _table: False

    def table(self, name: str) -> str:
        """The target's table of that name."""
        return self.target + quoted(name)

    def duplicate_key(self, key: Sequence[str]) -> str:
        """SELECT one key that several rows have, as text, and how many they are."""
        names = listed(key)
        texts = ", ".join(f"CAST({quoted(name)} AS TEXT)" for name in key)
        return f"SELECT {texts}, count(*) FROM {self.stage} GROUP BY {names} HAVING count(*) > 1 LIMIT 1"

    def rows_without_key(self, key: Iterable[str]) -> str:
        """SELECT how many rows miss a part of their key."""
        condition = " OR ".join(f"{quoted(name)} IS NULL" for name in key)
        return f"SELECT count(*) FROM {self.stage} WHERE {condition}"

    def deletion_of_all_but_the_last(self, key: Iterable[str]) -> str:
        """DELETE from the stage all rows of a key but the last."""
        last = f"SELECT max({self.row}) FROM {self.stage} GROUP BY {listed(key)}"
        return f"DELETE FROM {self.stage} WHERE {self.row} NOT IN ({last})"

    def merge_of_stage(
        self, table: str, key: Sequence[str], source: Mapping[str, str], target: Target
    ) -> tuple[str, ...]:
        """The statements that let the rows of the stage take the place of those with their keys."""
        staged = f"SELECT {', '.join(self._keys(key, source, target))} FROM {self.stage}"
        there = listed(target[name][0] for name in key)
        deletion = f"DELETE FROM {self.table(table)} WHERE ({there}) IN ({staged})"
        return deletion, self.insertion_of_stage(table, source, target)

    def key_in_two_forms(self, key: Sequence[str], source: Mapping[str, str], target: Target) -> str | None:
        """SELECT as `duplicate_key`, of keys that only the table's types make the same; `None` if they make none."""
        keys = self._keys(key, source, target)
        if keys == [quoted(name) for name in key]:
            return None
        texts = ", ".join(f"CAST({name} AS TEXT)" for name in keys)
        return f"SELECT {texts}, count(*) FROM {self.stage} GROUP BY {', '.join(keys)} HAVING count(*) > 1 LIMIT 1"

    def _keys(self, key: Sequence[str], source: Mapping[str, str], target: Target) -> list[str]:
        """The stage's key as the table compares it: it knows no two forms of a value, nor blanks at the end of `character(n)`."""
        kinds = [(name, source[name], target[name][1]) for name in key]
        return [
            f"CAST({quoted(name)} AS {there})"
            if self.is_parsed(kind, there) or there.startswith("character(")
            else quoted(name)
            for name, kind, there in kinds
        ]

    def changed_number(self, name: str, kind: str, there: str) -> str | None:
        """SELECT a whole number that is another one in a column of fractions; `None` if `there` is no such type."""
        if "int" not in kind.lower() or there.lower() not in _FRACTIONS:
            return None
        back = f"CAST(CAST({quoted(name)} AS {there}) AS BIGINT)"
        return f"SELECT min({quoted(name)}) FROM {self.stage} WHERE {back} <> {quoted(name)}"

    def insertion_of_stage(self, table: str, source: Mapping[str, str], target: Target) -> str:
        """INSERT the stage into the table. `source` maps the stage's columns to their types."""
        values = ", ".join(self.staged_value(name, kind, target[name][1]) for name, kind in source.items())
        names = listed(target[name][0] for name in source)
        return f"INSERT INTO {self.table(table)} ({names}) SELECT {values} FROM {self.stage}"

    def staged_value(self, name: str, kind: str, there: str) -> str:
        """A column of the stage as the table's type takes it."""
        is_cast = kind == NO_TYPE or self.is_parsed(kind, there)
        return f"CAST({quoted(name)} AS {there})" if is_cast else quoted(name)

    def ledger_creation(self) -> str:
        """CREATE the table of committed loads if it is missing."""
        return (
            f"CREATE TABLE IF NOT EXISTS {self.table(LEDGER)} "
            '(load_id TEXT NOT NULL, "table" TEXT NOT NULL, "rows" BIGINT NOT NULL, "at" TIMESTAMP NOT NULL, '
            'PRIMARY KEY (load_id, "table"))'
        )

    def ledger_lookup(self) -> str:
        """SELECT the rows of a load id and table, if it was committed."""
        one = self.parameter
        return f'SELECT "rows" FROM {self.table(LEDGER)} WHERE load_id = {one} AND "table" = {one}'

    def ledger_deletion(self) -> str:
        """Forget a load id and table."""
        one = self.parameter
        return f'DELETE FROM {self.table(LEDGER)} WHERE load_id = {one} AND "table" = {one}'

    def ledger_entry(self) -> str:
        """Remember a load id, table, its rows and the moment."""
        four = ", ".join([self.parameter] * 4)
        return f'INSERT INTO {self.table(LEDGER)} (load_id, "table", "rows", "at") VALUES ({four})'

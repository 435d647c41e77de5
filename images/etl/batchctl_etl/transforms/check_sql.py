"""The SQL of checks: conditions that are true of a bad row. Pure: text in, text out."""

from batchctl_etl.config.checks import (
    Check,
    ForeignKey,
    Freshness,
    NotNull,
    OneOf,
    Pattern,
    Range,
    RowCount,
    SqlCheck,
    Unique,
    Value,
)
from batchctl_etl.tables.statements import listed, literal, quoted


def label(check: Check) -> str:
    """The check in a few words: `not_null(code)`."""
    if isinstance(check, NotNull | Unique):
        return f"{check.type}({', '.join(check.columns)})"
    if isinstance(check, Range):
        low, high = ("" if end is None else end for end in (check.min, check.max))
        return f"range({check.column}: {low}..{high})"
    if isinstance(check, ForeignKey):
        where = check.input or "source"
        return f"foreign_key({', '.join(check.columns)} -> {where}: {', '.join(check.key or check.columns)})"
    if isinstance(check, Freshness):
        return f"freshness({check.column})"
    if isinstance(check, OneOf | Pattern):
        return f"{check.type}({check.column})"
    if isinstance(check, RowCount):
        change = f", change {check.change}" if check.change else ""
        return f"row_count({check.min}..{'' if check.max is None else check.max}{change})"
    return f"sql({check.name})"


def checked_columns(check: Check) -> tuple[str, ...]:
    """The columns that the check names."""
    if isinstance(check, NotNull | Unique | ForeignKey):
        return check.columns
    return () if isinstance(check, RowCount | SqlCheck) else (check.column,)


def reference_table(number: int) -> str:
    """The table of the keys that the check with this number, from 0, looks in."""
    return f"__keys_{number}"


def bad_condition(check: Check, number: int = 0) -> str:
    """True of each bad row of the view `numbered`. `number` is the check's. Not for checks that are of no single
    row."""
    assert not isinstance(check, RowCount | Freshness | SqlCheck)
    if isinstance(check, NotNull):
        return "(" + " OR ".join(f"{quoted(name)} IS NULL" for name in check.columns) + ")"
    if isinstance(check, Unique):
        names = listed(check.columns)
        present = " AND ".join(f"{quoted(name)} IS NOT NULL" for name in check.columns)
        twice = f"SELECT {names} FROM numbered WHERE {present} GROUP BY {names} HAVING count(*) > 1"
        return f"({present} AND ({names}) IN ({twice}))"
    if isinstance(check, ForeignKey):
        present = " AND ".join(f"{quoted(name)} IS NOT NULL" for name in check.columns)
        keys = [quoted(name) for name in check.key or check.columns]
        pairs = zip(keys, check.columns, strict=True)
        same = " AND ".join(f"k.{key} = numbered.{quoted(name)}" for key, name in pairs)
        return f"({present} AND NOT EXISTS (SELECT 1 FROM {reference_table(number)} AS k WHERE {same}))"
    column = quoted(check.column)
    if isinstance(check, Pattern):
        return f"(NOT regexp_full_match(CAST({column} AS VARCHAR), {literal(check.regex)}))"
    if isinstance(check, OneOf):
        return f"({column} NOT IN ({', '.join(_literal(value) for value in check.values)}))"
    limits = [f"{column} < {_literal(check.min)}"] if check.min is not None else []
    limits += [f"{column} > {_literal(check.max)}"] if check.max is not None else []
    # DuckDB sorts NaN above every number.
    limits += [f"CAST({column} AS VARCHAR) = 'nan'"]
    return f"({' OR '.join(limits)})"


def _literal(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return literal(value) if isinstance(value, str) else repr(value)

"""SQL of the declared steps, one SELECT over another. Pure but for asking which columns there are.

`columns(sql)` tells the names and types of a SELECT's result; it raises `ValueError` in DuckDB's words.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from batchctl_etl.config.cast import Cast
from batchctl_etl.config.steps import (
    Aggregate,
    Deduplicate,
    Derive,
    Filter,
    How,
    Join,
    Keep,
    Melt,
    Python,
    Rename,
    Select,
    Sort,
    Sql,
    Step,
    WindowAverage,
)
from batchctl_etl.errors import WorkFailed
from batchctl_etl.tables.statements import listed, quoted
from batchctl_etl.transforms.cast import cast_query

Columns = Callable[[str], dict[str, str]]
ROWS = "rows"
"""The name that a step of SQL knows the rows so far by."""


def compiled(steps: Sequence[tuple[int, Step]], start: str, columns: Columns) -> str:
    """One SELECT that is all steps (with their numbers, for messages) over the view `start`.

    Raises `WorkFailed` naming the step whose columns are not there or that DuckDB cannot make sense of.
    """
    query, known = f"SELECT * FROM {quoted(start)}", columns(f"SELECT * FROM {quoted(start)}")
    for number, step in steps:
        where = f"step {number} ({step.type})"
        query = _over(step, query, known, columns, where)
        try:
            known = columns(query)
        except ValueError as error:
            raise WorkFailed(where, str(error), f"the columns are {', '.join(known)}") from error
        lowered = [name.lower() for name in known]
        if twice := sorted({name for name in lowered if lowered.count(name) > 1}):
            raise WorkFailed(where, f"two columns are named {twice[0]!r}", "rename one before")
    return query


def _over(step: Step, query: str, known: Mapping[str, str], columns: Columns, where: str) -> str:
    rows = f"({query}) AS {ROWS}"
    if isinstance(step, Sql):
        return f"WITH {ROWS} AS ({query}) SELECT * FROM ({step.query.strip().removesuffix(';')}\n)"
    if isinstance(step, Filter):
        return f"SELECT * FROM {rows} WHERE ({step.where}\n)"
    if isinstance(step, Cast):
        _check(step.columns, known, where)
        return cast_query(rows, step, known)
    if isinstance(step, Rename):
        _check(step.columns, known, where)
        names = [(name, step.columns.get(name, name)) for name in known]
        return f"SELECT {', '.join(f'{quoted(old)} AS {quoted(new)}' for old, new in names)} FROM {rows}"
    if isinstance(step, Select):
        _check(step.columns, known, where)
        return f"SELECT {listed(step.columns)} FROM {rows}"
    if isinstance(step, Derive):
        kept = [step.columns.get(name, quoted(name)) for name in known]
        made = [f"({value}\n) AS {quoted(name)}" for name, value in step.columns.items() if name not in known]
        old = [f"({value}\n) AS {quoted(name)}" for name, value in zip(known, kept, strict=True)]
        return f"SELECT {', '.join(old + made)} FROM {rows}"
    if isinstance(step, Melt):
        return _melt(step, rows, known, where)
    if isinstance(step, Join):
        return _join(step, rows, known, columns, where)
    assert not isinstance(step, Python)  # It stands between the queries.
    return _grouped(step, rows, known, where)


def _grouped(
    step: Aggregate | WindowAverage | Deduplicate | Sort, rows: str, known: Mapping[str, str], where: str
) -> str:
    if isinstance(step, Aggregate):
        _check(step.by, known, where)
        values = [f"({value}\n) AS {quoted(name)}" for name, value in step.values.items()]
        grouped = f" GROUP BY {listed(step.by)}" if step.by else ""
        return f"SELECT {', '.join([*map(quoted, step.by), *values])} FROM {rows}{grouped}"
    if isinstance(step, WindowAverage):
        _check([step.column, *step.by, *_plain(step.order_by)], known, where)
        window = f"{_partition(step.by)} ORDER BY {_order(step.order_by)}"
        window = f"({window} ROWS BETWEEN {step.rows - 1} PRECEDING AND CURRENT ROW)"
        average = f"avg({quoted(step.column)}) OVER {window}"
        if step.whole:
            average = f"CASE WHEN count({quoted(step.column)}) OVER {window} = {step.rows} THEN {average} END"
        return f"SELECT *, {average} AS {quoted(step.name)} FROM {rows}"
    if isinstance(step, Deduplicate):
        key = step.key or tuple(known)
        _check([*key, *_plain(step.order_by)], known, where)
        last = step.keep is Keep.LAST
        order = [_order(step.order_by, reverse=last)] if step.order_by else []
        order.append("__n DESC" if last else "__n")
        numbered = f"SELECT *, row_number() OVER () AS __n FROM {rows}"
        ranked = f"row_number() OVER ({_partition(key)} ORDER BY {', '.join(order)})"
        ranked = f"SELECT *, {ranked} AS __k FROM ({numbered}) AS n"
        return f"SELECT * EXCLUDE (__n, __k) FROM ({ranked}) AS k WHERE __k = 1 ORDER BY __n"
    _check(_plain(step.by), known, where)
    return f"SELECT * FROM {rows} ORDER BY {_order(step.by)}"


def _melt(step: Melt, rows: str, known: Mapping[str, str], where: str) -> str:
    matching = [name for name in known if re.fullmatch(step.columns, name)]
    if not matching:
        raise WorkFailed(where, f"no column matches {step.columns!r}", f"the columns are {', '.join(known)}")
    others = [name for name in known if name not in matching]
    matching = matching[-step.last :] if step.last else matching
    nulls = " INCLUDE NULLS" if step.keep_nulls else ""
    chosen = f"SELECT {listed([*others, *matching])} FROM {rows}"
    melted = f"FROM ({chosen}) UNPIVOT{nulls} ({quoted(step.value)} FOR {quoted(step.name)} IN ({listed(matching)}))"
    return f"SELECT * {melted}"


def _join(step: Join, rows: str, known: Mapping[str, str], columns: Columns, where: str) -> str:
    try:
        there = columns(f"SELECT * FROM {quoted(step.input)}")
    except ValueError as error:
        raise WorkFailed(where, f"there is no input {step.input!r}", "name one of inputs") from error
    _check(step.on, known, where)
    _check(step.on.values(), there, f"{where}: input {step.input!r}")
    condition = " AND ".join(
        f"{ROWS}.{quoted(left)} = other.{quoted(right)}" for left, right in step.on.items()
    )
    if step.how in {How.SEMI, How.ANTI}:
        negation = "NOT " if step.how is How.ANTI else ""
        return (
            f"SELECT * FROM {rows} WHERE {negation}EXISTS "
            f"(SELECT 1 FROM {quoted(step.input)} AS other WHERE {condition})"
        )
    added = [f"other.{quoted(name)}" for name in there if name not in step.on.values()]
    kind = "LEFT JOIN" if step.how is How.LEFT else "JOIN"
    return f"SELECT {', '.join([f'{ROWS}.*', *added])} FROM {rows} {kind} {quoted(step.input)} AS other ON {condition}"


def _check(names: Iterable[str], known: Mapping[str, str], where: str) -> None:
    for name in names:
        if name not in known:
            raise WorkFailed(where, f"column {name!r} is not there", f"the columns are {', '.join(known)}")


def _plain(names: Iterable[str]) -> list[str]:
    return [name.removeprefix("-") for name in names]


def _order(names: Iterable[str], *, reverse: bool = False) -> str:
    parts = []
    for name in names:
        descending = name.startswith("-") != reverse
        nulls = "FIRST" if reverse else "LAST"
        parts.append(f"{quoted(name.removeprefix('-'))} {'DESC' if descending else 'ASC'} NULLS {nulls}")
    return ", ".join(parts)


def _partition(names: Sequence[str]) -> str:
    return f"PARTITION BY {listed(names)}" if names else ""

"""SQL that reads text as types, and says which value of a row is not of its type. Pure: text in, text out.

Nothing is rounded: a number with more digits than its type holds is not of its type. A year of two digits is
not what `%Y` means. A value that already has its type stays.
"""

from collections.abc import Mapping, Sequence

from batchctl_etl.config.cast import Cast, ColumnCast, OnError
from batchctl_etl.config.rows import decimal_digits
from batchctl_etl.tables.statements import literal, quoted
from batchctl_etl.transforms.intervals import interval

WHY, ROW = "__why", "__row"
"""The columns that a cast adds: what is wrong with the row, and the row as it came, as JSON; or NULL."""
_SQL_TYPES = {
    "bool": "BOOLEAN",
    "int64": "BIGINT",
    "float64": "DOUBLE",
    "string": "VARCHAR",
    "date": "DATE",
    "time": "TIME",
    "timestamp": "TIMESTAMP",
    "timestamptz": "TIMESTAMP WITH TIME ZONE",
    "interval": "INTERVAL",
}
_YEAR = r"(\d{3}[1-9]|\d{2}[1-9]\d|\d[1-9]\d{2}|[1-9]\d{3})"
"""Any but 0, which was a year before."""
_HOUR, _MINUTES = r"([01]\d|2[0-3])", r":\d{2}(:\d{2}(\.\d{1,6})?)?"
_DATE, _CLOCK = rf"{_YEAR}-\d{{2}}-\d{{2}}", rf"\d{{2}}{_MINUTES}"
_ISO = {
    "date": _DATE,
    "time": rf"{_HOUR}{_MINUTES}",
    "timestamp": f"{_DATE}([ T]{_CLOCK})?",
    "timestamptz": rf"{_DATE}[ T]{_CLOCK} ?(Z|[+-]{_HOUR}(:?[0-5]\d)?)",
}


def sql_type(name: str) -> str:
    """DuckDB's name of a configured type."""
    digits = decimal_digits(name)
    return f"DECIMAL({digits[0]},{digits[1]})" if digits else _SQL_TYPES[name]


def cast_query(rows: str, step: Cast, columns: Mapping[str, str]) -> str:
    """SELECT the rows of `rows` with the step's columns cast; `columns` are all there are, with their types.

    Unless errors become NULL, the columns `WHY` and `ROW` come last.
    """
    casts = [
        (name, item)
        for name, item in step.columns.items()
        if item.to == "string" or columns[name] != sql_type(item.to)
    ]
    texts = {name: f"__t{number}" for number, (name, _) in enumerate(casts)}
    values = {name: f"__v{number}" for number, (name, _) in enumerate(casts)}
    inner = "".join(f", {_text(name, item)} AS {texts[name]}" for name, item in casts)
    middle = "".join(
        f", {value(texts[name], item, columns[name], quoted(name))} AS {values[name]}" for name, item in casts
    )
    chosen = [f"{values[name]} AS {quoted(name)}" if name in values else quoted(name) for name in columns]
    if step.on_error is not OnError.NULL:
        chosen += _verdict(casts, texts, values, columns)
    return f"SELECT {', '.join(chosen)} FROM (SELECT *{middle} FROM (SELECT *{inner} FROM {rows}) AS t) AS v"


def _verdict(
    casts: list[tuple[str, ColumnCast]],
    texts: Mapping[str, str],
    values: Mapping[str, str],
    columns: Mapping[str, str],
) -> list[str]:
    if not casts:
        return [f"NULL::VARCHAR AS {WHY}", f"NULL::VARCHAR AS {ROW}"]
    failed = {name: f"{texts[name]} IS NOT NULL AND {values[name]} IS NULL" for name, _ in casts}
    whys = "".join(
        f" WHEN {failed[name]} THEN {literal(f'column {name!r}: ')} || '''' || {texts[name]} || "
        f"{literal(chr(39) + ' is not of type ' + _meaning(item))}"
        for name, item in casts
    )
    fields = ", ".join(f"{quoted(name)} := CAST({quoted(name)} AS VARCHAR)" for name in columns)
    any_failed = " OR ".join(f"({condition})" for condition in failed.values())
    return [
        f"CASE{whys} END AS {WHY}",
        f"CASE WHEN {any_failed} THEN CAST(to_json(struct_pack({fields})) AS VARCHAR) END AS {ROW}",
    ]


def _meaning(item: ColumnCast) -> str:
    return f"{item.to} ({', '.join(item.formats)})" if item.formats else item.to


def _text(name: str, item: ColumnCast) -> str:
    """The column's text without blanks around it; NULL if that means no value."""
    text = f"CAST({quoted(name)} AS VARCHAR)"
    if item.to == "string":
        nulls = [null for null in item.null_values if null != ""]
    else:
        text, nulls = f"trim({text})", [null.strip() for null in item.null_values]
    if not nulls:
        return text
    return f"CASE WHEN {_is_one_of(text, nulls)} THEN NULL ELSE {text} END"


def _is_one_of(text: str, words: Sequence[str]) -> str:
    # Not IN: of a long one DuckDB makes a join, after which rows come in any order, and have wrong numbers.
    return "(" + " OR ".join(f"{text} = {literal(word)}" for word in words) + ")" if words else "false"


def value(text: str, item: ColumnCast, source: str, column: str) -> str:
    """The value of `text` (an SQL name); NULL if it is not of the type."""
    kind = sql_type(item.to)
    if item.to == "string":
        return text
    if item.to == "bool":
        true, false = (
            _is_one_of(f"lower({text})", [word.lower() for word in words])
            for words in (item.true, item.false)
        )
        return f"CASE WHEN {true} THEN true WHEN {false} THEN false END"
    if item.to == "interval":
        return interval(text)
    if item.to in _ISO:
        return _time(text, item, source, column)
    return _number(text, item, kind)


def _number(text: str, item: ColumnCast, kind: str) -> str:
    group, point = (_escaped(sign) for sign in (item.thousands, item.decimal_point))
    whole = rf"([0-9]{{1,3}}({group}[0-9]{{3}})+|[0-9]+)" if group else "([0-9]+)"
    plain = f"replace({text}, {literal(item.thousands)}, '')" if group else text
    plain = f"replace({plain}, {literal(item.decimal_point)}, '.')"
    if item.to == "float64":
        digits = rf"{whole}?({point}[0-9]*)?([eE][+-]?[0-9]+)?|(?i)nan|inf(inity)?"
    elif item.to == "int64":
        digits = whole
    else:
        scale = (decimal_digits(item.to) or (0, 0))[1]
        digits = f"{whole}?({point}[0-9]{{0,{scale}}}0*)?"
    matches = f"regexp_full_match({text}, {literal(f'[+-]?({digits})')})"
    return f"CASE WHEN {matches} THEN TRY_CAST({plain} AS {kind}) END"


def _escaped(sign: str) -> str:
    return f"[{sign}]" if sign and sign not in "^]\\" else f"\\{sign}" if sign else ""


def _time(text: str, item: ColumnCast, source: str, column: str) -> str:
    kind = sql_type(item.to)
    if source in {"DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE"} and item.to != "time":
        if kind == "DATE" or (source, kind) == ("TIMESTAMP", "TIMESTAMP WITH TIME ZONE"):
            zoned = f"{column} AT TIME ZONE {literal(item.zone)}" if item.zone else "NULL"
            midnight = f"CASE WHEN {column} = date_trunc('day', {column}) THEN CAST({column} AS DATE) END"
            return midnight if kind == "DATE" else zoned
        if kind == "TIMESTAMP" and source == "DATE":
            return f"CAST({column} AS TIMESTAMP)"
    if item.formats:
        formats = ", ".join(literal(form) for form in item.formats)
        parsed = f"try_strptime({text}, [{formats}])"
        if any("%Y" in form for form in item.formats):
            parsed = f"CASE WHEN year({parsed}) > 99 THEN {parsed} END"
        if item.to == "timestamptz" and "%z" not in item.formats[0]:
            return f"({parsed}) AT TIME ZONE {literal(item.zone or 'UTC')}"
        return f"CAST({parsed} AS {kind})"
    iso = f"CASE WHEN regexp_full_match({text}, {literal(_ISO[item.to])}) THEN TRY_CAST({text} AS {kind}) END"
    if item.to != "timestamptz" or not item.zone:
        return iso
    is_local = f"regexp_full_match({text}, {literal(_ISO['timestamp'])})"
    zoned = f"TRY_CAST({text} AS TIMESTAMP) AT TIME ZONE {literal(item.zone)}"
    return f"CASE WHEN {is_local} THEN {zoned} ELSE {iso} END"

"""Lengths of time: SQL that reads them from text, and their text when they leave, for no file format has them."""

from collections.abc import Iterator

import pyarrow as pa

from batchctl_etl.tables.statements import literal

_CLOCK = r"[+-]?[0-9]+:[0-5][0-9](:[0-5][0-9](\.[0-9]{1,6})?)?"
_UNITS = "year|month|week|day|hour|minute|second"
_WORDS = rf"(?i)[+-]?[0-9]+ ({_UNITS})s?( [+-]?[0-9]+ ({_UNITS})s?)*( {_CLOCK})?"
_DAYS, _TIME = "([0-9]+Y)?([0-9]+M)?([0-9]+W)?([0-9]+D)?", r"([0-9]+H)?([0-9]+M)?([0-9]+(\.[0-9]{1,6})?S)?"
_ISO = rf"[+-]?P{_DAYS}(T{_TIME})?"
_MICROSECONDS = {"H": 3_600_000_000, "M": 60_000_000}


def interval(text: str) -> str:
    """The interval of `text` (an SQL name): `PT1H30M`, `36:00:00` or `2 days 1 hour`; NULL if it is none."""
    plain = f"regexp_full_match({text}, {literal(f'{_CLOCK}|{_WORDS}')})"
    iso = f"regexp_full_match({text}, {literal(_ISO)}) AND NOT regexp_matches({text}, '[PT]$')"
    bare = f"ltrim({text}, '+-P')"
    words = f"trim({_spelt(f'split_part({bare}, {literal(chr(84))}, 1)', 'Y years M months W weeks D days')} || ' ' || "
    words += f"{_spelt(f'split_part({bare}, {literal(chr(84))}, 2)', 'H hours M minutes S seconds')})"
    length = f"TRY_CAST({words} AS INTERVAL)"
    signed = f"CASE WHEN {text}[1] = '-' THEN -{length} ELSE {length} END"
    return f"CASE WHEN {plain} THEN TRY_CAST({text} AS INTERVAL) WHEN {iso} THEN {signed} END"


def _spelt(text: str, units: str) -> str:
    letters = iter(units.split())
    for letter, word in zip(letters, letters, strict=True):
        text = f"replace({text}, '{letter}', ' {word} ')"
    return text


def intervals_as_text(reader: pa.RecordBatchReader) -> pa.RecordBatchReader:
    """The rows, with intervals as ISO 8601: `P1M2DT3H4M5.5S`."""
    of_time = [field.name for field in reader.schema if field.type == pa.month_day_nano_interval()]
    if not of_time:
        return reader
    schema = pa.schema(
        [field.with_type(pa.string()) if field.name in of_time else field for field in reader.schema]
    )
    return pa.RecordBatchReader.from_batches(schema, _batches(reader, schema))


def _batches(reader: pa.RecordBatchReader, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for batch in reader:
        columns = [
            column
            if column.type == field.type
            else pa.array([item and iso_text(*item) for item in column.to_pylist()], pa.string())
            for column, field in zip(batch.columns, schema, strict=True)
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=schema)


def iso_text(months: int, days: int, nanoseconds: int) -> str:
    """ISO 8601 with a sign for each part, as PostgreSQL reads and writes it. DuckDB counts microseconds."""
    date = "".join(
        f"{count}{unit}" for count, unit in zip([*_divided(months, 12), days], "YMD", strict=True) if count
    )
    microseconds = abs(nanoseconds) // 1000
    time, sign = "", "-" if nanoseconds < 0 else ""
    for unit, size in _MICROSECONDS.items():
        count, microseconds = divmod(microseconds, size)
        time += f"{sign}{count}{unit}" if count else ""
    if microseconds:
        seconds = f"{microseconds // 1_000_000}.{microseconds % 1_000_000:06}".rstrip("0").rstrip(".")
        time += f"{sign}{seconds}S"
    return f"P{date}" + (f"T{time}" if time else "") if date or time else "PT0S"


def _divided(count: int, size: int) -> tuple[int, int]:
    """Quotient and rest, both with the sign of `count`."""
    sign = -1 if count < 0 else 1
    return sign * (abs(count) // size), sign * (abs(count) % size)

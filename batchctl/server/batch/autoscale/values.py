"""The types of the language, and conversions between them.

double is float, doubleVec a tuple of floats, string str, timestamp datetime (UTC), timeinterval timedelta. A metric
stands for its latest value wherever a double is wanted, and a doubleVec of one element for that element: the
published examples do the first (`$CurrentDedicatedNodes * 1.1`), the second is our leniency.
"""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from batchctl.server.batch.autoscale.samples import Metric
from batchctl.server.batch.wire import parse_instant

Vector = tuple[float, ...]
Value = float | Vector | str | datetime | timedelta | Metric

TRUE, FALSE = 1.0, 0.0


def type_name(value: Value) -> str:
    """The language's name of the value's type."""
    names = {
        float: "double",
        tuple: "doubleVec",
        str: "string",
        datetime: "timestamp",
        timedelta: "timeinterval",
    }
    return names.get(type(value), "object")


def plain(value: Value) -> float | Vector | str | datetime | timedelta:
    """The value; a metric as its latest value."""
    return value.current if isinstance(value, Metric) else value


def number(value: Value) -> float:
    """The value as a double. Raises ValueError when it is none."""
    found = plain(value)
    if isinstance(found, tuple) and len(found) == 1:
        return found[0]
    if isinstance(found, float):
        return found
    raise ValueError(f"Cannot convert {type_name(found)} to double")


def numbers(arguments: list[Value]) -> Vector:
    """A doubleVecList as one doubleVec. Raises ValueError for anything else."""
    found: list[float] = []
    for argument in map(plain, arguments):
        found.extend(argument if isinstance(argument, tuple) else (number(argument),))
    return tuple(found)


def timestamp(text: str) -> datetime:
    """A W3C date and time (the date alone will do) or an RFC 1123 one. Raises ValueError."""
    for reading in (text, f"{text}T00:00:00Z", f"{text}-01T00:00:00Z", f"{text}-01-01T00:00:00Z"):
        try:
            return parse_instant(reading)
        except ValueError:
            continue
    moment = parsedate_to_datetime(text)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def shown(value: Value) -> str:
    """The value as the results of a run show it: `[1,2]`, `2016-10-13T19:18:47.805Z`."""
    found = plain(value)
    if isinstance(found, float):
        return f"{found:.15g}"
    if isinstance(found, tuple):
        return f"[{','.join(shown(item) for item in found)}]"
    if isinstance(found, datetime):
        return found.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
    return str(found)

"""How values look on the wire: instants, ISO 8601 durations, entity tags.

Pure functions. This module must not know any resource, read a clock or touch the network.
Instants are kept as fixed-width UTC strings, so that text order is time order.
"""

import re
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from functools import lru_cache
from typing import Any

Doc = dict[str, Any]

TICKS_PER_SECOND = 10_000_000
_TICKS_PER_DAY = 86_400 * TICKS_PER_SECOND
INFINITE_TICKS = 2**63 - 1
INFINITE = "P10675199DT2H48M5.4775807S"

_DURATION = re.compile(
    r"(?P<sign>-)?P(?:(?P<years>\d+)Y)?(?:(?P<months>\d+)M)?(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+)(?:\.(?P<fraction>\d+))?S)?)?",
    re.ASCII,
)
_INSTANT = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?([Zz]|[+-]\d\d:\d\d)?", re.ASCII
)
# int() and float() also take `1_0` and the digits of every script.
_NUMBER_CHARACTERS = frozenset("0123456789+-.eE ")
_YEAR_ONE = datetime(1, 1, 1, tzinfo=UTC)


def integer(text: str) -> int:
    """A decimal number in ASCII digits. Raises ValueError."""
    return int(_number_text(text))


def real(text: str) -> float:
    """A number in ASCII digits, with or without a fraction and an exponent. Raises ValueError."""
    return float(_number_text(text))


def _number_text(text: str) -> str:
    if not _NUMBER_CHARACTERS.issuperset(text):
        raise ValueError(f"not a number: {text!r}")
    return text


@lru_cache(maxsize=1024)
def duration_ticks(text: str) -> int:
    """The length of an ISO 8601 duration in units of 100 ns, at most `INFINITE_TICKS`.

    A year counts 365 days and a month 30, as .NET's XmlConvert does. Raises ValueError for anything else.
    """
    match = _DURATION.fullmatch(text)
    if match is None or text.endswith(("P", "T")):
        raise ValueError(f"not an ISO 8601 duration: {text!r}")
    part = {
        name: int(value) for name, value in match.groupdict("0").items() if name not in ("sign", "fraction")
    }
    days = part["years"] * 365 + part["months"] * 30 + part["weeks"] * 7 + part["days"]
    seconds = part["hours"] * 3600 + part["minutes"] * 60 + part["seconds"]
    fraction = int((match["fraction"] or "0").ljust(7, "0")[:7])
    ticks = min(days * _TICKS_PER_DAY + seconds * TICKS_PER_SECOND + fraction, INFINITE_TICKS)
    return -ticks if match["sign"] else ticks


def duration_text(ticks: int) -> str:
    """The canonical ISO 8601 form of `ticks` (100 ns): days, hours, minutes, seconds, zeros left out."""
    sign, ticks = ("-", -ticks) if ticks < 0 else ("", ticks)
    days, rest = divmod(ticks, _TICKS_PER_DAY)
    seconds, fraction = divmod(rest, TICKS_PER_SECOND)
    hours, seconds = divmod(seconds, 3600)
    minutes, seconds = divmod(seconds, 60)
    date = f"{days}D" if days else ""
    second_text = f"{seconds}.{fraction:07d}".rstrip("0") if fraction else str(seconds)
    time = (f"{hours}H" if hours else "") + (f"{minutes}M" if minutes else "")
    time += f"{second_text}S" if seconds or fraction else ""
    if not date and not time:
        return "PT0S"
    return f"{sign}P{date}" + (f"T{time}" if time else "")


@lru_cache(maxsize=1024)
def duration(text: str | None) -> timedelta | None:
    """`text` as a timedelta; None when it is absent or infinite."""
    if text is None or text == INFINITE:
        return None
    return timedelta(microseconds=duration_ticks(text) // 10)


@lru_cache(maxsize=1024)
def instant_text(moment: datetime) -> str:
    """`moment` (aware) as the service writes it: UTC, seven digits of a second, `Z`."""
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return moment.isoformat(timespec="microseconds")[:-6] + "0Z"


@lru_cache(maxsize=1024)
def moment_of(text: str) -> datetime:
    """The moment that `instant_text` wrote. What others write is for `parse_instant`."""
    return datetime.fromisoformat(text)


@lru_cache(maxsize=1024)
def parse_instant(text: str) -> datetime:
    """An RFC 3339 instant; a missing zone means UTC. Raises ValueError."""
    match = _INSTANT.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"not an RFC 3339 instant: {text!r}")
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    micro = int((fraction or "0").ljust(6, "0")[:6])
    moment = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second or 0), micro, UTC)
    if zone and zone not in "Zz":
        away = timedelta(hours=int(zone[1:3]), minutes=int(zone[4:6]))
        moment -= away if zone[0] == "+" else -away
    return moment


def after(start: str, length: str | None) -> str | None:
    """The instant `length` (ISO 8601) after the instant `start`; None when that is never."""
    span = duration(length)
    if span is None:
        return None
    try:
        return instant_text(moment_of(start) + span)
    except OverflowError:
        return None


def http_date(text: str) -> str:
    """A wire instant as an RFC 1123 date, for headers."""
    return format_datetime(moment_of(text).replace(microsecond=0), usegmt=True)


def parse_http_date(text: str) -> datetime:
    """An RFC 1123 date from a header. Raises ValueError."""
    moment = parsedate_to_datetime(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@lru_cache(maxsize=64)  # a new job and its first task have the same
def next_etag(now: datetime, previous: str | None = None) -> str:
    """An entity tag like the service's (`0x8D…`: .NET ticks in hex), never equal to `previous`."""
    passed = now - _YEAR_ONE
    ticks = (passed.days * 86_400 + passed.seconds) * TICKS_PER_SECOND + passed.microseconds * 10
    if previous:
        ticks = max(ticks, int(previous, 16) + 1)
    return f"0x{ticks:X}"

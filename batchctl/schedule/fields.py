"""One field of a cron line: its grammar, its limits, and what is wrong with it.

The rules are those of Debian's cron 3.0pl1 (`entry.c`: `get_list`, `get_range`, `get_number`). Stricter in
two places, where that program takes a line and does not do what it says: text after a number or range
(`5#2`, `1-3-5`), which it ignores, and ranges that run backwards (`fri-mon`), which it reads as nothing.
This module must not know what fields mean together.
"""

import re
from enum import StrEnum


class Field(StrEnum):
    """The fields in their order on the line, and LINE for what concerns them all."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day of month"
    MONTH = "month"
    WEEKDAY = "day of week"
    LINE = "line"


class CronError(ValueError):
    """A cron line that cannot be used: the `field`, what is wrong, and what to write instead (may be empty)."""

    def __init__(self, field: Field, message: str, *, hint: str = "") -> None:
        super().__init__(message if field is Field.LINE else f"{field}: {message}")
        self.field = field
        self.message = message
        self.hint = hint


LIMITS = {
    Field.MINUTE: (0, 59),
    Field.HOUR: (0, 23),
    Field.DAY: (1, 31),
    Field.MONTH: (1, 12),
    Field.WEEKDAY: (0, 7),
}
_NAMES = {
    Field.MONTH: ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
    Field.WEEKDAY: ("sun", "mon", "tue", "wed", "thu", "fri", "sat"),
}
# At most nine digits: int() refuses very long ones with an error of its own.
_ITEM = re.compile(r"(?:\*|(?P<low>\w{1,9})(?:-(?P<high>\w{1,9}))?)(?:/(?P<step>\w{1,9}))?", re.ASCII)
_FOREIGN = (
    "cron has numbers, names, *, ranges (1-5), lists (1,3) and steps (*/10, 0-30/10); no ?, L, W, # or H"
)


def field_values(field: Field, text: str) -> frozenset[int]:
    """The values `text` allows in `field`; Sunday may be 0 or 7 here. Raises CronError."""
    return frozenset(value for item in text.split(",") for value in _item_values(field, item))


def _item_values(field: Field, item: str) -> range:
    if not item:
        raise CronError(field, "an item of the list is empty", hint="remove the stray comma")
    match = _ITEM.fullmatch(item)
    if match is None:
        raise CronError(field, f"{item!r} is not cron syntax", hint=_FOREIGN)
    first, last = LIMITS[field]
    low = high = None
    if match["low"]:
        low = high = _number(field, match["low"])
    if match["high"]:
        high = _number(field, match["high"])
    if match["step"] and low is not None and not match["high"]:
        raise CronError(
            field, f"{item!r} has a step but no range", hint=f"write {low}-{last}/{match['step']}"
        )
    if low is None or high is None:
        return range(first, last + 1, _step(field, match["step"]))
    if low > high:
        raise CronError(
            field,
            f"range {item!r} runs backwards",
            hint=f"write {low}-{last},{first}-{high} if that is meant",
        )
    return range(low, high + 1, _step(field, match["step"]))


def _number(field: Field, text: str) -> int:
    names = _NAMES.get(field, ())
    first, last = LIMITS[field]
    if text.lower() in names:
        return names.index(text.lower()) + first
    if not text.isdecimal():
        hint = f"names have three letters: {', '.join(names)}" if names else _FOREIGN
        raise CronError(field, f"{text!r} is not a number{' or a name' if names else ''}", hint=hint)
    if not first <= int(text) <= last:
        raise CronError(field, f"{int(text)} is outside {first}-{last}")
    return int(text)


def _step(field: Field, text: str | None) -> int:
    if text is None:
        return 1
    if not text.isdecimal():
        raise CronError(field, f"step {text!r} is not a number")
    if int(text) == 0:
        raise CronError(field, "the step is 0", hint="the smallest step is 1")
    return int(text)

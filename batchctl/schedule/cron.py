"""A cron line as a value: the minutes, hours, days and months it names, and the two rules about stars.

The rules are those of Debian's cron 3.0pl1 (`entry.c` for the line, `cron.c` `find_jobs` for the stars). A
line here is the five time fields or an @shortcut, without a command. This module must not know time zones
or dates.
"""

import re
from dataclasses import dataclass
from functools import cached_property

from batchctl.schedule.fields import CronError, Field, field_values

_SHORTCUTS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_LONGEST_MONTH = {2: 29, 4: 30, 6: 30, 9: 30, 11: 30}


@dataclass(frozen=True, kw_only=True)
class Cron:
    """A parsed line; every tuple is sorted and not empty."""

    text: str
    """The line as it was written."""
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...]
    """Days of the month, 1 to 31."""
    months: tuple[int, ...]
    weekdays: tuple[int, ...]
    """0 is Sunday, 6 is Saturday."""
    either: bool
    """Whether one matching day field is enough; both must match if either starts with `*`, even as `*/2`."""
    elapsed: bool
    """Whether the line follows elapsed time when clocks change: its minute or hour field starts with `*`."""

    @cached_property
    def times(self) -> tuple[int, ...]:
        """The minutes of a day at which it fires, counted from midnight, sorted."""
        return tuple(hour * 60 + minute for hour in self.hours for minute in self.minutes)

    @cached_property
    def weekly(self) -> tuple[int, ...] | None:
        """The weekdays it fires on in every week of the calendar, or None if the date matters."""
        all_days, all_weekdays = len(self.days) == 31, len(self.weekdays) == 7
        if len(self.months) < 12:
            return None
        if self.either:
            return tuple(range(7)) if all_days or all_weekdays else None
        return self.weekdays if all_days else None


def parse(text: str) -> Cron:
    """The line as a value. Raises CronError with the field for what cron rejects and what never fires."""
    stripped = text.strip(" \t")
    line = _expanded(stripped) if stripped.startswith("@") else stripped
    words = re.split(r"[ \t]+", line) if line else []
    if len(words) != 5:
        hint = "minute, hour, day of month, month, day of week: cron has no field for seconds or years"
        raise CronError(Field.LINE, f"{len(words)} fields instead of 5", hint=hint)
    values = {field: field_values(field, word) for field, word in zip(Field, words, strict=False)}
    minute, hour, day, _, weekday = words
    cron = Cron(
        text=text,
        minutes=tuple(sorted(values[Field.MINUTE])),
        hours=tuple(sorted(values[Field.HOUR])),
        days=tuple(sorted(values[Field.DAY])),
        months=tuple(sorted(values[Field.MONTH])),
        weekdays=tuple(sorted({value % 7 for value in values[Field.WEEKDAY]})),
        either=not (day.startswith("*") or weekday.startswith("*")),
        elapsed=minute.startswith("*") or hour.startswith("*"),
    )
    if not cron.either and all(cron.days[0] > _LONGEST_MONTH.get(month, 31) for month in cron.months):
        message = f"no month the line names has a day {cron.days[0]}: it never fires"
        raise CronError(Field.DAY, message, hint="use 28 for the last day all months have")
    return cron


def _expanded(shortcut: str) -> str:
    if shortcut == "@reboot":
        hint = "run the pipeline by hand, or give it a time"
        raise CronError(Field.LINE, "@reboot has no meaning here: no machine starts", hint=hint)
    if shortcut not in _SHORTCUTS:
        raise CronError(
            Field.LINE, f"{shortcut!r} is not a shortcut", hint=f"cron knows {', '.join(_SHORTCUTS)}"
        )
    return _SHORTCUTS[shortcut]

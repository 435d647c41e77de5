"""Which runs a backfill needs. Pure: occurrences or parameter values in, slots out."""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from enum import StrEnum

from batchctl.errors import UsageError
from batchctl.plan.expand import run_id
from batchctl.plan.pipeline import Pipeline, digest
from batchctl.schedule import Window, occurrences
from batchctl.spec.templates import iso

MAX_SLOTS = 10_000


class Reprocess(StrEnum):
    """Which slots that had a run get another one."""

    NONE = "none"
    FAILED = "failed"
    ALL = "all"


@dataclass(frozen=True, kw_only=True)
class Slot:
    """One run that should be there: an occurrence, or a combination of parameter values."""

    scheduled_at: datetime
    given: Mapping[str, str]
    """Parameters of the run, as `-p` gives them."""
    by_parameters: bool = False
    """Whether the parameters tell it apart, and not the occurrence."""

    def run_id(self, name: str, attempt: int) -> str:
        """The id of its run number `attempt` (from 1): always the same, so a second backfill finds what the first began."""
        if not self.given:
            return run_id(name, self.scheduled_at, f"b{attempt}")
        what = [dict(self.given), None if self.by_parameters else iso(self.scheduled_at)]
        return f"{name}-{digest(what)[:16]}-b{attempt}"


def slots_of_dates(
    pipeline: Pipeline, start: str, end: str, given: Mapping[str, str], *, now: datetime
) -> list[Slot]:
    """A slot for each occurrence from `start` to `end`: dates in the schedule's zone, both included, or ISO 8601 moments, the
    last one not included. Of today, what has been so far. Raises UsageError, also for a time to come."""
    schedule = pipeline.spec.schedule
    if schedule is None:
        raise UsageError(
            f"{pipeline.spec.name} has no schedule, so dates name no runs",
            hint="--for NAME=VALUES, for a parameter",
        )
    first = _moment(start, "--from", schedule.zone, end_of_day=False)
    last = _moment(end, "--to", schedule.zone, end_of_day=True)
    if last <= first:
        raise UsageError(f"--to {end} is before --from {start}")
    last_begins = _moment(end, "--to", schedule.zone, end_of_day=False)
    for option, text, begins in (("--from", start, first), ("--to", end, last_begins)):
        if begins > now:
            raise UsageError(
                f"{option} {text} is in the future: what has not been yet cannot be filled in",
                hint="schedule apply",
            )
    window = Window(start=first, end=min(last, now))
    found = occurrences(schedule.line, schedule.zone, schedule.dst_rule, window)
    _refuse_too_many(len(found))
    return [Slot(scheduled_at=at, given=given) for at in found]


def _refuse_too_many(count: int) -> None:
    if count > MAX_SLOTS:
        raise UsageError(f"{count:,} runs; a backfill has at most {MAX_SLOTS:,}", hint="name a shorter range")


def slots_of_values(
    ranges: Sequence[str], given: Mapping[str, str], *, scheduled_at: datetime, today: date
) -> list[Slot]:
    """A slot for each combination of the values in `ranges` (texts `name=a,b` or `name=2024-01..2024-06`).

    Raises UsageError, also for a month or a day to come.
    """
    axes: dict[str, list[str]] = {}
    for text in ranges:
        name, separator, wanted = text.partition("=")
        if not separator or not wanted:
            raise UsageError(f"--for {text}: this is not NAME=VALUES", hint="--for month=2024-01..2024-06")
        if name in given or name in axes:
            raise UsageError(f"--for {name}: this parameter is given already", hint="once, by -p or by --for")
        parts = [part.strip() for part in wanted.split(",")]
        if "" in parts:
            raise UsageError(f"--for {text}: there is an empty value", hint="--for code=A,B")
        axes[name] = list(dict.fromkeys(value for part in parts for value in _values(part, text, today)))
    combinations = [dict(zip(axes, row, strict=True)) for row in itertools.product(*axes.values())]
    _refuse_too_many(len(combinations))
    return [
        Slot(scheduled_at=scheduled_at, given={**given, **one}, by_parameters=True) for one in combinations
    ]


def _values(text: str, option: str, today: date) -> Iterator[str]:
    first, separator, last = text.partition("..")
    kinds = ((r"\d{4}-\d\d-\d\d", _days), (r"\d{4}-\d\d", _months), (r"-?\d+", _numbers))
    for pattern, expand in kinds:
        if re.fullmatch(pattern, first) and (not separator or re.fullmatch(pattern, last)):
            try:
                found = list(itertools.islice(expand(first, last or first), MAX_SLOTS + 1))
            except ValueError as error:
                raise UsageError(f"--for {option}: {error}") from None
            if not found:
                raise UsageError(f"--for {option}: {last} is before {first}")
            is_time = expand is not _numbers or (option.startswith("year=") and len(first) == 4)
            if is_time and found[-1] > today.isoformat()[: len(first)]:
                raise UsageError(f"--for {option}: {found[-1]} is in the future")
            yield from found
            return
    if separator:
        raise UsageError(f"--for {option}: a range is of days, months or numbers", hint="2024-01..2024-06")
    yield text


def _days(first: str, last: str) -> Iterator[str]:
    day = date.fromisoformat(first)
    while day <= date.fromisoformat(last):
        yield day.isoformat()
        day += timedelta(days=1)


def _months(first: str, last: str) -> Iterator[str]:
    month, end = date.fromisoformat(f"{first}-01"), date.fromisoformat(f"{last}-01")
    while month <= end:
        yield month.isoformat()[:7]
        month = (month + timedelta(days=31)).replace(day=1)


def _numbers(first: str, last: str) -> Iterator[str]:
    return (str(number) for number in range(int(first), int(last) + 1))


def _moment(text: str, option: str, zone: tzinfo, *, end_of_day: bool) -> datetime:
    try:
        if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
            if not 1970 <= int(text[:4]) <= 2200:
                raise UsageError(f"{option} {text}: years are from 1970 to 2200")
            day = date.fromisoformat(text) + timedelta(days=1 if end_of_day else 0)
            return datetime.combine(day, time(), zone).astimezone(UTC)
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{option} {text}: this is no date", hint=f"{option} 2026-01-31") from None
    return (moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)).replace(
        microsecond=0
    )

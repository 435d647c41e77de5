"""`batchctl schedule next` and `explain`: what a cron line means, before anything is applied. They need no target."""

from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from batchctl.cli import console
from batchctl.cli.options import Form, Output, moment
from batchctl.errors import UsageError

if TYPE_CHECKING:
    from batchctl.spec.schedule import Schedule

MaybeSpec = Annotated[
    Path | None, typer.Argument(metavar="[SPEC]", readable=False, help="A jobspec file.", show_default=False)
]
CronLine = Annotated[
    str | None, typer.Option("--cron", help="A cron line, instead of a jobspec.", metavar="LINE")
]
Zone = Annotated[str | None, typer.Option("--timezone", help="Its time zone; default UTC.", metavar="ZONE")]
MissingRule = Annotated[
    Literal["shift", "skip"] | None, typer.Option("--missing", help="A time the clock skips: shift or skip.")
]
DuplicateRule = Annotated[
    Literal["first", "both"] | None,
    typer.Option("--duplicate", help="A time the clock shows twice: first or both."),
]
After = Annotated[
    str | None,
    typer.Option("--after", help="What comes after this moment, ISO 8601; default now.", metavar="ISO"),
]


def show_next(
    spec: MaybeSpec = None,
    cron: CronLine = None,
    timezone: Zone = None,
    missing: MissingRule = None,
    duplicate: DuplicateRule = None,
    after: After = None,
    count: Annotated[int, typer.Option("-n", min=1, max=10000, help="How many.")] = 10,
    output: Output = Form.TABLE,
) -> None:
    """Show the next occurrences, in UTC and on the wall clock; days on which clocks change are marked."""
    from batchctl.schedule import CronError, following

    schedule = _schedule(spec, cron, timezone, missing, duplicate)
    start = moment(after, "--after") or datetime.now(UTC)
    try:
        found = following(schedule.line, schedule.zone, schedule.dst_rule, start, count)
    except CronError as error:
        raise UsageError(f"{schedule.cron}: {error.message}", hint=error.hint) from None
    if output is not Form.TABLE:
        console.structured(
            [{"utc": console.utc(at), "local": at.astimezone(schedule.zone).isoformat()} for at in found],
            output,
        )
        return
    console.table(("utc", "local", ""), [[console.utc(at), *_local(at, schedule)] for at in found])


def explain(
    spec: MaybeSpec = None,
    cron: CronLine = None,
    timezone: Zone = None,
    missing: MissingRule = None,
    duplicate: DuplicateRule = None,
    after: After = None,
    budget: Annotated[
        int | None, typer.Option("--budget", min=1, max=100, help="How many job schedules it may take.")
    ] = None,
    output: Output = Form.TABLE,
) -> None:
    """Show the Azure Batch recurrences whose firings are exactly the cron line's occurrences.

    Exit code 4 if they are more than the budget.
    """
    from batchctl.schedule import Window, decompose, occurrences
    from batchctl.spec.model import iso_duration

    schedule = _schedule(spec, cron, timezone, missing, duplicate)
    start = moment(after, "--after") or datetime.now(UTC).replace(microsecond=0)
    moment_itself = Window(start=start, end=start + timedelta(seconds=1))
    if occurrences(schedule.line, schedule.zone, schedule.dst_rule, moment_itself):
        start += timedelta(minutes=1)  # what `next` shows comes after it
    found = decompose(
        schedule.line, schedule.zone, schedule.dst_rule, after=start, budget=budget or schedule.budget
    )
    rows: list[dict[str, Any]] = [
        {
            "start": console.utc(one.start),
            "interval": iso_duration(one.interval) if one.interval is not None else None,
            "end": console.utc(one.end) if one.end is not None else None,
        }
        for one in found.recurrences
    ]
    horizon = console.utc(found.horizon_end) if found.horizon_end is not None else None
    if output is not Form.TABLE:
        console.structured({"recurrences": rows, "horizon_end": horizon, "tzdata": found.tzdata}, output)
        return
    console.table(("start", "interval", "end"), [[v or "-" for v in row.values()] for row in rows])
    until = f"until {horizon}" if horizon else "for ever"
    noun = "schedule" if len(rows) == 1 else "schedules"
    console.answer(f"\n{len(rows)} {noun}, exact {until} (tzdata {found.tzdata})")


def _schedule(
    spec: Path | None,
    cron: str | None,
    timezone: str | None,
    missing: str | None,
    duplicate: str | None,
) -> "Schedule":
    from pydantic import ValidationError

    from batchctl.schedule import Duplicate, Missing
    from batchctl.spec import load
    from batchctl.spec.schedule import Dst, Schedule

    if (spec is None) == (cron is None):
        raise UsageError(
            "give a jobspec or --cron, one of them", hint='--cron "0 6 * * *" --timezone Europe/Berlin'
        )
    if spec is not None:
        if timezone or missing or duplicate:
            raise UsageError(
                "--timezone, --missing and --duplicate go with --cron", hint="the jobspec has its own"
            )
        found = load(spec).schedule
        if found is None:
            raise UsageError(f"{spec} has no schedule", hint="schedule: {cron: …}")
        return found
    dst = Dst(
        missing=Missing(missing) if missing else None, duplicate=Duplicate(duplicate) if duplicate else None
    )
    try:
        return Schedule(cron=cron or "", timezone=timezone or "UTC", dst=dst)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        hint = str(first.get("ctx", {}).get("hint", ""))
        raise UsageError(
            f"--{first['loc'][0]}: {first['msg']}", hint=hint or "five fields, as in cron(5)"
        ) from None


def _local(at: datetime, schedule: "Schedule") -> tuple[str, str]:
    local = at.astimezone(schedule.zone)
    midnights = [datetime.combine(local.date() + timedelta(days=n), time(), schedule.zone) for n in (0, 1)]
    changes = midnights[0].utcoffset() != midnights[1].utcoffset()
    return local.strftime("%a %Y-%m-%d %H:%M %Z"), "clocks change" if changes else ""

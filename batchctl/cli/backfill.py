"""`batchctl backfill SPEC`"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from batchctl.cli import console
from batchctl.cli.options import (
    Form,
    Output,
    Parameters,
    Runtime,
    Spec,
    Target,
    given_parameters,
    settings_for,
    tell_of_missing_engine,
    tell_of_waiting,
)
from batchctl.errors import Interrupted, RunFailed, Unreachable, UsageError

if TYPE_CHECKING:
    from batchctl.plan.backfill import Reprocess
    from batchctl.targets.settings import Settings
    from batchctl.workflows.backfill import Filled


def backfill(
    spec: Spec,
    start: Annotated[
        str | None, typer.Option("--from", help="First day, in the schedule's zone.", metavar="D")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="Last day, included.", metavar="D")] = None,
    values: Annotated[
        list[str] | None,
        typer.Option(
            "--for", help="Instead of days: a parameter's values, year=2020..2024.", metavar="NAME=VALUES"
        ),
    ] = None,
    parameters: Parameters = None,
    max_active: Annotated[
        int, typer.Option("--max-active", min=1, max=1000, help="How many runs at once.")
    ] = 4,
    reprocess: Annotated[
        Literal["none", "failed", "all"],
        typer.Option("--reprocess", help="Which occurrences that had a run get another one."),
    ] = "none",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List what would run, and how each stands.")
    ] = False,
    target: Target = None,
    runtime: Runtime = None,
    output: Output = Form.TABLE,
) -> None:
    """Run a pipeline for occurrences of the past, or for a range of a parameter's values.

    What has a run keeps it, so the same command again goes on where it was interrupted. Exit code 6 if a run fails.
    """
    from batchctl.cli.live import pause
    from batchctl.plan.backfill import Reprocess, slots_of_dates, slots_of_values
    from batchctl.plan.expand import parameter_values
    from batchctl.report import RunState
    from batchctl.spec import load
    from batchctl.workflows.backfill import backfill as fill
    from batchctl.workflows.backfill import survey
    from batchctl.workflows.target import open_batch, pipeline, prepare_lake

    given, again = given_parameters(parameters), Reprocess(reprocess)
    settings = settings_for(target, spec, runtime)
    tell_of_missing_engine(settings)
    wanted = pipeline(load(spec), spec, settings)
    now = datetime.now(UTC).replace(microsecond=0)
    if values:
        if start or end:
            raise UsageError("--for stands instead of --from and --to")
        slots = slots_of_values(
            values, given, scheduled_at=now.replace(hour=0, minute=0, second=0), today=now.date()
        )
    elif start and end:
        slots = slots_of_dates(wanted, start, end, given, now=now)
    else:
        raise UsageError("give --from and --to, or --for", hint="--from 2026-01-01 --to 2026-01-31")
    for slot in slots:
        parameter_values(wanted.spec, slot.given)
    if dry_run:
        with open_batch(settings, console.story) as batch:
            _print(survey(batch, wanted, slots), again, output)
        return
    tell_of_waiting(wanted, settings)

    prepare_lake(settings)

    def filled() -> "list[Filled]":
        with open_batch(settings, console.story) as batch:
            found = survey(batch, wanted, slots)
            return fill(
                batch, wanted, found, reprocess=again, max_active=max_active,
                sleep=pause, story=console.story,
            )  # fmt: skip

    try:
        done = _restarted(filled, settings, is_repeatable=again is Reprocess.NONE)
    except KeyboardInterrupt:
        raise Interrupted(
            "no more runs are started; those that are going go on", hint="the same command again"
        ) from None
    _print(done, None, output)
    failed = [one for one in done if one.state in (RunState.FAILED, RunState.CANCELLED)]
    if failed:
        raise RunFailed(
            f"{len(failed)} of {len(done)} runs did not succeed",
            run=failed[0].run,
            hint=f"batchctl logs {failed[0].run} --failed; then the same command with --reprocess failed",
        )


def _restarted(
    filled: "Callable[[], list[Filled]]", settings: "Settings", *, is_repeatable: bool
) -> "list[Filled]":
    """What `filled` answers; again if the local service died meanwhile: what it ran goes on when it is started again."""
    try:
        return filled()
    except Unreachable as error:
        if not is_repeatable or not settings.target.is_local or settings.target.endpoint:
            raise Unreachable(error.message, hint="the same command again goes on from here") from error
    return filled()


def _print(found: "Sequence[Filled]", reprocess: "Reprocess | None", output: Form) -> None:
    rows: list[dict[str, Any]] = []
    for one in found:
        row: dict[str, Any] = {"occurrence": console.utc(one.slot.scheduled_at)}
        if one.slot.by_parameters:
            row = {"parameters": " ".join(f"{name}={value}" for name, value in one.slot.given.items())}
        row |= {"state": str(one.state) if one.state else None, "run": one.run or None}
        if reprocess is not None:
            row["action"] = "run" if one.wants_run(reprocess) else "keep"
        rows.append(row)
    if output is not Form.TABLE:
        console.structured(rows, output)
    elif rows:
        console.table(list(rows[0]), [["-" if v is None else v for v in row.values()] for row in rows])
    else:
        console.story("there are no occurrences in that time")

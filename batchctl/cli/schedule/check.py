"""`batchctl schedule check`: a dead-man's switch."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer

from batchctl.cli import console
from batchctl.cli.options import Form, Output, Target, duration, settings_for

PROBLEMS_FOUND = 6

Pipelines = Annotated[
    list[str] | None,
    typer.Argument(metavar="[PIPELINE...]", help="Only these pipelines.", show_default=False),
]


def check(
    pipelines: Pipelines = None,
    max_late: Annotated[
        str, typer.Option("--max-late", help="A run that begins later than this is late.", metavar="D")
    ] = "15m",
    horizon: Annotated[
        str | None,
        typer.Option(
            "--horizon",
            help="Schedules must reach at least this far.",
            metavar="D",
            show_default="7d, or a quarter of what they were made for",
        ),
    ] = None,
    since: Annotated[str, typer.Option("--since", help="How far to look back.", metavar="D")] = "1d",
    target: Target = None,
    output: Output = Form.TABLE,
) -> None:
    """Check that everything that should have run did. Exit code 6 when an occurrence has no run, a run began late or
    waits for nodes that do not come, or the schedules of a pipeline end soon.

    Durations: 15m, 2h, 7d, or ISO 8601.
    """
    from batchctl.report.occurrences import Fate
    from batchctl.workflows.schedules import deployed, history
    from batchctl.workflows.target import open_batch
    from batchctl.workflows.watch import stuck_runs

    late, ahead, back = (
        duration(max_late, "--max-late"),
        duration(horizon, "--horizon") if horizon is not None else None,
        duration(since, "--since"),
    )
    now = datetime.now(UTC)
    wanted: Sequence[str | None] = pipelines or [None]
    problems: list[dict[str, str]] = []
    checked = 0
    with open_batch(settings_for(target), console.story) as batch:
        for name in wanted:
            for found in deployed(batch, name, now=now):
                if found.is_deleted:
                    continue
                checked += 1
                if not found.live:
                    what = f"none of its schedules fires any more: batchctl schedule sync {found.name}"
                    problems.append({"pipeline": found.name, "problem": "ended", "what": what})
                    continue
                occurrences, jobs = history(batch, found, now=now, max_late=late, look_back=back)
                for run, why in stuck_runs(batch, jobs, now=now, max_late=late):
                    problems.append({"pipeline": found.name, "problem": "stuck", "what": f"{run}: {why}"})
                for one in occurrences:
                    at = console.utc(one.at)
                    if one.fate is Fate.MISSED:
                        problems.append(
                            {"pipeline": found.name, "problem": "missed", "what": f"{at} has no run"}
                        )
                    elif one.fate is Fate.LATE and one.started_at is not None:
                        begun = console.utc(one.started_at)
                        problems.append(
                            {
                                "pipeline": found.name,
                                "problem": "late",
                                "what": f"{at}: {one.run} began at {begun}",
                            }
                        )
                end = found.horizon_end
                if end is not None and end - now < (found.least_ahead if ahead is None else ahead):
                    what = f"its schedules end at {end:%Y-%m-%dT%H:%MZ}: batchctl schedule sync {found.name}"
                    problems.append({"pipeline": found.name, "problem": "horizon", "what": what})
    if not checked:
        problems.append(
            {"pipeline": "-", "problem": "nothing", "what": "no pipeline is scheduled, so nothing is checked"}
        )
    if output is not Form.TABLE:
        console.structured({"checked": checked, "problems": problems}, output)
    elif problems:
        console.table(("pipeline", "problem", "what"), [list(problem.values()) for problem in problems])
    else:
        console.answer(f"{checked} {'pipeline' if checked == 1 else 'pipelines'} checked, nothing missed")
    if problems:
        raise typer.Exit(PROBLEMS_FOUND)

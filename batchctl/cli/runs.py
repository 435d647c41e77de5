"""`batchctl runs`"""

from datetime import UTC, datetime
from typing import Annotated

import typer

from batchctl.cli import console
from batchctl.cli.options import Form, Output, Target, settings_for

Name = Annotated[
    str | None,
    typer.Argument(metavar="[PIPELINE]", help="Only the runs of this pipeline.", show_default=False),
]


def runs(
    pipeline: Name = None,
    last: Annotated[int, typer.Option("--last", "-n", min=1, max=1000, help="How many runs.")] = 20,
    target: Target = None,
    output: Output = Form.TABLE,
) -> None:
    """List runs, the latest first."""
    from batchctl.workflows.target import open_batch
    from batchctl.workflows.watch import list_runs

    with open_batch(settings_for(target), console.story) as batch:
        found = list_runs(batch, pipeline, last, now=datetime.now(UTC))
    if output is not Form.TABLE:
        console.structured([line.as_json() for line in found], output)
        return
    if not found:
        console.story("there are no runs" + (f" of {pipeline}" if pipeline else ""))
        return
    head = ("run", "state", "scheduled at", "started", "finished", "tasks", "failed")
    console.table(
        head,
        [
            [
                r.run,
                r.state,
                r.scheduled_at or "-",
                _short(r.started_at),
                _short(r.finished_at),
                str(r.tasks),
                str(r.failed),
            ]
            for r in found
        ],
    )


def _short(moment: datetime | None) -> str:
    return console.utc(moment) if moment else "-"

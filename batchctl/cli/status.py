"""`batchctl status RUN`"""

from datetime import UTC, datetime

from batchctl.cli import console
from batchctl.cli.options import Form, Output, RunName, Target, settings_for
from batchctl.errors import UsageError


def status(run: RunName, target: Target = None, output: Output = Form.TABLE) -> None:
    """Show how a run stands: each task's state, exit code, time and rows.

    A run that the service has forgotten is told from its records in the lake.
    """
    from batchctl.cli.live import report_table
    from batchctl.targets.lake import open_lake
    from batchctl.workflows.recorded import find_recorded, recorded_report
    from batchctl.workflows.target import open_batch
    from batchctl.workflows.watch import find_run, report

    settings = settings_for(target)
    lake = open_lake(f"{settings.lake}runs/")
    with open_batch(settings, console.story) as batch:
        try:
            found = report(batch, lake, find_run(batch, run, now=datetime.now(UTC)))
        except UsageError:
            name = find_recorded(lake, run)
            if name is None:
                raise
            found = recorded_report(lake, name)
    if output is not Form.TABLE:
        console.structured(found.as_json(), output)
        return
    console.answer(f"run {found.run} {console.painted(found.verdict.state)}")
    if found.scheduled_at:
        console.answer(f"scheduled at {found.scheduled_at}")
    if found.verdict.why:
        console.answer(found.verdict.why)
    console.answer("")
    report_table(found)

"""`batchctl wait RUN`"""

from datetime import UTC, datetime

from batchctl.cli import console
from batchctl.cli.options import Form, Output, RunName, Target, settings_for
from batchctl.errors import UsageError


def wait(run: RunName, target: Target = None, output: Output = Form.TABLE) -> None:
    """Wait for the end of a run. Exit code 6 if it fails."""
    from batchctl.cli.run import last_lines, tell_end, wait_for
    from batchctl.targets.lake import open_lake
    from batchctl.workflows.logs import TaskLog
    from batchctl.workflows.recorded import FORGOTTEN, find_recorded, recorded_report
    from batchctl.workflows.target import open_batch
    from batchctl.workflows.watch import find_run

    settings = settings_for(target)
    with open_batch(settings, console.story) as batch:
        try:
            name = find_run(batch, run, now=datetime.now(UTC))
        except UsageError:
            lake = open_lake(f"{settings.lake}runs/")
            forgotten = find_recorded(lake, run)
            if forgotten is None:
                raise
            console.story(f"{forgotten}: {FORGOTTEN}")
            found = recorded_report(lake, forgotten)
            task = found.verdict.task
            tell_end(found, last_lines(TaskLog(None, lake, forgotten, task)) if task else "", output)
            return
        wait_for(batch, settings, name, output)

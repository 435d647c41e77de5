"""`batchctl cancel RUN`"""

from datetime import UTC, datetime

from batchctl.cli import console
from batchctl.cli.options import RunName, Target, settings_for


def cancel(run: RunName, target: Target = None) -> None:
    """End a run: its running tasks are stopped, the others never start. One that is over stays as it is."""
    from batchctl.workflows.run import remove_run_pool
    from batchctl.workflows.target import open_batch
    from batchctl.workflows.watch import find_run, report

    with open_batch(settings_for(target), console.story) as batch:
        name = find_run(batch, run, now=datetime.now(UTC))
        found = report(batch, None, name, look_at_pool=False)
        if not found.is_over:
            batch.terminate_job(name, "UserTerminate")
        remove_run_pool(batch, name)
        if found.is_over:
            console.story(f"run {name} is over: {found.verdict.state}")
        else:
            console.answer(f"run {name} is being cancelled")

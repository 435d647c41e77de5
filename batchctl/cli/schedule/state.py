"""`batchctl schedule pause`, `resume` and `delete`"""

from datetime import UTC, datetime
from typing import Annotated

import typer

from batchctl.cli import console
from batchctl.cli.options import Pipeline, Target, settings_for


def pause(pipeline: Pipeline, target: Target = None) -> None:
    """Keep a pipeline from running by itself, until `resume`. A run that is going goes on."""
    from batchctl.workflows.schedules import deployed
    from batchctl.workflows.schedules import pause as pause_schedules
    from batchctl.workflows.target import open_batch

    now = datetime.now(UTC)
    with open_batch(settings_for(target), console.story) as batch:
        (found,) = deployed(batch, pipeline, now=now)
        changed = pause_schedules(batch, found, now=now)
    console.answer(f"{pipeline} is paused" if changed else f"{pipeline} was paused already")


def resume(pipeline: Pipeline, target: Target = None) -> None:
    """Let a paused pipeline run by itself again. What fell due meanwhile, and is still in its start_window, runs at once."""
    from batchctl.workflows.schedules import deployed
    from batchctl.workflows.schedules import resume as resume_schedules
    from batchctl.workflows.target import open_batch

    now = datetime.now(UTC)
    with open_batch(settings_for(target), console.story) as batch:
        (found,) = deployed(batch, pipeline, now=now)
        changed = resume_schedules(batch, found, now=now)
    console.answer(f"{pipeline} is active" if changed else f"{pipeline} was active already")


def delete(
    pipeline: Pipeline,
    target: Target = None,
    history: Annotated[
        bool,
        typer.Option("--history", help="Delete the ended job schedules too, with the list of their runs."),
    ] = False,
) -> None:
    """End a pipeline's job schedules and delete its own pool. Its runs stay listed, and a run that is going goes on.

    Refused while a run is going that would lose its pool.
    """
    from batchctl.workflows.schedules import delete as delete_schedules
    from batchctl.workflows.schedules import deployed
    from batchctl.workflows.target import open_batch

    now = datetime.now(UTC)
    with open_batch(settings_for(target), console.story) as batch:
        (found,) = deployed(batch, pipeline, now=now)
        delete_schedules(batch, found, now=now, history=history, story=console.story)
    console.answer(f"{pipeline} is no longer scheduled")

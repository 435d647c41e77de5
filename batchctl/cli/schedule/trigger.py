"""`batchctl schedule trigger PIPELINE`"""

from datetime import UTC, datetime
from typing import Annotated

import typer

from batchctl.cli import console
from batchctl.cli.options import (
    At,
    Form,
    Output,
    Parameters,
    Pipeline,
    Target,
    given_parameters,
    past_moment,
    settings_for,
    tell_of_waiting,
)


def trigger(
    pipeline: Pipeline,
    parameters: Parameters = None,
    at: At = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Also while another run is going that overlap: forbid would not have beside it."
        ),
    ] = False,
    target: Target = None,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait for the end; else print the run's id.")
    ] = False,
    output: Output = Form.TABLE,
) -> None:
    """Run a scheduled pipeline now, as it is deployed: its jobspec's file is not needed.

    While another run of it is going, overlap: forbid refuses with exit code 4, and overlap: replace ends that run first.
    """
    import secrets

    from batchctl.cli.run import wait_for
    from batchctl.errors import UsageError
    from batchctl.plan import expand, run_id
    from batchctl.workflows.run import start_run
    from batchctl.workflows.schedules import deployed
    from batchctl.workflows.target import open_batch, prepare_lake
    from batchctl.workflows.trigger import make_way

    settings = settings_for(target)
    given = given_parameters(parameters)
    now = datetime.now(UTC).replace(microsecond=0)
    prepare_lake(settings)
    with open_batch(settings, console.story) as batch:
        (found,) = deployed(batch, pipeline, now=now)
        wanted = found.pipeline
        if wanted is None:
            raise UsageError(f"{pipeline} runs no tasks of a jobspec", hint="batchctl schedule list")
        tell_of_waiting(wanted, settings)
        name = run_id(pipeline, now, secrets.token_hex(2))
        made = expand(wanted, given, past_moment(at, "--at", now) or now, run=name)
        make_way(batch, wanted, now=now, force=force, story=console.story)
        start_run(batch, wanted, made)
        if wait:
            wait_for(batch, settings, name, output)
        elif output is Form.TABLE:
            console.answer(name)
        else:
            console.structured({"run": name}, output)

"""`batchctl plan SPEC`"""

from datetime import UTC, datetime
from typing import Annotated

import typer

from batchctl.cli import console
from batchctl.cli.options import (
    At,
    Form,
    Now,
    Output,
    Parameters,
    Runtime,
    Spec,
    Target,
    given_parameters,
    moment,
    settings_for,
    tell_of_missing_engine,
)
from batchctl.errors import UsageError

CHANGES_FOUND = 3


def plan(
    spec: Spec,
    target: Target = None,
    runtime: Runtime = None,
    now: Now = None,
    run: Annotated[
        bool, typer.Option("--run", help="Plan one run instead of what stays between runs.")
    ] = False,
    parameters: Parameters = None,
    at: At = None,
    check: Annotated[bool, typer.Option("--check", help="Exit with 3 if there are changes.")] = False,
    graph: Annotated[
        bool, typer.Option("--graph", help="Draw the tasks of one run instead, as Mermaid text.")
    ] = False,
    output: Output = Form.TABLE,
) -> None:
    """Show what would be done, and why, and do nothing.

    For a jobspec with a schedule: the pool and the job schedules that `schedule apply` would make. For one without, or with
    --run, -p or --at: the job and the tasks that `run` would create. With --graph no target is asked.
    """
    from batchctl.plan import expand, render, run_id
    from batchctl.plan import graph as draw
    from batchctl.spec import load
    from batchctl.workflows.plan import plan_pipeline, plan_run
    from batchctl.workflows.target import open_batch, pipeline

    if graph and (check or output is not Form.TABLE):
        raise UsageError("--graph draws tasks: it has no other form, and finds no changes")
    given = given_parameters(parameters)
    jobspec = load(spec)
    moment_now = moment(now, "--now") or datetime.now(UTC).replace(microsecond=0)
    plan_id = run_id(jobspec.name, moment_now, "plan")
    if graph:
        console.answer(draw(jobspec, given, moment(at, "--at") or moment_now, run=plan_id))
        return
    settings = settings_for(target, spec, runtime)
    tell_of_missing_engine(settings)
    wanted = pipeline(jobspec, spec, settings)
    if run or parameters or at or jobspec.schedule is None:
        made = plan_run(wanted, given, moment(at, "--at") or moment_now, run=plan_id)
    else:
        # What a firing would do is checked now, not at three in the morning.
        expand(wanted, {}, moment_now, run=plan_id)
        with open_batch(settings, console.story) as batch:
            made = plan_pipeline(batch, wanted, now=moment_now)
    if output is Form.TABLE:
        console.answer(render(made))
    else:
        console.structured(made.as_json(), output)
    if check and made.changes:
        raise typer.Exit(CHANGES_FOUND)

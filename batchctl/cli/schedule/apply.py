"""`batchctl schedule apply SPEC…`"""

from pathlib import Path
from typing import Annotated

import typer

from batchctl.cli import console
from batchctl.cli.options import (
    Clock,
    Form,
    Output,
    Runtime,
    Target,
    clock_of,
    settings_for,
    tell_of_missing_engine,
)

Specs = Annotated[
    list[Path], typer.Argument(metavar="SPEC...", readable=False, help="Jobspec files.", show_default=False)
]


def apply(
    specs: Specs,
    target: Target = None,
    runtime: Runtime = None,
    now: Clock = None,
    replace_pool: Annotated[
        bool,
        typer.Option(
            "--replace-pool", help="Delete a pool that must be replaced even while tasks run in it."
        ),
    ] = False,
    output: Output = Form.TABLE,
) -> None:
    """Make pools and job schedules what the jobspecs say. New ones are created before old ones are ended.

    Every jobspec is checked before the first one is applied.
    """
    from batchctl.errors import UsageError
    from batchctl.plan import Plan, expand, render, run_id
    from batchctl.spec import load
    from batchctl.targets.quota import active_job_quota
    from batchctl.workflows.schedules import apply_pipeline
    from batchctl.workflows.target import open_batch, pipeline, prepare_lake

    settings = settings_for(target, specs[0], runtime)
    clock = clock_of(now)
    tell_of_missing_engine(settings)
    wanted = []
    files: dict[str, Path] = {}
    for path in specs:
        jobspec = load(path)
        if jobspec.schedule is None:
            raise UsageError(f"{path}: {jobspec.name} has no schedule", hint=f"batchctl run {path}")
        if jobspec.name in files:
            raise UsageError(
                f"{path}: {jobspec.name} is the name of the pipeline in {files[jobspec.name]}, too",
                hint="one of them would end the schedules of the other",
            )
        files[jobspec.name] = path
        made = pipeline(jobspec, path, settings)
        at = clock()
        expand(made, {}, at, run=run_id(jobspec.name, at, "plan"))  # what each firing will do
        wanted.append(made)
    plans: list[Plan] = []
    prepare_lake(settings)
    with open_batch(settings, console.story) as batch:
        quota = active_job_quota(settings.target)
        for one in wanted:
            done = apply_pipeline(
                batch,
                one,
                clock=clock,
                replace_pool=replace_pool,
                quota=quota,
                story=console.story,
                may_lose_containers=settings.target.runtime == "process",
            )
            plans.append(done)
            if output is Form.TABLE:
                console.answer((f"{one.spec.name}:\n" if len(wanted) > 1 else "") + render(done, done=True))
    if output is not Form.TABLE:
        data = [plan.as_json() for plan in plans]
        console.structured(data[0] if len(data) == 1 else data, output)
    if settings.target.kind == "local" and any(plan.changes for plan in plans):
        console.story("schedules fire on this machine while the local service is up: batchctl local up")

"""`batchctl schedule sync` and `keeper`"""

from datetime import UTC, datetime
from typing import Annotated

import typer

from batchctl.cli import console
from batchctl.cli.options import Clock, Target, clock_of, settings_for
from batchctl.errors import UsageError

MaybePipeline = Annotated[
    str | None, typer.Argument(metavar="[PIPELINE]", help="Only this pipeline.", show_default=False)
]


def sync(
    pipeline: MaybePipeline = None,
    everything: Annotated[bool, typer.Option("--all", help="Every pipeline of the account.")] = False,
    target: Target = None,
    now: Clock = None,
) -> None:
    """Renew job schedules whose end comes near, as they are deployed: no jobspec is needed. Run it daily."""
    from batchctl.plan import NO_CHANGES, render
    from batchctl.targets.quota import active_job_quota
    from batchctl.workflows.schedules import sync as sync_schedules
    from batchctl.workflows.target import open_batch

    if (pipeline is None) != everything:
        raise UsageError("name a pipeline, or say --all", hint="batchctl schedule sync --all")
    at, settings = clock_of(now), settings_for(target)
    with open_batch(settings, console.story) as batch:
        quota = active_job_quota(settings.target)
        plans = sync_schedules(batch, pipeline, clock=at, story=console.story, quota=quota)
    for plan in plans:
        console.answer(render(plan, done=True))
    if not plans:
        console.answer(NO_CHANGES)


def keeper(
    github: Annotated[
        bool, typer.Option("--github", help="Print a GitHub Actions workflow instead.")
    ] = False,
    pool: Annotated[
        str | None,
        typer.Option(
            "--pool",
            help="Run in this pool; default, on this machine only: an auto pool of one node.",
            metavar="ID",
        ),
    ] = None,
    target: Target = None,
) -> None:
    """Have the schedules renewed by themselves: a job schedule that runs `sync --all` every day, for ever.

    With --github: print a workflow that does it from outside, and that fails when a run is missed.
    """
    from batchctl.workflows.keeper import GITHUB_WORKFLOW, KEEPER, make_keeper
    from batchctl.workflows.schedules import deployed
    from batchctl.workflows.target import open_batch

    if github:
        console.answer(GITHUB_WORKFLOW.rstrip())
        return
    settings = settings_for(target)
    if pool is None and not settings.target.is_local:
        raise UsageError(
            "the keeper signs in to Batch as the identity of its pool's nodes, and an auto pool has none",
            hint="--pool ID, a pool whose identity may write job schedules; or --github",
        )
    now = datetime.now(UTC)
    with open_batch(settings, console.story) as batch:
        made = make_keeper(
            batch,
            now=now,
            runs_url=f"{settings.lake}runs/",
            pool=pool,
            image=settings.target.conductor_image,
        )
        (there,) = deployed(batch, KEEPER, now=now)
    if made:
        console.answer(f"{KEEPER} renews every schedule, every day")
    elif there.is_paused:
        console.answer(f"{KEEPER} is there already, and is paused: batchctl schedule resume {KEEPER}")
    else:
        console.answer(f"{KEEPER} is there already")

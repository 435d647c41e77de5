"""`batchctl run SPEC`"""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from batchctl.cli import console
from batchctl.cli.options import (
    At,
    Form,
    Output,
    Parameters,
    Runtime,
    Spec,
    Target,
    given_parameters,
    past_moment,
    settings_for,
    tell_of_missing_engine,
    tell_of_waiting,
)
from batchctl.errors import Interrupted, RunFailed, TargetError, Unreachable

if TYPE_CHECKING:
    from batchctl.plan import Pipeline
    from batchctl.report import RunReport
    from batchctl.spec import Jobspec
    from batchctl.targets.batch import Batch
    from batchctl.targets.settings import Settings
    from batchctl.workflows.logs import TaskLog

_TELL_ABOUT = 1_000


def run(
    spec: Spec,
    parameters: Parameters = None,
    at: At = None,
    target: Target = None,
    runtime: Runtime = None,
    build: Annotated[
        bool,
        typer.Option(
            "--build/--no-build", help="Build, and push, images that changed; --no-build refuses them."
        ),
    ] = True,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait for the end; --no-wait prints the run's id.")
    ] = True,
    output: Output = Form.TABLE,
) -> None:
    """Run a pipeline once, now, and wait for its end.

    Its first tasks may start while the last ones are being added. Ctrl-C in that time takes the run back; later, it lets the run
    go on. Exit code 6 if the run fails.
    """
    import secrets

    from batchctl.errors import UsageError
    from batchctl.plan import expand, run_id
    from batchctl.plan.pool_bodies import lifetime
    from batchctl.spec import Lifetime, load
    from batchctl.workflows.run import start_run
    from batchctl.workflows.target import open_batch, pipeline, prepare_lake

    given = given_parameters(parameters)
    jobspec = load(spec)
    settings = settings_for(target, spec, runtime)
    now = datetime.now(UTC).replace(microsecond=0)
    scheduled_at = past_moment(at, "--at", now) or now
    wanted = _built(jobspec, spec, settings) if build else pipeline(jobspec, spec, settings)
    if not wait and jobspec.pool.id is None and lifetime(wanted) is Lifetime.RUN:
        raise UsageError(
            "--no-wait: somebody must delete the pool of this run when it is over",
            hint="pool.lifetime: idle or auto",
        )
    tell_of_waiting(wanted, settings)
    name = run_id(jobspec.name, now, secrets.token_hex(2))
    made = expand(wanted, given, scheduled_at, run=name)
    prepare_lake(settings)
    with open_batch(settings, console.story) as batch:
        added = 0

        def tell(count: int) -> None:
            nonlocal added
            added += count
            if added % _TELL_ABOUT < count:
                console.story(f"{added:,} tasks added")

        try:
            start_run(batch, wanted, made, tell)
        except KeyboardInterrupt:
            raise Interrupted(f"run {name} was taken back: what had begun is being ended") from None
        except RunFailed as error:  # it is there, so it can be told which task failed, and why
            if not wait:
                raise
            console.story(error.message)
        noun = "task" if len(made.tasks) == 1 else "tasks"
        console.story(f"run {name}: {len(made.tasks):,} {noun} on {settings.name}")
        if not wait:
            console.answer(name) if output is Form.TABLE else console.structured({"run": name}, output)
            return
        wait_for(batch, settings, name, output)


def _built(jobspec: "Jobspec", spec: Path, settings: "Settings") -> "Pipeline":
    """The pipeline at the target, its images as they are now: built, and pushed, where they are not there."""
    from batchctl.workflows.target import pipeline, runs_containers

    tell_of_missing_engine(settings)
    if not jobspec.images or not runs_containers(settings):
        return pipeline(jobspec, spec, settings)
    from batchctl.cli.image_progress import shown
    from batchctl.workflows.images import How

    with shown() as show:
        how = How(now=datetime.now(UTC).replace(microsecond=0), show=show, target=settings.target)
        return pipeline(jobspec, spec, settings, how=how)


def wait_for(batch: "Batch", settings: "Settings", name: str, output: Form) -> None:
    """Show the run until it is over, then its table. Raises RunFailed, and Interrupted on Ctrl-C: the run goes on.

    A local service that died is started again: what it ran goes on.
    """
    from batchctl.workflows.target import open_batch

    try:
        _watched(batch, settings, name, output)
    except Unreachable as error:
        if not settings.target.is_local or settings.target.endpoint:
            hint = f"the run may go on without us: batchctl wait {name}"
            raise Unreachable(error.message, hint=hint) from error
        with open_batch(settings, console.story) as again:
            _watched(again, settings, name, output)


def with_lack_of_room(settings: "Settings", found: "RunReport") -> "RunReport":
    """The report, with the reason why nothing is started if that is the full disk of the local service."""
    from batchctl.server.disk import lack_of_room
    from batchctl.workflows.target import local_state

    is_local = settings.target.is_local and not settings.target.endpoint
    why = lack_of_room(local_state(settings)) if is_local and not found.is_over else ""
    return replace(found, verdict=replace(found.verdict, why=why)) if why else found


def _watched(batch: "Batch", settings: "Settings", name: str, output: Form) -> None:
    try:
        from batchctl.cli.live import display, pause
        from batchctl.targets.lake import open_lake
        from batchctl.workflows.logs import TaskLog
        from batchctl.workflows.run import remove_run_pool
        from batchctl.workflows.watch import report, watch

        lake = open_lake(f"{settings.lake}runs/")
        with display() as shown:
            for found in watch(batch, name, sleep=pause):
                shown.show(with_lack_of_room(settings, found))
    except KeyboardInterrupt:
        raise Interrupted(
            f"run {name} goes on without you", hint=f"batchctl wait {name}, or batchctl cancel {name}"
        ) from None
    try:
        final = report(batch, lake, name)
        task = final.verdict.task
        lines = last_lines(TaskLog(batch, lake, name, task)) if task else ""
    finally:
        remove_run_pool(batch, name)  # not before: the last lines may be on its node only
    tell_end(final, lines, output)


def tell_end(final: "RunReport", lines: str, output: Form) -> None:
    """Show a run that is over. Raises RunFailed unless it succeeded; `lines` are the last ones of the task that failed."""
    from batchctl.cli.live import report_table
    from batchctl.workflows.watch import raise_unless_succeeded

    if output is Form.TABLE:
        report_table(final)
        console.answer(f"\nrun {final.run} {console.painted(final.verdict.state)}")
    else:
        console.structured(final.as_json(), output)
    raise_unless_succeeded(final, lines)


def last_lines(log: "TaskLog") -> str:
    """The end of the log; if it cannot be read, that is told, and the verdict on the run is what counts."""
    from batchctl.workflows.logs import tail

    try:
        return tail(log)
    except TargetError as error:
        console.story(f"warning: {error.message}")
        return ""

"""The program `batchctl`: every command, and the only place where errors become exit codes.

0 done, or nothing to do · 1 a bug · 2 usage or jobspec · 3 `plan --check` found changes · 4 refused · 5 target ·
6 the remote work failed · 130 Ctrl-C. Commands import what they need when they run: `--help` is instant.
"""

import gc
import os
import signal
import sys
import traceback
from types import FrameType
from typing import Annotated

import typer

from batchctl import __version__
from batchctl.cli import (
    backfill,
    cancel,
    console,
    image,
    init,
    local,
    logs,
    plan,
    run,
    runs,
    schedule,
    schema,
    status,
    validate,
    wait,
)
from batchctl.errors import BatchctlError, Interrupted, RunFailed, SpecError

CommandLineError: type[Exception] = next(
    c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException"
)
"""The framework's own error. Some versions of typer use click, others carry a copy of it."""

app = typer.Typer(
    name="batchctl",
    help="Scheduled, containerised ETL on Azure Batch, and the same jobspec on this machine.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for command in (
    init.init, validate.validate, plan.plan, run.run, backfill.backfill, runs.runs, status.status, logs.logs, wait.wait,
    cancel.cancel, schema.schema,
):  # fmt: skip
    app.command()(command)
app.add_typer(schedule.app, name="schedule")
app.add_typer(image.app, name="image")
app.add_typer(local.app, name="local")


def _version(wanted: bool) -> None:
    if wanted:
        console.answer(f"batchctl {__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_version)
    ] = False,
) -> None:
    """Options of every command."""


def main() -> None:
    """Run the program and exit."""
    gc.enable()
    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _interrupt)
    keep_only(sys.argv[1:2])
    code = exit_code(sys.argv[1:])
    os._exit(
        code
    )  # taking the imported modules apart in order would cost a quarter of a short command's time


def keep_only(first: list[str]) -> None:
    """Forget every command but the one that the first argument names, if any: the framework takes a while to build them all."""
    names = {c.callback.__name__: c for c in app.registered_commands if c.callback is not None}
    groups = {str(group.name): group for group in app.registered_groups}
    for word in first:
        if word in names or word in groups:
            app.registered_commands[:] = [names[word]] if word in names else []
            app.registered_groups[:] = [groups[word]] if word in groups else []


def exit_code(arguments: list[str]) -> int:
    """Run one command line; the exit code. The only `except` for users."""
    told = False
    try:
        code = app(arguments, standalone_mode=False)
    except BatchctlError as error:
        if "--debug" in arguments:
            console.story("".join(traceback.format_exception(error)).rstrip())
        _tell(error)
        told, code = True, error.exit_code
    except CommandLineError as error:
        message = error.format_message()  # type: ignore[attr-defined]
        if type(error).__name__ == "NoArgsIsHelpError":  # a group's name alone: the message is its help
            console.story(message)
        else:
            context = getattr(error, "ctx", None)
            hint = f"{context.command_path} --help" if context is not None else "batchctl --help"
            console.error(message, hint)
        code = 2
    except (KeyboardInterrupt, typer.Abort):
        code = Interrupted.exit_code
    try:
        if code == Interrupted.exit_code and not told:  # the framework may have made it an exit code already
            console.story("interrupted")
        console.finish()
    except OSError as error:
        sys.stderr.write(f"error: could not write the answer: {error.strerror}\n")
        return 1
    return code if isinstance(code, int) else 0


def _tell(error: BatchctlError) -> None:
    if isinstance(error, SpecError):
        for problem in error.problems:
            console.story(str(problem))
            if problem.hint:
                console.story(f"  hint: {problem.hint}")
        noun = "problem" if len(error.problems) == 1 else "problems"
        console.error(f"{len(error.problems)} {noun} found")
        return
    if isinstance(error, RunFailed) and error.log_tail:
        console.story(f"--- last lines of {error.task}")
        console.story(error.log_tail)
        console.story("---")
    if isinstance(error, Interrupted):  # what they asked for is no error
        console.story(f"interrupted: {error.message}")
        console.tell_hint(error.hint)
        return
    console.error(error.message, error.hint)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    """The first Ctrl-C stops in order; a second one leaves at once."""
    signal.signal(signal.SIGINT, lambda *_: os._exit(Interrupted.exit_code))
    raise KeyboardInterrupt

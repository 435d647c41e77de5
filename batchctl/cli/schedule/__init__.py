"""`batchctl schedule`: pipelines that run by themselves. One file for each group of verbs."""

import typer

from batchctl.cli.options import Form, Output, Target
from batchctl.cli.schedule import apply, check, listing, preview, renew, state, trigger
from batchctl.errors import UsageError

app = typer.Typer(
    help="Pipelines that run by themselves. Without a subcommand: list.",
    rich_markup_mode=None,
    invoke_without_command=True,
)


@app.callback()
def schedule(context: typer.Context, target: Target = None, output: Output = Form.TABLE) -> None:
    """Pipelines that run by themselves. Without a subcommand: list."""
    if context.invoked_subcommand is None:
        listing.list_schedules(target, output)
    elif target is not None or output is not Form.TABLE:
        verb = context.invoked_subcommand
        raise UsageError(f"options go behind {verb}", hint=f"batchctl schedule {verb} --help")


app.command("apply")(apply.apply)
app.command("list")(listing.list_schedules)
app.command("show")(listing.show)
app.command("next")(preview.show_next)
app.command("explain")(preview.explain)
app.command("pause")(state.pause)
app.command("resume")(state.resume)
app.command("trigger")(trigger.trigger)
app.command("sync")(renew.sync)
app.command("keeper")(renew.keeper)
app.command("check")(check.check)
app.command("delete")(state.delete)

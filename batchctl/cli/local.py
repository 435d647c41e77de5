"""`batchctl local up|down|status|reset|chaos`: the Azure Batch service on this machine."""

from typing import TYPE_CHECKING, Annotated

import typer

from batchctl.cli import chaos, console
from batchctl.cli.options import Form, Output, settings_for

if TYPE_CHECKING:
    from batchctl.server.daemon import Service

app = typer.Typer(
    help="The Azure Batch service on this machine.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(chaos.app, name="chaos")


@app.command()
def up(
    port: Annotated[
        int | None, typer.Option("--port", min=1, max=65535, help="Port on 127.0.0.1; default: a free one.")
    ] = None,
    foreground: Annotated[bool, typer.Option("--foreground", help="Stay, until Ctrl-C.")] = False,
    output: Output = Form.TABLE,
) -> None:
    """Start it, in the background, and print endpoint, account and key. It stays until `local down`."""
    from batchctl.server import daemon
    from batchctl.workflows.target import lake_folder, local_state, state_errors

    settings = settings_for("local")
    state, lake = local_state(settings), lake_folder(settings)
    with state_errors("started"):
        if foreground:
            daemon.serve(
                state, port=port, on_ready=lambda service: _tell(service, output), output_folder=lake
            )
            return
        service = daemon.start(state, port=port, output_folder=lake)
    _tell(service, output)


@app.command()
def down() -> None:
    """Stop it. What was running runs again at the next start; nothing is lost."""
    from batchctl.server import daemon
    from batchctl.workflows.target import local_state, state_errors

    with state_errors("stopped"):
        stopped = daemon.stop(local_state(settings_for("local")))
    if stopped:
        console.answer("stopped")
    else:
        console.story("it was not running")


@app.command()
def status(output: Output = Form.TABLE) -> None:
    """Show whether it runs, and where; and whether its disk is full."""
    from batchctl.server import daemon
    from batchctl.server.disk import lack_of_room
    from batchctl.server.service import set_aside
    from batchctl.workflows.target import local_state

    state = local_state(settings_for("local"))
    service = daemon.find(state)
    if warning := lack_of_room(state):
        console.story(f"warning: {warning}")
    if service is None:
        if output is Form.TABLE:
            console.answer("not running")
        else:
            console.structured({"running": False}, output)
        return
    for line in set_aside(service):
        console.story(f"warning: a bug: {line}; see {state / 'service.log'}")
    _tell(service, output)


@app.command()
def reset() -> None:
    """Forget every pool, job and schedule of it. The lake, with data and logs, stays. It must be down."""
    from batchctl.server import daemon
    from batchctl.workflows.target import local_state, state_errors

    with state_errors("reset"):
        daemon.reset(local_state(settings_for("local")))
    console.answer("reset")


def _tell(service: "Service", output: Form) -> None:
    found = {
        "endpoint": service.endpoint,
        "account": service.account,
        "key": service.key,
        "pid": service.pid,
    }
    if output is not Form.TABLE:
        console.structured({"running": True, **found}, output)
        return
    for name, value in found.items():
        console.answer(f"{name:<9}{value}")

"""`batchctl local chaos add|list|clear|preempt|quota`: things going wrong in the local service, on purpose."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from batchctl.cli import console
from batchctl.cli.options import Form, Output, settings_for

if TYPE_CHECKING:
    from batchctl.server.service import Service

app = typer.Typer(
    help="Let things go wrong in the local service, on purpose.", no_args_is_help=True, rich_markup_mode=None
)


@app.command()
def add(
    fault: Annotated[
        str,
        typer.Argument(
            metavar="FAULT",
            help="latency, throttle, error, drop or quota (of a request); preempt, deny-image or skip-firing.",
            show_default=False,
        ),
    ],
    operations: Annotated[
        list[str] | None,
        typer.Option(
            "--operation", help="Requests: operations by SDK name, * allowed; once for each.", metavar="NAME"
        ),
    ] = None,
    match: Annotated[
        str, typer.Option("--match", help="An id it strikes: job, pool, image, schedule; * allowed.")
    ] = "*",
    probability: Annotated[
        float, typer.Option("--probability", help="Of every event that fits; the seed decides.")
    ] = 1.0,
    times: Annotated[
        int | None, typer.Option("--times", help="Strike at most so often; default: for ever.")
    ] = None,
    skip: Annotated[int, typer.Option("--skip", help="Let so many events pass first.")] = 0,
    seconds: Annotated[
        float, typer.Option("--seconds", help="Delay, Retry-After, or a task's time before its node goes.")
    ] = 1.0,
    status: Annotated[int, typer.Option("--status", help="error: 500 or 503.")] = 503,
    after_effect: Annotated[
        bool,
        typer.Option("--after-effect", help="error, drop: the request takes effect, the client is not told."),
    ] = False,
    seed: Annotated[int, typer.Option("--seed", help="Another seed strikes other events.")] = 0,
    output: Output = Form.TABLE,
) -> None:
    """Add a rule; it stays, restarts included, until it is cleared. The same seed makes the same trouble again."""
    from pydantic import ValidationError

    from batchctl.errors import TargetError, UsageError
    from batchctl.server.chaos import remote
    from batchctl.server.chaos.rule import Rule

    given = {
        "fault": fault, "operations": operations or ["*"], "match": match, "probability": probability, "times": times,
        "skip": skip, "seconds": seconds, "status": status, "after_effect": after_effect, "seed": seed,
    }  # fmt: skip
    try:
        rule = Rule.model_validate(given)
    except ValidationError as problem:
        first = problem.errors()[0]
        name = "FAULT" if first["loc"][0] == "fault" else f"--{first['loc'][0]}".replace("_", "-")
        raise UsageError(f"{name}: {first['msg']}", hint="batchctl local chaos add --help") from None
    try:
        _tell([remote.add_rule(_service(), rule.model_dump(mode="json"))], output)
    except TargetError as problem:
        if problem.code != "InvalidPropertyValue":
            raise
        # All the rest was checked here.
        message = f"--operation: no operation has such a name: {', '.join(rule.operations)}"
        hint = "docs/operations.md names them; create_task* is every one that begins so"
        raise UsageError(message, hint=hint) from None


@app.command("list")
def list_rules(output: Output = Form.TABLE) -> None:
    """List the rules, with how many events each has seen and struck."""
    from batchctl.server.chaos import remote

    _tell(remote.list_rules(_service()), output)


@app.command()
def clear(
    rule: Annotated[
        int | None, typer.Argument(metavar="[ID]", help="One rule; default: all.", show_default=False)
    ] = None,
) -> None:
    """Clear one rule, or all: nothing goes wrong any more."""
    from batchctl.errors import NotFound
    from batchctl.server.chaos import remote

    cleared = remote.clear_rules(_service(), rule)
    if rule is not None and not cleared:
        raise NotFound(f"there is no rule {rule}", hint="batchctl local chaos list")
    console.answer(f"cleared {cleared}")


@app.command()
def preempt(
    pool: Annotated[str, typer.Argument(metavar="POOL", help="The pool's id.", show_default=False)],
    nodes: Annotated[int, typer.Option("--nodes", min=1, help="So many low-priority nodes.")] = 1,
    seed: Annotated[int, typer.Option("--seed", help="Another seed takes other nodes.")] = 0,
) -> None:
    """Take low-priority nodes of a pool away, now; prints which."""
    from batchctl.server.chaos import remote

    for node in remote.preempt(_service(), pool, nodes, seed):
        console.answer(node)


@app.command()
def quota(
    dedicated_cores: Annotated[
        int | None, typer.Option("--dedicated-cores", min=0, help="A resize beyond them ends with an error.")
    ] = None,
    low_priority_cores: Annotated[
        int | None, typer.Option("--low-priority-cores", min=0, help="The same for low-priority nodes.")
    ] = None,
    nodes: Annotated[
        int | None, typer.Option("--nodes", min=0, help="A resize beyond them waits, and times out.")
    ] = None,
    pools: Annotated[int | None, typer.Option("--pools", min=0, help="One more is refused.")] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", min=0, help="Active jobs and schedules; one more is refused.")
    ] = None,
    none: Annotated[bool, typer.Option("--none", help="Lift all limits.")] = False,
    output: Output = Form.TABLE,
) -> None:
    """Show the account's limits, or set them: those not given are lifted. There is none to begin with."""
    from batchctl.errors import UsageError
    from batchctl.server.chaos import remote

    limits = {
        "dedicated_cores": dedicated_cores, "low_priority_cores": low_priority_cores, "nodes": nodes,
        "pools": pools, "active_jobs_and_schedules": jobs,
    }  # fmt: skip
    is_set = any(limit is not None for limit in limits.values())
    if none and is_set:
        raise UsageError("--none lifts all limits", hint="batchctl local chaos quota --help")
    service = _service()
    found = remote.set_quota(service, limits) if none or is_set else remote.read_quota(service)
    if output is not Form.TABLE:
        console.structured(found, output)
        return
    for name, value in found.items():
        console.answer(f"{name:<26}{'no limit' if value is None else value}")


def _service() -> "Service":
    from batchctl.errors import Unreachable
    from batchctl.server.service import find
    from batchctl.workflows.target import local_state

    service = find(local_state(settings_for("local")))
    if service is None:
        raise Unreachable("the local service is not running", hint="batchctl local up")
    return service


def _tell(rules: list[dict[str, Any]], output: Form) -> None:
    if output is not Form.TABLE:
        console.structured(rules, output)
        return
    console.table(
        ["id", "fault", "operations", "match", "probability", "times", "seen", "struck"],
        [
            [
                str(rule["id"]),
                rule["fault"],
                ",".join(rule["operations"]),
                rule["match"],
                f"{rule['probability']:g}",
                "" if rule["times"] is None else str(rule["times"]),
                str(rule["seen"]),
                str(rule["struck"]),
            ]
            for rule in rules
        ],
    )

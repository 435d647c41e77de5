"""Options that several commands have, each written once; and what they mean."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from batchctl.errors import UsageError

if TYPE_CHECKING:
    from batchctl.plan import Pipeline as Wanted
    from batchctl.targets.settings import Settings


_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}


class Form(StrEnum):
    """How an answer is printed."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


class RuntimeName(StrEnum):
    """How tasks run."""

    PROCESS = "process"
    DOCKER = "docker"
    AUTO = "auto"


Spec = Annotated[
    Path, typer.Argument(metavar="SPEC", readable=False, help="A jobspec file.", show_default=False)
]
RunName = Annotated[
    str,
    typer.Argument(
        metavar="RUN", help="A run's id, or a pipeline's name for its latest run.", show_default=False
    ),
]
Target = Annotated[
    str | None,
    typer.Option("--target", "-t", help="A target of batchctl.toml; local is always there.", metavar="NAME"),
]
Output = Annotated[Form, typer.Option("--output", "-o", help="Form of the answer.")]
Parameters = Annotated[
    list[str] | None,
    typer.Option(
        "--parameter", "-p", help="A parameter's value, name=value; once for each.", metavar="NAME=VALUE"
    ),
]
At = Annotated[
    str | None,
    typer.Option("--at", help="The occurrence to run for, ISO 8601; default: now.", metavar="ISO"),
]
Runtime = Annotated[
    RuntimeName | None,
    typer.Option(
        "--runtime",
        help="docker: tasks run in their images; process: as plain processes; auto: as an engine is there.",
        show_default="docker on Azure, process on this machine",
    ),
]
Now = Annotated[
    str | None,
    typer.Option("--now", help="Plan as if it were this moment, ISO 8601.", metavar="ISO"),
]


Pipeline = Annotated[str, typer.Argument(metavar="PIPELINE", help="A pipeline's name.", show_default=False)]


Clock = Annotated[
    str | None, typer.Option("--now", help="Act as if it were this moment, ISO 8601; for tests.", hidden=True)
]


def clock_of(text: str | None) -> Callable[[], datetime]:
    """What tells the time, in UTC: `--now text` stands still. Raises UsageError."""
    fixed = moment(text, "--now")
    return lambda: fixed or datetime.now(UTC).replace(microsecond=0)


def settings_for(
    target: str | None, spec: Path | None = None, runtime: RuntimeName | None = None
) -> "Settings":
    """The settings of a command that was given `--target target --runtime runtime`: of the project that we are in, or that `spec`
    is in."""
    import os

    from batchctl.targets.settings import project_folder, read_settings

    start = Path.cwd()
    if spec is not None and project_folder(start) == start and not (start / "batchctl.toml").exists():
        beside = project_folder(spec.resolve().parent)
        if (beside / "batchctl.toml").exists():
            start = beside
    environ = os.environ if runtime is None else {**os.environ, "BATCHCTL_RUNTIME": runtime.value}
    return read_settings(target, cwd=start, environ=environ)


def tell_of_missing_engine(settings: "Settings") -> None:
    """Say that `--runtime auto` falls back to plain processes."""
    from batchctl.cli import console
    from batchctl.workflows.target import runs_containers

    if settings.target.runtime == "auto" and not runs_containers(settings):
        console.story("no container engine answers: tasks run as plain processes")


def tell_of_waiting(pipeline: "Wanted", settings: "Settings") -> None:
    """Say that what is submitted will wait, where it runs in containers on this machine and no engine answers."""
    from batchctl.cli import console
    from batchctl.errors import Unreachable
    from batchctl.targets.docker_engine import Engine

    if not settings.target.is_local or settings.target.endpoint:
        return
    if not (pipeline.site.containers and pipeline.spec.images):
        return
    try:
        with Engine() as engine:
            engine.answers()
    except Unreachable as error:
        console.warning(f"{error.message}; what runs in containers waits until an engine does", error.hint)


def given_parameters(texts: list[str] | None) -> dict[str, str]:
    """`["a=1", "b=x=y"]` -> `{"a": "1", "b": "x=y"}`. Raises UsageError."""
    given: dict[str, str] = {}
    for text in texts or []:
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise UsageError(f"-p {text}: this is not name=value", hint="-p station=seattle")
        if name in given:
            raise UsageError(f"-p {name} is given twice", hint=f"-p {name}=… once")
        given[name] = value
    return given


def duration(text: str, option: str) -> timedelta:
    """`PT15M`, or `15m`, `2h`, `7d`. Raises UsageError."""
    from batchctl.spec.model import parse_iso_duration

    number, unit = text[:-1], text[-1:]
    if re.fullmatch(r"[0-9]{1,6}", number) and unit in _UNITS:
        return int(number) * _UNITS[unit]
    try:
        return parse_iso_duration(text)
    except (ValueError, OverflowError):
        raise UsageError(
            f"{option} {text}: this is not a duration", hint=f"{option} 15m, 2h, 7d, or PT15M"
        ) from None


def past_moment(text: str | None, option: str, now: datetime) -> datetime | None:
    """Like `moment`, for an occurrence to run for: one of the future has no data yet. Raises UsageError."""
    found = moment(text, option)
    if found is not None and found > now:
        raise UsageError(
            f"{option} {text}: this is in the future", hint="batchctl plan shows what it would do"
        )
    return found


def moment(text: str | None, option: str) -> datetime | None:
    """An ISO 8601 moment in UTC; one without an offset is taken to be UTC. Raises UsageError."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"{option} {text}: this is not ISO 8601", hint=f"{option} 2026-01-31T06:00:00Z"
        ) from None
    if not 1970 <= found.year <= 2200:
        raise UsageError(f"{option} {text}: years are from 1970 to 2200")
    return (found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)).replace(
        microsecond=0
    )

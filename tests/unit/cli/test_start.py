"""A command starts without what it does not need."""

import subprocess
import sys

import pytest
import typer

from batchctl.cli.main import app, keep_only


def test_validate_imports_no_more_than_it_needs() -> None:
    late = (
        "azure.batch", "batchctl.plan", "batchctl.schedule.decomposition", "batchctl.schedule.occurrence", "batchctl.server",
        "batchctl.targets", "batchctl.workflows", "jinja2", "rich", "starlette",
    )  # fmt: skip
    code = (
        "import sys; from batchctl.cli.main import exit_code; exit_code(['validate', 'jobspecs/weather.yaml']); "
        f"print([name for name in {late} if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "jobspecs/weather.yaml: valid: weather, 3 tasks\n[]\n"


@pytest.mark.parametrize(
    ("first", "is_kept"),
    [(["validate"], True), (["schedule"], True), (["nonsense"], False), (["--help"], False), ([], False)],
)
def test_only_the_command_that_is_named_is_built(
    first: list[str], is_kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "registered_commands", list(app.registered_commands))
    monkeypatch.setattr(app, "registered_groups", list(app.registered_groups))
    everything = set(_commands())
    keep_only(first)
    assert _commands() == (first if is_kept else sorted(everything))


def _commands() -> list[str]:
    return sorted(getattr(typer.main.get_command(app), "commands", {}))

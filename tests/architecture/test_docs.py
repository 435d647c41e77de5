"""The documentation is true: every command and option is in it, every example validates, the schema is the code's."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from batchctl.cli.main import app
from batchctl.spec import loads
from batchctl.spec.json_schema import json_schema

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "cli.md"
SCHEMA = ROOT / "jobspecs" / "jobspec.schema.json"


def commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, f"{path} {name}")


def reference() -> str:
    """`docs/cli.md`: the help of every command, as the program prints it."""
    parts = [
        "# Commands\n\nThe help of every command, as the program prints it. Exit codes: 0 done or nothing to do, 1 a bug, "
        "2 usage or jobspec,\n3 `plan --check` found changes, 4 refused, 5 the target failed, 6 the remote work failed, "
        "130 Ctrl-C.\n"
    ]
    for path, command in commands(typer.main.get_command(app), "batchctl"):
        context = command.context_class(
            command,
            info_name=path,
            terminal_width=100,
            max_content_width=100,
            help_option_names=app.info.context_settings["help_option_names"],
        )
        parts.append(f"## {path}\n\n```\n{command.get_help(context).strip()}\n```\n")
    return "\n".join(parts)


def test_the_command_reference_is_what_the_program_says(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--update-golden"):
        REFERENCE.write_text(reference())
    assert reference() == REFERENCE.read_text()


def test_every_option_says_what_it_does() -> None:
    for path, command in commands(typer.main.get_command(app), "batchctl"):
        assert command.help, path
        for parameter in command.params:
            if parameter.param_type_name == "option":
                assert parameter.help, f"{path} {parameter.opts}"


def test_the_schema_is_the_code_s(request: pytest.FixtureRequest) -> None:
    text = json.dumps(json_schema(), indent=1, ensure_ascii=False) + "\n"
    if request.config.getoption("--update-golden"):
        SCHEMA.write_text(text)
    assert text == SCHEMA.read_text()


def yaml_blocks(path: Path) -> list[str]:
    return re.findall(r"```yaml\n(.*?)```", path.read_text(), re.S)


def test_the_jobspec_reference_validates_and_names_every_field() -> None:
    text = (ROOT / "jobspecs" / "README.md").read_text()
    blocks = yaml_blocks(ROOT / "jobspecs" / "README.md")
    assert blocks
    for block in blocks:
        loads(block.encode(), "jobspecs/README.md")
    schema = json_schema()
    fields = {name for model in [schema, *schema["$defs"].values()] for name in model.get("properties", {})}
    assert [name for name in sorted(fields) if not re.search(rf"\b{name}\b", text)] == []


@pytest.mark.parametrize("path", sorted((ROOT / "jobspecs").glob("*.yaml")), ids=lambda p: p.name)
def test_every_jobspec_is_valid_and_fits_the_schema(path: Path) -> None:
    import jsonschema

    spec = loads(path.read_bytes(), path.name)
    data = spec.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    jsonschema.Draft202012Validator(json_schema()).validate(data)


@pytest.mark.parametrize(
    "path",
    sorted(
        [
            *ROOT.glob("*.md"),
            *ROOT.glob("docs/*.md"),
            *ROOT.glob("images/**/*.md"),
            *ROOT.glob("jobspecs/**/*.md"),
        ]
    ),
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_links_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text())
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_the_readme_s_commands_are_real() -> None:
    known = {path.removeprefix("batchctl ") for path, _ in commands(typer.main.get_command(app), "batchctl")}
    for line in re.findall(r"^\$ batchctl (.+)$", (ROOT / "README.md").read_text(), re.M):
        words = line.split()
        assert words[0] in known or " ".join(words[:2]) in known, line

"""The Dockerfiles, their locked packages, and what docs/images.md shows."""

import fnmatch
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from ruamel.yaml import YAML

from batchctl.cli.main import app, exit_code
from batchctl.targets.build_context import build_context
from batchctl.workflows.image_workflow import DEPLOY_WORKFLOW
from batchctl.workflows.keeper import GITHUB_WORKFLOW

ROOT = Path(__file__).parents[3]
IMAGES = ROOT / "images"
LOCKS = {
    "etl/requirements.txt": {
        "etl/pyproject.toml": ("azure", "postgres"),
        "runtime/pyproject.toml": ("azure",),
    },
    "etl/requirements-delta.txt": {"etl/pyproject.toml": ("delta",)},
    "conductor/requirements.txt": {"../pyproject.toml": (), "runtime/pyproject.toml": ("azure",)},
}


def pins(lock: Path) -> dict[str, str]:
    found = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;]+)", lock.read_text(), re.M)
    return {canonicalize_name(name): version for name, version in found}


@pytest.mark.parametrize("lock", LOCKS)
def test_the_lock_holds_what_the_packages_need(lock: str) -> None:
    """Fails when a dependency was added or changed: `make lock`."""
    locked = pins(IMAGES / lock)
    assert locked
    for project, extras in LOCKS[lock].items():
        table = tomllib.loads((IMAGES / project).read_text())["project"]
        wanted = [
            *table["dependencies"],
            *(one for extra in extras for one in table["optional-dependencies"][extra]),
        ]
        for line in wanted:
            requirement = Requirement(line)
            name = canonicalize_name(requirement.name)
            assert name in locked, f"{lock} has no {name}"
            assert requirement.specifier.contains(locked[name], prereleases=True), line


def test_an_extra_s_lock_agrees_with_the_base() -> None:
    base, extra = pins(IMAGES / "etl/requirements.txt"), pins(IMAGES / "etl/requirements-delta.txt")
    assert {name: version for name, version in extra.items() if base.get(name, version) != version} == {}


@pytest.mark.parametrize("lock", [*LOCKS, "runtime/build-requirements.txt"])
def test_every_locked_package_has_a_hash(lock: str) -> None:
    entries = re.split(r"\n(?=[A-Za-z0-9])", (IMAGES / lock).read_text().split("\n", 1)[1])
    assert entries
    assert [entry for entry in entries if "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize(
    ("context", "dockerfile"), [("images", "etl/Dockerfile"), (".", "images/conductor/Dockerfile")]
)
def test_the_context_holds_what_the_dockerfile_copies_and_no_more(context: str, dockerfile: str) -> None:
    made = build_context(ROOT / context, dockerfile)
    copied = [
        source
        for line in made.dockerfile_text().splitlines()
        if line.startswith("COPY ") and "--from" not in line
        for source in line.split()[1:-1]
    ]
    assert copied
    for source in copied:
        assert fnmatch.filter(made.files, source), source
    allowed = (dockerfile, *copied)
    folders = {str(Path(*Path(one).parts[:n])) for one in allowed for n in range(len(Path(one).parts))}
    stray = [name for name in made.files if name not in folders and not name.startswith(allowed)]
    assert [name for name in stray if not re.search(r"requirements.*\.txt$|Dockerfile$", name)] == []
    assert not [name for name in made.files if "__pycache__" in name or name.endswith(".pyc")]


@pytest.mark.parametrize("name", ["etl", "conductor"])
def test_a_dockerfile_is_pinned_non_root_and_for_the_classic_builder(name: str) -> None:
    text = (IMAGES / name / "Dockerfile").read_text()
    (base,) = re.findall(r"^ARG BASE_IMAGE=(\S+)$", text, re.M)
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", base)
    assert {line.split()[1] for line in re.findall(r"^FROM .*$", text, re.M)} == {"${BASE_IMAGE}", "packages"}
    assert re.findall(r"^USER (.*)$", text, re.M) == ["65532:65532"]
    assert "--require-hashes" in text
    assert "--mount" not in text


def documentation() -> str:
    return (ROOT / "docs" / "images.md").read_text()


def commands() -> set[str]:
    group = typer.main.get_command(app)
    inner = getattr(group, "commands", {})
    return {f"batchctl {name}" for name in inner} | {
        f"batchctl {name} {sub}" for name, one in inner.items() for sub in getattr(one, "commands", {})
    }


def test_every_command_in_the_documentation_exists() -> None:
    known = commands()
    used = re.findall(r"(?:`|\$ |run: |do )(batchctl [a-z-]+(?: [a-z]+\b(?!/))?)", documentation())
    assert used
    assert [one for one in used if one not in known and one.rsplit(" ", 1)[0] not in known] == []


def test_the_workflow_is_valid_and_holds_no_secret() -> None:
    workflow = YAML(typ="safe", pure=True).load(DEPLOY_WORKFLOW)
    assert set(workflow) == {"name", "on", "permissions", "jobs"}
    assert workflow["permissions"] == {"contents": "read", "id-token": "write"}
    for job in workflow["jobs"].values():
        assert job["runs-on"]
        steps = job["steps"]
        assert all(("run" in step) != ("uses" in step) for step in steps)
        said = [step["run"] for step in steps if "run" in step]
        assert any("batchctl image push" in line for line in said)
        assert any("batchctl schedule apply" in line for line in said)
        assert "password" not in str(steps).lower()


def test_the_program_prints_the_workflow_that_the_documentation_shows(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert exit_code(["image", "workflow"]) == 0
    assert capsys.readouterr().out == DEPLOY_WORKFLOW
    assert f"```yaml\n{DEPLOY_WORKFLOW}```" in documentation()


@pytest.mark.parametrize("workflow", [DEPLOY_WORKFLOW, GITHUB_WORKFLOW], ids=["deploy", "keeper"])
def test_the_commands_and_options_of_a_workflow_exist(workflow: str) -> None:
    """Fails when a command or an option is renamed: a workflow of somebody's would then fail too."""
    jobs = YAML(typ="safe", pure=True).load(workflow)["jobs"].values()
    lines = [step["run"] for job in jobs for step in job["steps"] if "batchctl" in step.get("run", "")]
    asked = [shlex.split(line, comments=True) for line in lines if line.startswith("batchctl ")]
    assert len(asked) == len(lines) - 1, "all but the installation"
    for words in asked:
        command: Any = typer.main.get_command(app)
        depth = 1
        while hasattr(command, "commands"):
            assert words[depth] in command.commands, words
            command, depth = command.commands[words[depth]], depth + 1
        options = {name for parameter in command.params for name in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, words

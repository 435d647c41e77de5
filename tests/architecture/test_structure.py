"""The house rules that a linter does not know."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import batchctl.errors
from batchctl.errors import BatchctlError

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    path
    for folder in ("batchctl", "images")
    for path in (ROOT / folder).rglob("*.py")
    if "build" not in path.parts
)
BANNED_NAMES = {"utils", "helpers", "common", "manager", "base", "misc", "core"}
MAX_LINES = 450


def error_classes(of: type = BatchctlError) -> list[type[BatchctlError]]:
    return [of, *(inner for sub in of.__subclasses__() for inner in error_classes(sub))]


def test_there_is_something_to_check() -> None:
    assert len(SOURCES) > 60


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_says_what_it_is_for(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert not tree.body or ast.get_docstring(tree), "a module opens with what it is for"
    assert path.stem not in BANNED_NAMES
    assert len(path.read_text().splitlines()) <= MAX_LINES


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_public_functions_and_classes_have_docstrings(path: Path) -> None:
    tree = ast.parse(path.read_text())
    bare = [
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]
    assert bare == []


def test_every_error_is_drawn_in_the_tree_with_its_exit_code() -> None:
    drawn = dict(re.findall(r"([A-Z]\w+) (\d+)", batchctl.errors.__doc__ or ""))
    actual = {
        cls.__name__: str(cls.exit_code) for cls in error_classes() if cls.__module__ == "batchctl.errors"
    }
    assert drawn == actual


def test_images_and_batchctl_know_nothing_of_each_other() -> None:
    for path in SOURCES:
        text = path.read_text()
        if "images" in path.relative_to(ROOT).parts[:1]:
            assert not re.search(r"^\s*(from|import) batchctl(\.|\s)", text, re.M), path
        else:
            assert not re.search(r"^\s*(from|import) batchctl_(etl|runtime)", text, re.M), path


def test_the_project_speaks_of_itself_alone() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    here = "/".join(("", "work", ""))
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if path.suffix in (".py", ".md", ".toml", ".yaml", ".json", ".txt") or path.name in (
            "Makefile",
            "run",
        ):
            assert here not in path.read_text(errors="replace"), name


HEAVY = ("azure", "docker", "starlette", "uvicorn", "duckdb", "pyarrow", "rich", "stamina")


@pytest.mark.parametrize("arguments", [["--help"], ["validate", "jobspecs/weather.yaml"], ["run", "--help"]])
def test_the_quick_commands_import_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys; from batchctl.cli.main import exit_code; code = exit_code(sys.argv[1:]); "
        f"print(code, sorted(set(m.split('.')[0] for m in sys.modules) & set({HEAVY!r})), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stderr.strip() == "0 []"


def test_nothing_looks_for_plugins() -> None:
    """Asking every installed package for its entry points takes longer than reading a jobspec."""
    code = (
        "import importlib.metadata, sys; importlib.metadata.entry_points = None; "
        "from batchctl.cli.entry import run; sys.argv[0] = 'batchctl'; run()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "validate", "jobspecs/weather.yaml"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={k: v for k, v in os.environ.items() if not k.startswith("PYDANTIC_")},
    )
    assert (done.returncode, done.stdout) == (0, "jobspecs/weather.yaml: valid: weather, 3 tasks\n")

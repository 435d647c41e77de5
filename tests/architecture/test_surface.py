"""The served surface: every operation is built or says so, and is met by a test through the official SDK; every code too.

`docs/operations.md` is made from the route table and the contract tests (`--update-golden`).
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from batchctl.server.batch.errors import API_ERRORS, SCHEDULING_ERRORS, TASK_FAILURES
from batchctl.server.batch.routes import OPERATIONS

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "docs" / "operations.md"
SERVER = ROOT / "batchctl" / "server"
TESTS = (ROOT / "tests" / "contract", ROOT / "tests" / "services" / "server")

CALLED = {
    "create_task_collection": {"create_tasks", "create_task_collection"},
}
"""What the official SDK calls an operation where it is not its name, or `begin_` and its name."""


@cache
def contract_tests() -> dict[str, set[str]]:
    """`file::test` -> the names of the methods that it calls."""
    return {
        f"{path.name.removesuffix('.py')}::{node.name}": {
            inner.attr for inner in ast.walk(node) if isinstance(inner, ast.Attribute)
        }
        for path in sorted((ROOT / "tests" / "contract").glob("test_*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def meeting(operation: str) -> list[str]:
    """The contract tests that call it, the shortest first."""
    methods = CALLED.get(operation, {operation, f"begin_{operation}"})
    found = {name: len(called) for name, called in contract_tests().items() if methods & called}
    return sorted(found, key=lambda name: (found[name], name))


def table() -> str:
    lines = [
        "# The operations of the local Batch service",
        "",
        "Made from the route table and the contract tests; the tests are in `tests/contract`, and of each operation the shortest is named.",
        "",
        "| operation | request | implemented | contract test |",
        "|---|---|---|---|",
    ]
    for operation in sorted(OPERATIONS, key=lambda each: each.name):
        found = meeting(operation.name)
        path = operation.path.replace(":path}", "}")
        built = "yes" if operation.handler is not None else "501"
        lines.append(
            f"| {operation.name} | `{operation.method} {path}` | {built} | {found[0] if found else ''} |"
        )
    return "\n".join(lines) + "\n"


def test_the_table_of_operations_is_true(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--update-golden"):
        TABLE.write_text(table())
    assert table() == TABLE.read_text()


def test_there_are_72_operations_and_each_has_a_contract_test() -> None:
    names = [operation.name for operation in OPERATIONS]
    assert len(names) == len(set(names)) == 72
    assert [name for name in names if not meeting(name)] == []


NEVER_MET = {
    # A node here is made and started within one step.
    "NodeBeingCreated",
    "NodeBeingStarted",
    # A reference to an application package is refused before there is a task.
    "ApplicationPackageError",
    # Listed among the failures that are not the user's; nothing here retries by itself.
    "MaxInternalRetryCountReached",
}
RESIZE_ERRORS = {
    "AccountCoreQuotaReached",
    "AllocationFailed",
    "AllocationTimedout",
    "RemoveNodesFailed",
    "ResizeStopped",
}
CODES = {*API_ERRORS, *TASK_FAILURES, *SCHEDULING_ERRORS, *RESIZE_ERRORS} - NEVER_MET


def raised_codes() -> Iterator[str]:
    """The codes that the source of the service names."""
    text = "\n".join(path.read_text() for path in SERVER.rglob("*.py"))
    return (code for code in CODES if re.search(rf'"{code}"', text))


def test_every_code_that_the_service_can_answer_is_met_by_a_test_over_http() -> None:
    tested = "\n".join(path.read_text() for folder in TESTS for path in folder.rglob("test_*.py"))
    assert [code for code in sorted(raised_codes()) if not re.search(rf"\b{code}\b", tested)] == []

"""`batchctl validate SPEC…`"""

from pathlib import Path
from typing import Annotated

import typer

from batchctl.cli import console
from batchctl.errors import Problem, SpecError

Specs = Annotated[
    list[Path], typer.Argument(metavar="SPEC...", readable=False, help="Jobspec files.", show_default=False)
]


def validate(specs: Specs) -> None:
    """Check jobspecs, and tell every problem with its place."""
    from batchctl.spec import load

    problems: list[Problem] = []
    for path in specs:
        try:
            spec = load(path)
        except SpecError as error:
            problems += error.problems
            continue
        count = len(spec.sourcemart.tables if spec.sourcemart else spec.tasks)
        noun = ("table" if spec.sourcemart else "task") + ("" if count == 1 else "s")
        console.answer(f"{path}: valid: {spec.name}, {count} {noun}")
    if problems:
        raise SpecError(problems)

"""`batchctl init [FOLDER]`"""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from batchctl.cli import console
from batchctl.errors import UsageError

_TOML = """\
# Targets of this project. `local` needs no settings: it is this machine.
target = "local"

# [targets.prod]
# endpoint = "https://ACCOUNT.REGION.batch.azure.com"
# lake = "az://STORAGE_ACCOUNT/CONTAINER/"
"""

_SPEC = """\
# A jobspec: one pipeline. Try: batchctl validate {file} && batchctl run {file}
name: hello
pool:
  target_dedicated_nodes: 1
parameters:
  name: {{default: world}}
tasks:
  - id: greet
    command: /bin/echo "hello {{{{ params.name }}}}, it is {{{{ scheduled_at | date }}}}"
  - id: count
    command: /bin/sh -c 'for i in 1 2 3; do echo "$AZ_BATCH_TASK_ID $i"; done'
    depends_on: [greet]
"""


def init(
    folder: Annotated[
        Path, typer.Argument(metavar="[FOLDER]", help="Where the project begins.", show_default=False)
    ] = Path(),
) -> None:
    """Write a first jobspec and a batchctl.toml. Files that are there stay as they are."""
    spec = folder / "jobspecs" / "hello.yaml"
    try:
        spec.parent.mkdir(parents=True, exist_ok=True)
        _write(folder / "batchctl.toml", _TOML)
        _write(spec, _SPEC.format(file="jobspecs/hello.yaml"))
        _ignore_state(folder / ".gitignore")
    except OSError as error:
        raise UsageError(f"{error.filename}: {error.strerror}", hint="batchctl init FOLDER") from None
    where = "" if folder == Path() else f"cd {shlex.quote(str(folder))} && "
    console.answer(f"next: {where}batchctl run jobspecs/hello.yaml")


def _ignore_state(path: Path) -> None:
    there = path.read_bytes() if path.exists() else b""
    if b".batchctl/" not in there.splitlines():
        with path.open("ab") as file:
            file.write((b"\n" if there and not there.endswith(b"\n") else b"") + b".batchctl/\n")


def _write(path: Path, text: str) -> None:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        console.story(f"{path} is there already")
    else:
        console.story(f"wrote {path}")

"""The program as a user has it: real processes, a project folder of its own, the local service started on demand."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.key_vault import KeyVault, running_key_vault
from tests.services.conftest import azurite, base_image, engine, image_registry, postgres  # noqa: F401

ROOT = Path(__file__).parents[2]
PROGRAM = str(Path(sys.executable).parent / "batchctl")
DEADLINE = 180.0


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Project:
    """A folder with jobspecs, and the program run in it."""

    folder: Path
    env: dict[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: str, code: int | None = 0, **env: str) -> Done:
        """Run `batchctl arguments`; its exit code must be `code`, unless that is None."""
        done = subprocess.run(
            [PROGRAM, *arguments],
            cwd=self.folder,
            env=self.environment(env),
            capture_output=True,
            timeout=900,  # a machine's first build of an image; the test's own limit ends all others before
        )
        found = Done(done.returncode, done.stdout.decode(), done.stderr.decode())
        assert "Traceback" not in found.err, found.err
        assert code is None or found.code == code, found
        return found

    def start(self, *arguments: str) -> "subprocess.Popen[bytes]":
        """`batchctl arguments` in the background, in a process group of its own."""
        return subprocess.Popen(
            [PROGRAM, *arguments],
            cwd=self.folder,
            env=self.environment({}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def environment(self, more: dict[str, str]) -> dict[str, str]:
        plain = {k: v for k, v in os.environ.items() if not k.startswith(("BATCHCTL_", "AZURE_"))}
        return {**plain, **self.env, **more}

    def write(self, name: str, text: str) -> str:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return name

    def spec(self, tasks: str, name: str = "p", pool: str = "{target_dedicated_nodes: 1}") -> str:
        return self.write(f"{name}.yaml", f"name: {name}\npool: {pool}\ntasks:\n{tasks}")

    def states(self, run: str) -> dict[str, str]:
        return {task["id"]: task["state"] for task in self("status", run, "-o", "json").json["tasks"]}

    def copy(self, *names: str) -> None:
        for name in names:
            source, target = ROOT / name, self.folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)

    def give_tasks(self, spec: str, **variables: str) -> None:
        """What a node of a real pool has by itself, such as an identity: into the environment of the jobspec's tasks."""
        path = self.folder / spec
        assert "\nenvironment:" not in path.read_text()
        path.write_text(f"{path.read_text()}\nenvironment: {json.dumps(variables)}\n")


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    made = Project(tmp_path)
    (tmp_path / ".batchctl").mkdir()
    yield made
    made("local", "down")


@pytest.fixture(scope="session")
def key_vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeyVault]:
    """A Key Vault; its `secrets` are what the test puts there."""
    with running_key_vault(tmp_path_factory.mktemp("vault")) as vault:
        yield vault


def wait_until(is_so: Callable[[], bool], what: str, deadline: float = DEADLINE) -> None:
    """Poll until `is_so()`; fail after `deadline` seconds."""
    end = time.monotonic() + deadline
    while not is_so():
        assert time.monotonic() < end, f"not in {deadline} s: {what}"
        time.sleep(0.05)


def interrupt(process: "subprocess.Popen[bytes]") -> Done:
    """Press Ctrl-C; what came of it."""
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=DEADLINE)
    return Done(process.returncode, out.decode(), err.decode())

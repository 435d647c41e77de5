"""A way to run the installed `stage-run` as a task would, in a folder of the test's own."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

STAGE_RUN = Path(sys.executable).with_name("stage-run")


@dataclass(frozen=True, kw_only=True)
class StageRun:
    """One task's environment; `run` waits for the end, `start` does not."""

    lake: Path
    temporary: Path
    environ: dict[str, str] = field(default_factory=dict)

    def start(self, *command: str, **environ: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [STAGE_RUN, "--", *command],
            env=self.environ | environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, *command: str, **environ: str) -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run(
            [STAGE_RUN, "--", *command],
            env=self.environ | environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=120,
            check=False,
        )

    def shell(self, script: str, **environ: str) -> "subprocess.CompletedProcess[bytes]":
        return self.run("/bin/sh", "-c", script, **environ)

    def attempts(self, task: str = "extract") -> list[Path]:
        folder = self.lake / task
        return sorted(folder.iterdir()) if folder.exists() else []

    def record(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads((self.attempts()[-1] / "record.json").read_text())
        return loaded


@pytest.fixture
def stage_run(tmp_path: Path) -> StageRun:
    """`stage-run` as task `extract` of run `weather-1`, with a lake in a temporary folder."""
    lake, temporary = tmp_path / "lake", tmp_path / "tmp"
    temporary.mkdir()
    environ = {
        "PATH": f"{STAGE_RUN.parent}{os.pathsep}{os.environ['PATH']}",
        "TMPDIR": str(temporary),
        "BATCHCTL_RUNS_URL": f"{lake.as_uri()}/",
        "BATCHCTL_PIPELINE": "weather",
        "BATCHCTL_RUN": "weather-1",
        "BATCHCTL_SCHEDULED_AT": "2026-01-31T06:00:00Z",
        "AZ_BATCH_TASK_ID": "extract",
        "AZ_BATCH_NODE_ID": "node-7",
        "AZ_BATCH_POOL_ID": "etl",
    }
    return StageRun(lake=lake / "weather-1", temporary=temporary, environ=environ)


def eventually(condition: Callable[[], bool], *, seconds: float = 60.0) -> bool:
    """Poll `condition` until it is true or `seconds` have passed; whether it became true."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


@pytest.fixture(name="eventually")
def eventually_fixture() -> Callable[..., bool]:
    return eventually

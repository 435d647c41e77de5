"""A schedule with a one-minute recurrence on the local service, by the real clock: how late its runs begin. Takes six minutes.

First with conductor and tasks as processes, then, where there is an engine, with all of them in containers.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import docker

from tests.benchmarks.table import Row
from tests.services.docker_services import EngineMissing, provide_base_image, shared_engine

ROOT = Path(__file__).parents[2]
PROGRAM = str(Path(sys.executable).parent / "batchctl")
SPEC = """\
name: minutely
schedule: {cron: "* * * * *"}
pool: {target_dedicated_nodes: 1}
tasks:
  - {id: a, command: "/bin/echo {{ scheduled_at | iso }}"}
  - {id: b, command: /bin/true, depends_on: [a]}
"""
BOXED = (
    SPEC.replace("{id:", "{image: etl, id:")
    + "images: {etl: {context: source/images, dockerfile: etl/Dockerfile}}\n"
)
SETTINGS = """\
[targets.local]
kind = "local"
runtime = "docker"
conductor_context = "source"
conductor_dockerfile = "images/conductor/Dockerfile"
"""
FIRINGS = 2
DEADLINE = 300.0


def rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "minutely.yaml").write_text(SPEC)
        yield from _fired(folder, "processes")
    try:
        with shared_engine() as host, tempfile.TemporaryDirectory() as folder:
            os.environ["DOCKER_HOST"] = host
            client = docker.DockerClient(host, timeout=300)
            provide_base_image(client)
            client.close()
            _copy_source(Path(folder) / "source")
            (Path(folder) / "batchctl.toml").write_text(SETTINGS)
            (Path(folder) / "minutely.yaml").write_text(BOXED)
            _run(folder, "image", "build", "minutely.yaml")
            yield from _fired(folder, "containers")
    except EngineMissing as error:
        print(f"not measured: {error}")


def _copy_source(folder: Path) -> None:
    unwanted = shutil.ignore_patterns("__pycache__", "build", "*.egg-info")
    for name in ("batchctl", "images"):
        shutil.copytree(ROOT / name, folder / name, ignore=unwanted)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)


def _fired(folder: str, runtime: str) -> Iterator[Row]:
    _run(folder, "local", "up")
    try:
        _run(folder, "schedule", "apply", "minutely.yaml")
        for run in _wait_for_runs(folder):
            assert run["state"] == "succeeded", run
            assert _run(folder, "logs", run["run"], "a").strip() == run["scheduled_at"]
            late = _moment(run["started_at"]) - _moment(run["scheduled_at"])
            took = _moment(run["finished_at"]) - _moment(run["scheduled_at"])
            yield Row(
                what=f"{runtime}, firing of {run['scheduled_at']}: run created after", ours=late, reference=1, unit="s",
                goal="<= 1", ratio=late, note=f"conductor and tasks done after {took:.2f} s; reference: 1 s",
            )  # fmt: skip
    finally:
        _run(folder, "local", "down")


def _wait_for_runs(folder: str) -> list[dict[str, Any]]:
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        found = [run for run in json.loads(_run(folder, "runs", "-o", "json")) if run["state"] != "running"]
        if len(found) >= FIRINGS:
            return sorted(found, key=lambda run: str(run["scheduled_at"]))[:FIRINGS]
        time.sleep(2)
    raise AssertionError(f"it did not fire {FIRINGS} times in {DEADLINE} s")


def _run(folder: str, *arguments: str) -> str:
    return subprocess.run(
        [PROGRAM, *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()

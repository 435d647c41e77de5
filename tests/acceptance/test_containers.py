"""Runs and schedules whose tasks, and conductor, run in the images of this repository, on a real engine with a real registry."""

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import duckdb
import pytest

from batchctl.server import LocalServer, daemon
from batchctl.server.batch.runner.docker.body import STATE_LABEL
from batchctl.targets.connect import connect
from tests.acceptance.conftest import ROOT, Project, wait_until
from tests.acceptance.test_schedules import Clock, Scheduled
from tests.services.docker_services import CACHE, base_reference

pytestmark = pytest.mark.timeout(900)  # the first build of a machine downloads every wheel

WEATHER = "jobspecs/weather.yaml"
SETTINGS = """\
[targets.local]
kind = "local"
runtime = "docker"
registry = "{registry}"
conductor_context = "repository"
conductor_dockerfile = "images/conductor/Dockerfile"
"""
TOOL = """\
name: tool
schedule: {{cron: "* * * * *"}}
pool: {{target_dedicated_nodes: 1}}
images:
  tool: {{reference: "{reference}", stage_run: false}}
tasks:
  - {{id: say, image: tool, command: cat /version}}
  - {{id: entry, image: tool, depends_on: [say]}}
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository as it is now: somebody may be editing it."""
    folder = tmp_path_factory.mktemp("ours") / "repository"
    unwanted = shutil.ignore_patterns("__pycache__", "build", "*.egg-info")
    for name in ("batchctl", "images", "jobspecs"):
        shutil.copytree(ROOT / name, folder / name, ignore=unwanted)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    return folder


@pytest.fixture
def boxed(
    project: Project, engine: docker.DockerClient, base_image: str, image_registry: str, repository: Path
) -> Iterator[Project]:
    """A project whose target has a registry and runs tasks in containers; it leaves none behind. The images are built once a machine."""
    (project.folder / "repository").symlink_to(repository)
    (project.folder / "images").symlink_to(repository / "images")
    shutil.copytree(repository / "jobspecs", project.folder / "jobspecs")
    configure(project, image_registry)
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "building").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        project("image", "build", WEATHER)
    yield project
    project("local", "down")
    ours = engine.api.containers(all=True, filters={"label": STATE_LABEL})
    assert [one for one in ours if str(project.folder) in one["Labels"][STATE_LABEL]] == []


def configure(project: Project, registry: str, **more: str) -> None:
    extra = "".join(f'{key} = "{value}"\n' for key, value in more.items())
    project.write("batchctl.toml", SETTINGS.format(registry=registry) + extra)


def containers(project: Project, run: str) -> dict[str, dict[str, Any]]:
    """Task -> the container that Batch says it ran in."""
    service = daemon.find(project.folder / ".batchctl" / "local")
    assert service is not None
    with connect(service.endpoint, account=service.account, key=service.key) as batch:
        return {task["id"]: task["executionInfo"].get("containerInfo", {}) for task in batch.tasks(run)}


def rows(project: Project) -> list[tuple[Any, ...]]:
    with duckdb.connect(
        str(project.folder / ".batchctl/lake/curated/weather.duckdb"), read_only=True
    ) as database:
        names = database.execute(
            "SELECT table_name FROM duckdb_tables() WHERE table_name NOT LIKE '%batchctl%'"
        ).fetchall()
        return [row for (name,) in names for row in database.execute(f"FROM {name} ORDER BY ALL").fetchall()]


def test_three_containers_give_the_rows_that_three_processes_give(boxed: Project) -> None:
    run = boxed("run", WEATHER, "--runtime", "process", "-o", "json").json["run"]
    assert containers(boxed, run) == {"extract": {}, "transform": {}, "load": {}}
    expected = rows(boxed)
    (boxed.folder / ".batchctl/lake/curated/weather.duckdb").unlink()
    said = boxed("run", WEATHER, "-o", "json")
    found = containers(boxed, said.json["run"])
    assert len({one["containerId"] for one in found.values()}) == 3
    assert rows(boxed) == expected
    assert len(expected) > 0
    assert "etl | Step" not in said.err, "the image was built before"
    assert {one["done"] for one in boxed("image", "build", WEATHER, "-o", "json").json} == {"unchanged"}
    assert {one["done"] for one in boxed("image", "push", WEATHER, "-o", "json").json} >= {"unchanged"}
    owners = {path.stat().st_uid for path in (boxed.folder / ".batchctl/lake").rglob("*")}
    assert owners == {os.getuid()}


def test_an_image_that_is_not_there_is_refused(boxed: Project, image_registry: str) -> None:
    spec = 'name: t\npool: {{target_dedicated_nodes: 1}}\nimages: {{t: {{reference: "{}", stage_run: false}}}}\ntasks: [{{id: a, image: t}}]\n'
    gone = f"{image_registry}/gone@sha256:{'0' * 64}"
    assert f"there is no image {gone}" in boxed("run", boxed.write("t.yaml", spec.format(gone)), code=4).err
    assert "this is no digest" in boxed("run", boxed.write("t.yaml", spec.format("x@sha256:abc")), code=2).err


def test_why_a_run_waits_is_told(boxed: Project) -> None:
    """A service without an engine: its nodes say so, and so do `run` and `status`."""
    boxed("image", "push", WEATHER)
    boxed("local", "down")
    boxed.env["DOCKER_HOST"] = "unix:///nowhere.sock"
    waiting = boxed.start("run", WEATHER)
    try:
        told = "is unusable: NodePreparationError"
        assert waiting.stderr is not None
        lines = (line.decode() for line in waiting.stderr)
        warned = next(line for line in lines if line.startswith(("warning: ", "run ")))
        assert "no Docker Engine answers at unix:///nowhere.sock" in warned, "at once, before the submission"
        assert "waits until an engine does" in warned
        assert "systemctl start docker" in next(lines)
        assert told in next(line for line in lines if line.startswith("waiting: "))
        assert told in boxed("status", "weather").out
        boxed("cancel", "weather")
        waiting.communicate(timeout=120)
    finally:
        waiting.kill()
        boxed.env.pop("DOCKER_HOST")


def test_what_changed_is_built_by_run_and_refused_without(boxed: Project, image_registry: str) -> None:
    context = boxed.folder / "tool"
    boxed.write("tool/Dockerfile", f"FROM {base_reference()}\nCOPY version /version\n")
    boxed.write("tool/version", "first")
    spec = boxed.write(
        "t.yaml",
        "name: t\npool: {target_dedicated_nodes: 1}\nimages: {t: {context: tool, stage_run: false}}\n"
        "tasks: [{id: say, image: t, command: cat /version}]\n",
    )
    refused = boxed("run", spec, "--no-build", code=4)
    assert "the image t is not in" in refused.err
    run = boxed("run", spec, "-o", "json").json["run"]
    assert "first" in boxed("logs", run).out
    (context / "version").write_text(f"second {boxed.folder}")
    boxed("run", spec, "--no-build", code=4)
    run = boxed("run", spec, "-o", "json").json["run"]
    assert "second" in boxed("logs", run).out
    # Without a registry the engine's own id names it.
    configure(boxed, "")
    body = boxed("plan", spec, "--run", "-o", "json", code=4)
    assert "batchctl image build" in body.err
    boxed("run", spec)
    body = boxed("plan", spec, "--run", "-o", "json").json
    (image,) = {c["body"]["containerSettings"]["imageName"] for c in body["changes"] if c["kind"] == "task"}
    assert image.startswith("sha256:")


@pytest.fixture
def on_a_clock(boxed: Project, image_registry: str) -> Iterator[Scheduled]:
    """Like `boxed`, on a service whose clock the test moves."""
    clock, lake = Clock(), boxed.folder / ".batchctl" / "lake"
    with LocalServer(boxed.folder / ".batchctl" / "local", clock=clock, output_folder=lake) as server:
        configure(boxed, image_registry, endpoint=server.endpoint)
        yield Scheduled(boxed, server, clock)


def fired(scheduled: Scheduled, pipeline: str) -> str:
    """Let the schedule fire once more; the run, when it has succeeded."""

    def runs() -> list[dict[str, str]]:
        found: list[dict[str, str]] = scheduled.project("runs", pipeline, "-o", "json").json
        return found

    # The service's clock is ahead of the commands': a schedule just applied may have fired at once.
    wait_until(lambda: all(run["state"] != "running" for run in runs()), "nothing runs any more")
    before = len(runs())
    scheduled.advance(121)  # a new schedule begins at most two minutes from now
    wait_until(lambda: len(runs()) > before, "the schedule fires")
    run = runs()[0]["run"]
    scheduled.project("wait", run)
    return run


def test_conductor_and_stages_of_a_scheduled_run_are_containers(on_a_clock: Scheduled) -> None:
    project = on_a_clock.project
    spec = project.write(WEATHER, re.sub(r'cron: ".*?"', 'cron: "* * * * *"', (ROOT / WEATHER).read_text()))
    project("image", "push", spec)
    project("schedule", "apply", spec)
    run = fired(on_a_clock, "weather")
    with connect(
        on_a_clock.server.endpoint, account=on_a_clock.server.account, key=on_a_clock.server.key
    ) as batch:
        found = {
            task["id"]: task["executionInfo"]["containerInfo"]["containerId"] for task in batch.tasks(run)
        }
    assert set(found) == {"conductor", "extract", "transform", "load"}
    assert len(set(found.values())) == 4
    assert rows(project)


def test_a_schedule_runs_the_digest_it_was_applied_with(
    on_a_clock: Scheduled, engine: docker.DockerClient, image_registry: str
) -> None:
    project = on_a_clock.project
    name = f"{image_registry}/tool"

    def push(version: str) -> None:
        dockerfile = f'FROM {base_reference()}\nRUN echo {version} > /version\nENTRYPOINT ["sh", "-c", "echo entry $(cat /version)"]\n'
        folder = project.folder / version
        folder.mkdir()
        (folder / "Dockerfile").write_text(dockerfile)
        engine.images.build(path=str(folder), tag=f"{name}:1", rm=True)
        engine.images.push(name, tag="1")

    push("one")
    spec = project.write("tool.yaml", TOOL.format(reference=f"{name}:1"))
    project("image", "push")
    project("schedule", "apply", spec)
    assert "No changes" in project("plan", spec).out
    assert project("logs", fired(on_a_clock, "tool"), "entry").out == "entry one\n"
    push("two")
    changed = project("plan", spec, "--check", code=3).out
    assert re.search(r"images.tool: \S+/tool@sha256:[0-9a-f]{12} -> \S+/tool@sha256:[0-9a-f]{12}\n", changed)
    assert project("logs", fired(on_a_clock, "tool"), "entry").out == "entry one\n"
    project("schedule", "apply", spec)
    assert project("logs", fired(on_a_clock, "tool"), "entry").out == "entry two\n"

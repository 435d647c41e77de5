"""The images of this repository, built by the program as anybody would: slim, for any user, and changed in their last layer only."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docker
import pytest

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.timeout(900)  # the first build of a machine downloads every wheel

LARGEST = {"etl": 650e6, "conductor": 400e6}
"""Bytes on a node, base image included: Debian's own Python is larger than the slim one."""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository as it is now: somebody may be editing it."""
    folder = tmp_path_factory.mktemp("repository")
    unwanted = shutil.ignore_patterns("__pycache__", "build", "*.egg-info")
    for name in ("batchctl", "images"):
        shutil.copytree(ROOT / name, folder / name, ignore=unwanted)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    return folder


def etl_of(repository: Path) -> dict[str, Any]:
    return {"etl": {"context": str(repository / "images"), "dockerfile": "etl/Dockerfile"}}


@pytest.fixture
def images(
    make_project: Callable[[str], Any], engine: docker.DockerClient, base_image: str, repository: Path
) -> dict[str, dict[str, Any]]:
    project = make_project("ours")
    project.spec(etl_of(repository))
    project.settings(conductor_context=str(repository), conductor_dockerfile="images/conductor/Dockerfile")
    return {one["name"]: one for one in project("image", "build", "-o", "json").json}


def run(engine: docker.DockerClient, image: dict[str, Any], command: list[str], **more: Any) -> str:
    name = f"{image['repository']}:{image['tag']}"
    return str(engine.containers.run(name, command, remove=True, stderr=True, **more).decode())


def test_they_run_for_any_user_and_are_slim(images: dict[str, Any], engine: docker.DockerClient) -> None:
    assert set(images) == {"etl", "conductor"}
    for name, image in images.items():
        found = engine.images.get(f"{image['repository']}:{image['tag']}")
        assert found.attrs["Size"] < LARGEST[name]
        assert found.attrs["Config"]["User"] not in ("", "root", "0")
        assert not found.attrs["Config"]["Entrypoint"]
        assert run(engine, image, ["sh", "-c", "id -u; which pip || true"]).split() == ["65532"]
    assert "etl" in run(engine, images["etl"], ["etl", "--version"], user="12345")
    assert "batchctl" in run(engine, images["conductor"], ["batchctl", "--version"], user="12345")
    with pytest.raises(docker.errors.ContainerError, match="AZ_BATCH_ACCOUNT_URL is not set"):
        run(engine, images["conductor"], ["batchctl-conductor"], user="12345")


def test_stages_give_the_same_rows_in_a_container(
    images: dict[str, Any], engine: docker.DockerClient, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    work.chmod(0o777)
    config = {
        "input": {"url": "seattle-weather.csv"},
        "sql": "SELECT count(*) AS days, max(temp_max) AS hottest FROM input",
        "sink": {"url": "out.jsonl"},
    }
    shutil.copy(ROOT / "jobspecs" / "samples" / "seattle-weather.csv", work)
    run(
        engine, images["etl"], ["stage-run", "--", "etl", "transform"], working_dir="/data", user="12345",
        volumes=[f"{work}:/data"],
        environment={
            "BATCHCTL_CONFIG": json.dumps(config), "BATCHCTL_PIPELINE": "p", "BATCHCTL_RUN": "r", "AZ_BATCH_TASK_ID": "t",
            "AZ_BATCH_JOB_ID": "r", "BATCHCTL_RUNS_URL": "file:///data/runs/", "BATCHCTL_SCHEDULED_AT": "2026-01-31T06:00:00Z",
        },
    )  # fmt: skip
    assert json.loads((work / "out.jsonl").read_text()) == {"days": 1461, "hottest": 35.6}
    (record,) = (work / "runs" / "r" / "t").glob("*/record.json")
    assert json.loads(record.read_text())["exit_code"] == 0
    assert (work / "out.jsonl").stat().st_uid == 12345


def test_a_changed_line_changes_the_last_layer_only(
    make_project: Callable[[str], Any], engine: docker.DockerClient, base_image: str, repository: Path
) -> None:
    project = make_project("ours")
    project.spec(etl_of(repository))
    before = project.image("build")
    with (repository / "images" / "etl" / "batchctl_etl" / "__init__.py").open("a") as file:
        file.write(f"# changed by {os.getpid()}\n")
    after = project.image("build")
    old, new = (
        engine.images.get(f"{one['repository']}:{one['tag']}").attrs["RootFS"]["Layers"]
        for one in (before, after)
    )
    assert before["tag"] != after["tag"]
    assert old[:-1] == new[:-1]
    assert old[-1] != new[-1]

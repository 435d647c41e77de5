"""`image list` and `image prune` with a real engine, a real registry and the local Batch service."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from batchctl.errors import Refused
from batchctl.server import LocalServer
from batchctl.targets.batch import Batch
from batchctl.targets.connect import connect
from batchctl.targets.registry import Registry

POOL = {
    "id": "p",
    "vmSize": "STANDARD_D2S_V5",
    "targetDedicatedNodes": 0,
    "virtualMachineConfiguration": {
        "imageReference": {
            "publisher": "microsoft-dsvm",
            "offer": "ubuntu-hpc",
            "sku": "2204",
            "version": "latest",
        },
        "nodeAgentSKUId": "batch.node.ubuntu 22.04",
    },
}


@pytest.fixture
def account(
    project: Any, image_registry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Batch]:
    """A Batch account: the project's target."""
    with LocalServer(tmp_path / "account", grace_seconds=0.2) as server:
        project.settings(
            kind="azure",
            endpoint=server.endpoint,
            account=server.account,
            lake=tmp_path.as_uri(),
            registry=image_registry,
        )
        monkeypatch.setenv("BATCHCTL_KEY", server.key)
        with connect(server.endpoint, account=server.account, key=server.key) as batch:
            yield batch


def versions(project: Any, count: int) -> list[dict[str, Any]]:
    """Push `count` contents of the project's image, the oldest first."""
    made = []
    for number in range(count):
        project.file("code", f"version {number}\n")
        made.append(project.image("push"))
    return made


def tags(project: Any, *arguments: str) -> list[str]:
    return [one["tag"] for one in project("image", "list", "jobspecs/p.yaml", *arguments, "-o", "json").json]


def test_list_tells_digest_size_and_place(project: Any, engine: docker.DockerClient) -> None:
    (pushed,) = versions(project, 1)
    project.file("code", "not pushed\n")
    built = project.image("build")
    rows = {one["tag"]: one for one in project("image", "list", "jobspecs/p.yaml", "-o", "json").json}
    assert set(rows) == {pushed["tag"], built["tag"]}
    there, here = rows[pushed["tag"]], rows[built["tag"]]
    assert (there["engine"], there["registry"]) == (True, True)
    assert (here["engine"], here["registry"]) == (True, False)
    assert there["digest"] == pushed["digest"]
    assert there["reference"] == pushed["reference"]
    assert here["digest"] == here["reference"] == ""
    assert there["size"] > 0
    assert there["download"] > 0
    assert here["download"] is None
    engine.images.remove(f"{pushed['repository']}:{pushed['tag']}")
    rows = {one["tag"]: one for one in project("image", "list", "jobspecs/p.yaml", "-o", "json").json}
    assert rows[pushed["tag"]]["engine"] is False
    assert pushed["digest"][:19] in project("image", "list").out


def test_prune_shows_first_and_keeps_the_newest(project: Any, account: Batch) -> None:
    made = [one["tag"] for one in versions(project, 4)]
    shown = project("image", "prune", "jobspecs/p.yaml", "--keep", "2")
    assert "2 would be removed, 2 kept; --yes removes them" in shown.err
    assert sorted(tags(project)) == sorted(made)
    removed = project(
        "image", "prune", "jobspecs/p.yaml", "--keep", "2", "--registry", "--yes", "-o", "json"
    ).json
    assert len(removed) == 2
    left = set(tags(project))
    assert left == set(made) - {one["tag"] for one in removed}
    assert "0 removed, 2 kept" in project("image", "prune", "jobspecs/p.yaml", "--keep", "2", "--yes").err


def test_prune_of_the_engine_leaves_the_registry_alone(project: Any, account: Batch) -> None:
    made = [one["tag"] for one in versions(project, 2)]
    project("image", "prune", "jobspecs/p.yaml", "--keep", "0", "--yes")
    rows = project("image", "list", "jobspecs/p.yaml", "-o", "json").json
    assert sorted(one["tag"] for one in rows) == sorted(made)
    assert not any(one["engine"] for one in rows)


def test_what_was_pulled_by_its_digest_is_listed_and_pruned(
    project: Any, account: Batch, engine: docker.DockerClient
) -> None:
    """As nodes pull: it has no tag then."""
    (made,) = versions(project, 1)
    engine.images.remove(f"{made['repository']}:{made['tag']}")
    engine.api.pull(made["reference"])
    (row,) = project("image", "list", "jobspecs/p.yaml", "-o", "json").json
    assert (row["tag"], row["digest"], row["engine"]) == (made["tag"], made["digest"], True)
    said = project("image", "prune", "jobspecs/p.yaml", "--keep", "0", "--yes")
    assert "1 removed, 0 kept" in said.err
    assert engine.images.list(filters={"label": f"io.batchctl.image={made['name']}"}) == []


def test_prune_keeps_what_a_pool_names(project: Any, account: Batch) -> None:
    made = versions(project, 3)
    machine = POOL["virtualMachineConfiguration"]
    assert isinstance(machine, dict)
    containers = {"type": "dockerCompatible", "containerImageNames": [made[0]["reference"]]}
    account.create_pool(
        {**POOL, "virtualMachineConfiguration": {**machine, "containerConfiguration": containers}}
    )
    project("image", "prune", "jobspecs/p.yaml", "--keep", "0", "--registry", "--yes")
    assert tags(project) == [made[0]["tag"]]
    account.delete_pool("p", wait=True)
    project("image", "prune", "jobspecs/p.yaml", "--keep", "0", "--registry", "--yes")
    assert tags(project) == []


def test_prune_does_not_take_what_a_container_uses(
    project: Any, account: Batch, engine: docker.DockerClient
) -> None:
    (made,) = versions(project, 1)
    container = engine.containers.create(f"{made['repository']}:{made['tag']}", "never-started")
    try:
        said = project("image", "prune", "jobspecs/p.yaml", "--keep", "0", "--yes", code=5)
        assert "0 removed" in said.err
        assert container.short_id in said.err
        assert tags(project) == [made["tag"]]
    finally:
        container.remove()


def test_prune_goes_on_where_the_registry_deletes_nothing(
    project: Any, account: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [one["tag"] for one in versions(project, 3)]

    def refuse(registry: Registry, path: str, digest: str) -> None:
        raise Refused(f"{registry.host} does not allow deleting", hint="storage.delete.enabled: true")

    monkeypatch.setattr(Registry, "delete", refuse)
    said = project("image", "prune", "jobspecs/p.yaml", "--keep", "1", "--registry", "--yes", code=5)
    assert all(tag in said.out for tag in made[:2]), "the table"
    assert "0 removed, 1 kept" in said.err
    assert said.err.count("does not allow deleting") == 1
    assert "hint: storage.delete.enabled: true" in said.err
    rows = project("image", "list", "jobspecs/p.yaml", "-o", "json").json
    assert {one["tag"]: one["engine"] for one in rows} == dict(
        zip(made, (False, False, True), strict=True)
    ), "the engine's are gone"


def test_prune_takes_what_stages_of_builds_left(
    project: Any, account: Batch, engine: docker.DockerClient
) -> None:
    label = f"io.batchctl.stage={project.folder.name}"

    def left() -> int:
        return len(engine.images.list(filters={"label": label, "dangling": True}))

    project.file(
        "Dockerfile",
        "FROM scratch AS one\nCOPY code /code\nFROM one AS none\nFROM scratch\nCOPY --from=one /code /c\n",
    )
    project.file("code", "first\n")
    project.image("push")
    project.image("push", "--rebuild")
    assert left() == 2
    project.file("code", "second\n")
    made = project.image("push")
    assert left() == 3
    shown = project("image", "prune", "jobspecs/p.yaml", "--keep", "1")
    assert shown.out.count("(build stage)") == 2
    assert "3 would be removed, 1 kept" in shown.err
    assert left() == 3
    project("image", "prune", "jobspecs/p.yaml", "--keep", "1", "--yes")
    assert left() == 1, "that of the image that stays, for its next build"
    assert tags(project)[0] == made["tag"]
    project("image", "prune", "jobspecs/p.yaml", "--keep", "0", "--yes")
    assert left() == 0


def test_prune_touches_no_image_of_others(
    project: Any, account: Batch, engine: docker.DockerClient, base_image: str
) -> None:
    project("image", "prune", "jobspecs/p.yaml", "--keep", "0", "--yes")
    assert engine.images.get(base_image)

"""`image build` and `image push` with a real engine and a real registry."""

import json
import shutil
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import docker
import pytest

from batchctl.spec import load
from batchctl.targets.settings import read_settings
from batchctl.workflows.images import How, pinned_conductor, pinned_images

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
NOWHERE = "unix:///nonexistent/docker.sock"


def manifest(registry: str, name: str, reference: str) -> dict[str, Any]:
    request = urllib.request.Request(
        f"http://{registry}/v2/{name}/manifests/{reference}", headers={"Accept": MANIFEST}
    )
    with urllib.request.urlopen(request) as answer:
        return dict(json.load(answer))


def settings_of(project: Any) -> Any:
    return read_settings(None, cwd=project.folder, environ={})


def test_an_unchanged_image_is_not_built_again(project: Any) -> None:
    first, again = project("image", "build"), project("image", "build")
    assert "built" in first.out
    assert "Step 1/" in first.err
    assert "unchanged" in again.out
    assert again.err == ""
    assert first.out.split()[-1] == again.out.split()[-1]


def test_a_changed_line_is_another_image(project: Any) -> None:
    before = project.image("build")
    project.file("code", "second\n")
    after = project.image("build")
    assert after["done"] == "built"
    assert after["tag"] != before["tag"]


def test_what_dockerignore_names_changes_nothing(project: Any) -> None:
    project.file(".dockerignore", "*.log\n")
    before = project.image("build")
    project.file("noise.log", "x")
    assert project.image("build") == {**before, "done": "unchanged"}


def test_labels_tell_where_an_image_is_from(project: Any, engine: docker.DockerClient) -> None:
    made = project.image("build")
    labels = engine.images.get(f"{made['repository']}:{made['tag']}").labels
    assert labels["io.batchctl.image"] == made["name"] == labels["org.opencontainers.image.title"]
    assert labels["io.batchctl.context"].startswith(f"sha256:{made['tag']}")
    created = datetime.fromisoformat(labels["org.opencontainers.image.created"])
    assert abs((datetime.now(UTC) - created).total_seconds()) < 3600
    assert "org.opencontainers.image.revision" not in labels  # it is no git repository


def test_push_answers_the_digest_of_the_registry(project: Any, image_registry: str) -> None:
    pushed = project.image("push")
    assert pushed["done"] == "pushed"
    assert pushed["reference"] == f"{image_registry}/{pushed['name']}@{pushed['digest']}"
    assert manifest(image_registry, pushed["name"], pushed["digest"]) == manifest(
        image_registry, pushed["name"], pushed["tag"]
    )


def test_an_unchanged_image_is_pushed_once_and_then_needs_no_engine(
    project: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed = project.image("push")
    monkeypatch.setenv("DOCKER_HOST", NOWHERE)
    again = project("image", "push", "-o", "json")
    assert again.json == [{**pushed, "done": "unchanged"}]
    assert again.err == ""


def test_a_changed_line_moves_the_last_layer_only(project: Any, image_registry: str) -> None:
    before = project.image("push")
    project.file("code", "another\n")
    after = project.image("push")
    old, new = (manifest(image_registry, one["name"], one["tag"])["layers"] for one in (before, after))
    assert old[:-1] == new[:-1]
    assert old[-1] != new[-1]


def test_a_plan_knows_the_digest_without_an_engine(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pushed = project.image("push")
    monkeypatch.setenv("DOCKER_HOST", NOWHERE)
    path = project.folder / "jobspecs" / "p.yaml"
    assert pinned_images(load(path), path, settings_of(project)) == {pushed["name"]: pushed["reference"]}


def test_a_run_builds_and_pushes_what_changed_or_refuses(project: Any) -> None:
    from batchctl.errors import Refused

    path = project.folder / "jobspecs" / "p.yaml"
    with pytest.raises(Refused, match=r"as it is in .*tool") as refused:
        pinned_images(load(path), path, settings_of(project))
    assert refused.value.hint == f"batchctl image push {path}"
    said = []
    how = How(now=datetime.now(UTC), show=lambda name, event: said.append(name))
    made = pinned_images(load(path), path, settings_of(project), how=how)
    assert made == pinned_images(load(path), path, settings_of(project))
    assert said


def test_a_tag_of_somebody_else_is_pinned_and_moves_with_rebuild(project: Any, image_registry: str) -> None:
    first = project.image("push")
    name = first["name"]
    path = project.spec({"named": {"reference": f"{image_registry}/{name}:{first['tag']}"}}, name="q")
    pinned = pinned_images(load(path), path, settings_of(project))
    assert pinned == {"named": first["reference"]}
    # the same tag with new content: an older image is what its digest says for ever
    again = project.image("push", "jobspecs/p.yaml", "--rebuild")
    if again["digest"] == first["digest"]:  # built within the same second
        again = project.image("push", "jobspecs/p.yaml", "--rebuild")
    assert again["tag"] == first["tag"]
    assert again["digest"] != first["digest"]
    assert pinned_images(load(path), path, settings_of(project)) == {"named": again["reference"]}
    assert manifest(image_registry, name, first["digest"])


def test_the_conductor_is_built_from_the_settings(project: Any, image_registry: str) -> None:
    project.settings(registry=image_registry, conductor_context="tool")
    names = {one["name"]: one for one in project("image", "push", "-o", "json").json}
    assert set(names) == {"conductor", "the-conductor-is-built-from-the-settings"}
    assert pinned_conductor(settings_of(project)) == names["conductor"]["reference"]
    fixed = f"{image_registry}/conductor@{names['conductor']['digest']}"
    project.settings(registry=image_registry, conductor_image=fixed)
    assert pinned_conductor(settings_of(project)) == fixed


def test_build_args_and_another_dockerfile_are_used(
    project: Any, base_image: str, engine: docker.DockerClient
) -> None:
    name = "build-args"
    project.spec(
        {name: {"context": "../tool", "dockerfile": "docker/Other", "build_args": {"BASE": base_image}}}
    )
    project.file("docker/Other", 'ARG BASE=scratch\nFROM ${BASE}\nCOPY code /code\nCMD ["cat", "/code"]\n')
    project.file("docker/Other.dockerignore", "data\n")
    made = project.image("build")
    assert engine.containers.run(f"{made['repository']}:{made['tag']}", remove=True) == b"first\n"


def test_two_jobspecs_share_one_image(project: Any) -> None:
    shutil.copy(project.folder / "jobspecs" / "p.yaml", project.folder / "jobspecs" / "q.yaml")
    assert project.image("build")["done"] == "built"


def test_an_executable_stays_one_and_links_stay_links(
    project: Any, base_image: str, engine: docker.DockerClient
) -> None:
    project.file("Dockerfile", f'FROM {base_image}\nCOPY . /tool/\nCMD ["/tool/link"]\n')
    program: Path = project.file("program", "#!/bin/sh\necho ran\n")
    program.chmod(0o700)
    (project.context / "link").symlink_to("program")
    made = project.image("build")
    said = engine.containers.run(f"{made['repository']}:{made['tag']}", remove=True, user="12345")
    assert said == b"ran\n"

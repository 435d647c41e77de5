"""What goes wrong with images, and what is said then. Every error names its place or its remedy; none shows a secret."""

import base64
import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import docker
import pytest
from docker_services import engine_command, free_port, running_registry, wait_for_engine

from batchctl.cli import image_progress
from tests.services.conftest import missing

PASSWORD = "s3cret-pass"
HTPASSWD = "tester:$2b$04$V7/wmztbXWZPjzgKgG0yxuHeqNawgKza0YoI0T4AH9xXUdFmrmbv6\n"
"""The password, as bcrypt with the lowest cost."""


@pytest.fixture
def locked_registry(tmp_path: Path) -> Iterator[str]:
    """A registry that lets nobody in but `tester`."""
    port = free_port()
    users = tmp_path / "htpasswd"
    users.write_text(HTPASSWD)
    with running_registry(tmp_path / "locked", port, users):
        yield f"localhost:{port}"


@pytest.fixture(autouse=True)
def docker_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Docker's configuration of a user who never signed in anywhere."""
    folder = tmp_path / "docker-config"
    folder.mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))
    return folder / "config.json"


def test_a_failing_step_is_shown_with_its_line_and_its_last_words(project: Any, base_image: str) -> None:
    project.file(
        "Dockerfile",
        f'# a comment\nFROM {base_image}\n\nRUN echo fine\nRUN echo one && \\\n    # inside\n    echo last words && exit 7\nCMD ["x"]\n',
    )
    said = project("image", "build", code=5)
    error = said.err[said.err.index("error: ") :]
    assert "tool/Dockerfile:5: RUN echo one" in error
    assert "exit code 7" in error
    assert "  | one\n  | last words\n" in error
    assert "fine" not in error


def test_what_a_step_wrote_to_stderr_is_shown_plain(project: Any, base_image: str) -> None:
    project.file("Dockerfile", f"FROM {base_image}\nRUN echo went wrong >&2; exit 3\n")
    said = project("image", "build", code=5)
    assert "  | went wrong\n" in said.err
    assert "\x1b" not in said.err


def test_a_missing_file_is_told_at_its_line(project: Any) -> None:
    project.file("Dockerfile", "FROM scratch\nCOPY code /code\nCOPY nothing /nothing\n")
    said = project("image", "build", code=5)
    assert "tool/Dockerfile:3: COPY nothing /nothing" in said.err


@pytest.mark.parametrize("form", ["table", "json"])
def test_what_was_pushed_before_another_failed_is_told(project: Any, form: str) -> None:
    name = f"{project.folder.name}-{form}"
    (project.folder / "broken").mkdir()
    (project.folder / "broken" / "Dockerfile").write_text("FROM scratch\nCOPY nothing /\n")
    project.spec({project.folder.name: {"context": "../tool"}, name: {"context": "../broken"}})
    said = project("image", "push", "-o", form, code=5)
    assert "could not build" in said.err
    assert f"/{project.folder.name}@sha256:" in said.out
    assert name not in said.out


def test_a_base_image_that_is_only_here_can_be_rebuilt_on(
    project: Any, base_image: str, engine: docker.DockerClient
) -> None:
    engine.images.get(base_image).tag("only-here", "1")
    try:
        project.file("Dockerfile", "FROM only-here:1\nCOPY code /code\n")
        said = project("image", "build", "--rebuild")
        assert "built" in said.out
        assert "warning: could not pull the base image" in said.err
    finally:
        engine.images.remove("only-here:1")


def test_a_base_image_that_is_not_there(project: Any, image_registry: str) -> None:
    project.file("Dockerfile", f"FROM {image_registry}/no-such-image:1\nCOPY code /code\n")
    said = project("image", "build", code=5)
    assert f"tool/Dockerfile:1: FROM {image_registry}/no-such-image:1" in said.err


def test_a_dockerfile_that_cannot_be_read(project: Any) -> None:
    project.file("Dockerfile", "FROM scratch\n\nRUNN true\n")
    said = project("image", "build", code=2)
    assert "tool/Dockerfile:3:1: unknown instruction: RUNN" in said.err
    project.file("Dockerfile", "")
    assert "tool/Dockerfile: " in project("image", "build", code=2).err


def test_no_engine(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
    said = project("image", "build", code=5)
    assert "no Docker Engine answers at unix:///nonexistent/docker.sock" in said.err
    assert "systemctl start docker" in said.err
    # the list is then the registry's
    assert "no Docker Engine answers" in project("image", "list").err


def test_registry_down(project: Any) -> None:
    host = f"localhost:{free_port()}"
    project.settings(registry=host)
    said = project("image", "push", code=5)
    assert f"no registry answers at {host}" in said.err
    assert "docker-registry serve" in said.err


def test_no_registry(project: Any) -> None:
    project.settings()
    said = project("image", "push", code=2)
    assert "the target here has no registry" in said.err


def test_a_name_that_registries_do_not_allow(project: Any) -> None:
    project.spec({"My_ETL": {"context": "../tool"}})
    said = project("image", "build", code=2)
    assert "'My_ETL' cannot be the name of an image" in said.err
    assert "images: {my-etl: …}" in said.err


def test_nobody_is_signed_in(project: Any, locked_registry: str) -> None:
    project.settings(registry=locked_registry)
    said = project("image", "push", code=5)
    assert f"{locked_registry} does not let us use " in said.err
    assert f"docker login {locked_registry}" in said.err


def test_a_wrong_password_is_not_shown(
    project: Any, locked_registry: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.settings(registry=locked_registry, registry_username="tester")
    assert "there is no password for it" in project("image", "push", code=2).err
    monkeypatch.setenv("BATCHCTL_REGISTRY_PASSWORD", "not-the-" + PASSWORD)
    said = project("image", "push", code=5)
    assert f"{locked_registry} does not let us use a-wrong-password-is-not-shown as tester: " in said.err
    assert PASSWORD not in said.err + said.out


def test_signed_in_with_name_and_password(
    project: Any, locked_registry: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.settings(registry=locked_registry, registry_username="tester")
    monkeypatch.setenv("BATCHCTL_REGISTRY_PASSWORD", PASSWORD)
    said = project("image", "push", "-o", "json")
    assert said.json[0]["done"] == "pushed"
    assert PASSWORD not in said.err + said.out


def test_a_base_image_of_the_registry_that_one_must_sign_in_to(
    project: Any,
    locked_registry: str,
    engine: docker.DockerClient,
    base_image: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    base = f"{locked_registry}/base"
    engine.images.get(base_image).tag(base, "1")
    engine.api.push(base, tag="1", auth_config={"username": "tester", "password": PASSWORD})
    engine.images.remove(f"{base}:1")
    project.settings(registry=locked_registry, registry_username="tester")
    project.file("Dockerfile", f"FROM {base}:1\nCOPY code /code\n")
    monkeypatch.setenv("BATCHCTL_REGISTRY_PASSWORD", "not-the-" + PASSWORD)
    assert f"could not sign in to {locked_registry}" in project("image", "build", code=5).err
    monkeypatch.setenv("BATCHCTL_REGISTRY_PASSWORD", PASSWORD)
    try:
        assert project.image("build")["done"] == "built"
    finally:
        engine.images.remove(f"{base}:1")


def test_signed_in_through_docker_s_own_store(
    project: Any, locked_registry: str, docker_config: Path
) -> None:
    project.settings(registry=locked_registry)
    token = base64.b64encode(f"tester:{PASSWORD}".encode()).decode()
    docker_config.write_text(json.dumps({"auths": {locked_registry: {"auth": token}}}))
    assert project.image("push")["done"] == "pushed"


def test_signed_in_through_a_credential_helper(
    project: Any, locked_registry: str, docker_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.settings(registry=locked_registry)
    helper = tmp_path / "bin" / "docker-credential-tests"
    helper.parent.mkdir()
    answer = json.dumps({"ServerURL": locked_registry, "Username": "tester", "Secret": PASSWORD})
    helper.write_text(f"#!/bin/sh\necho '{answer}'\n")
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{helper.parent}{os.pathsep}{os.environ['PATH']}")
    docker_config.write_text(json.dumps({"credHelpers": {locked_registry: "tests"}}))
    assert project.image("push")["done"] == "pushed"


@contextmanager
def small_disk(megabytes: int) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="batchctl-small-") as folder:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", folder],
            capture_output=True,
            check=False,
        )
        if mounted.returncode != 0:
            missing("not allowed to mount a small disk")
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)


def test_no_space(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() != 0 or not Path("/usr/sbin/dockerd").exists():
        missing("only root can start a second engine")
    (project.context / "data").write_bytes(os.urandom(12_000_000))
    with small_disk(20) as folder, (project.folder / "log").open("wb") as log:
        host = f"unix://{folder}/docker.sock"
        # In a network of its own: an engine without a bridge takes the bridge away from every other engine.
        process = subprocess.Popen(
            ["unshare", "--net", *engine_command(folder, host, "--bridge=none", "--iptables=false", "--storage-driver=vfs")],
            stdout=log, stderr=log,
        )  # fmt: skip
        try:
            wait_for_engine(process, host, project.folder / "log")
            monkeypatch.setenv("DOCKER_HOST", host)
            said = project("image", "build", code=5)
        finally:
            process.terminate()
            process.wait()
    assert "the engine's disk is full" in said.err
    assert "batchctl image prune --yes" in said.err


def test_an_interrupted_push_goes_on(
    make_project: Callable[[str], Any],
    engine: docker.DockerClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The registry is killed while a layer is on its way, and is there again a moment later."""
    project, port, folder = make_project("interrupted"), free_port(), tmp_path / "registry"
    project.settings(registry=f"localhost:{port}")
    (project.context / "data").write_bytes(os.urandom(30_000_000))
    with ExitStack() as running:
        processes = [running.enter_context(running_registry(folder, port))]

        class Killer(image_progress.Lines):
            def __call__(self, name: str, event: Any) -> None:
                super().__call__(name, event)
                if getattr(event, "status", "") == "Pushing" and len(processes) == 1:
                    processes[0].kill()
                    processes[0].wait()
                    processes.append(running.enter_context(running_registry(folder, port)))

        monkeypatch.setattr(image_progress, "Lines", Killer)
        pushed = project.image("push")
        assert len(processes) == 2
        assert pushed["done"] == "pushed"
        assert project.image("push") == {**pushed, "done": "unchanged"}

"""Where the images of container tasks come from: the engine, a registry, one with a password; and what is said when they do not."""

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from docker_services import EngineMissing, free_port, running_registry

from tests.services.conftest import missing
from tests.services.server.conftest import Story, serving, wait_for
from tests.services.server.engine_proxy import EngineProxy

PASSWORD = "s3cret-pass"
HTPASSWD = "tester:$2b$04$V7/wmztbXWZPjzgKgG0yxuHeqNawgKza0YoI0T4AH9xXUdFmrmbv6\n"
"""The password, as bcrypt with the lowest cost."""


PROGRAM = next(path for path in (Path("/sbin/ldconfig.real"), Path("/sbin/ldconfig")) if path.exists())
"""One file that runs alone: it is linked statically. A whole image of it is pushed and pulled in no time."""


def tar_of(program: Path) -> bytes:
    """A file system of one file."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        tar.add(program.resolve(), program.name)
    return data.getvalue()


class Pushed:
    """A small image in a registry, which the engine does not have (any more)."""

    def __init__(self, engine: docker.DockerClient, repository: str, sign_in: Any = None) -> None:
        self._engine = engine
        self.name = f"{repository}:1"
        changes = f'CMD ["/{PROGRAM.name}", "--version"]'
        engine.api.import_image_from_data(tar_of(PROGRAM), repository=repository, tag="1", changes=changes)
        said = engine.api.push(repository, tag="1", auth_config=sign_in or {"username": "", "password": ""})
        assert "error" not in said, said
        self.digest = f"{repository}@{engine.images.get(self.name).attrs['RepoDigests'][0].partition('@')[2]}"
        self.forget()

    def forget(self) -> None:
        """The engine has it no more."""
        for name in (self.name, self.digest):
            if self._engine.images.list(filters={"reference": name}):
                self._engine.images.remove(name, force=True)

    def is_there(self) -> bool:
        """Does the engine have it?"""
        return bool(self._engine.images.list(filters={"reference": self.name.partition(":1")[0] + ":1"}))


@pytest.fixture
def open_image(engine: docker.DockerClient, image_registry: str) -> Iterator[Pushed]:
    """An image in a registry that needs no sign-in."""
    image = Pushed(engine, f"{image_registry}/open")
    yield image
    wait_for(lambda: not _in_use(engine, image.name))
    image.forget()


@pytest.fixture
def locked_image(engine: docker.DockerClient, tmp_path: Path) -> Iterator[Pushed]:
    """An image in a registry that lets nobody in but `tester`."""
    port, users = free_port(), tmp_path / "htpasswd"
    users.write_text(HTPASSWD)
    try:
        with running_registry(tmp_path / "locked", port, users):
            sign_in = {"username": "tester", "password": PASSWORD}
            image = Pushed(engine, f"localhost:{port}/locked", sign_in)
            yield image
            wait_for(lambda: not _in_use(engine, image.name))
            image.forget()
    except EngineMissing as error:
        missing(str(error))


def _in_use(engine: docker.DockerClient, name: str) -> bool:
    if not engine.images.list(filters={"reference": name}):
        return False
    return bool(engine.containers.list(all=True, filters={"ancestor": name}, ignore_removed=True))


def registry_of(image: Pushed, **more: str) -> dict[str, str]:
    return {"registryServer": image.name.partition("/")[0], **more}


def test_a_missing_image_is_pulled_once_for_all_who_want_it(
    state: Path, base_image: str, open_image: Pushed, engine_proxy: EngineProxy
) -> None:
    with serving(state, base_image) as story:
        story.pool(nodes=2, slots=3)
        story.job()
        for number in range(6):
            story.task(f"t{number}", "", imageName=open_image.name)
        for number in range(6):
            assert story.done(f"t{number}").exit_code == 0
            assert story.text(f"t{number}").startswith("ldconfig")
        pulls = [line for line in engine_proxy.requests if "/images/create" in line]
        assert len(pulls) == 1


def test_a_digest_is_pulled_too(story: Story, open_image: Pushed) -> None:
    story.task("a", "", imageName=open_image.digest)
    assert story.done("a").exit_code == 0
    story.task("b", "", imageName=open_image.digest, containerRunOptions="--pull never")
    assert story.done("b").exit_code == 0


def test_pulling_as_the_options_say(story: Story, open_image: Pushed) -> None:
    story.task("never", "", imageName=open_image.name, containerRunOptions="--pull never")
    info = story.done("never")
    assert info.failure_info.code == "ContainerInvalidImage"
    assert not open_image.is_there()
    story.task("always", "", imageName=open_image.name, containerRunOptions="--pull=always")
    assert story.done("always").exit_code == 0


@pytest.mark.parametrize("name", ["{registry}/no-such-image:1", "localhost:1/x", "UPPER//CASE", "x" * 300])
def test_an_image_that_cannot_be_had(story: Story, image_registry: str, name: str) -> None:
    story.task(
        "a",
        "true",
        imageName=name.format(registry=image_registry),
        more={"constraints": {"maxTaskRetryCount": 2}},
    )
    info = story.done("a")
    assert (info.exit_code, info.retry_count) == (None, 0)
    assert (info.failure_info.category, info.failure_info.code) == ("UserError", "ContainerInvalidImage")
    assert "Failed to pull the container image" in info.failure_info.details[0].value


def test_a_private_registry(story: Story, locked_image: Pushed) -> None:
    story.task("nobody", "", imageName=locked_image.name)
    wrong = registry_of(locked_image, username="tester", password="not-it")
    story.task("wrong", "", imageName=locked_image.name, registry=wrong)
    half = registry_of(locked_image, username="tester")
    story.task("half", "", imageName=locked_image.name, registry=half)
    identity = registry_of(locked_image) | {"identityReference": {"resourceId": "/subscriptions/x"}}
    story.task("identity", "", imageName=locked_image.name, registry=identity)
    codes = [story.done(name).failure_info.code for name in ("nobody", "wrong", "half", "identity")]
    assert codes == ["ContainerInvalidImage"] * 2 + ["ContainerInvalidRegistry"] * 2
    assert "not-it" not in str([task.as_dict() for task in story.batch.list_tasks("j")])
    right = registry_of(locked_image, username="tester", password=PASSWORD)
    story.task("right", "", imageName=locked_image.name, registry=right)
    info = story.done("right")
    assert info.exit_code == 0
    assert story.text("right").startswith("ldconfig")
    assert PASSWORD not in str(story.get("right").as_dict())


@pytest.mark.filterwarnings("ignore:docker-credential-gone")
def test_a_credential_store_that_is_not_there(
    story: Story, open_image: Pushed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the task's failure, not the engine's."""
    (tmp_path / "config.json").write_text(
        f'{{"credHelpers": {{"{open_image.name.partition("/")[0]}": "gone"}}}}'
    )
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    story.task("a", "", imageName=open_image.name, workingDirectory="containerImageDefault")
    failed = story.done("a").failure_info
    assert failed.code == "ContainerInvalidImage"
    assert "docker-credential-gone not installed" in failed.details[0].value
    assert str(tmp_path) in failed.details[0].value


def test_the_pool_s_registries_and_images(story: Story, locked_image: Pushed) -> None:
    registry = registry_of(locked_image, username="tester", password=PASSWORD)
    story.pool("mine", nodes=2, images=[locked_image.name, story.image], registries=[registry])
    wait_for(lambda: [node.state for node in story.nodes("mine")] == ["idle", "idle"])
    assert locked_image.is_there(), "before any task wants it"
    assert PASSWORD not in str(story.batch.get_pool("mine").as_dict())
    story.job("other", pool="mine")
    story.task("a", "", job="other", imageName=locked_image.name)
    assert story.done("a", "other").exit_code == 0
    locked_image_again = {"imageName": locked_image.name, "containerRunOptions": "--pull always"}
    story.task("b", "", job="other", **locked_image_again)
    assert story.done("b", "other").exit_code == 0, "with the pool's sign-in"


def test_a_node_waits_for_its_images(
    state: Path, base_image: str, open_image: Pushed, engine_proxy: EngineProxy
) -> None:
    engine_proxy.hold("/images/create")
    with serving(state, base_image) as story:
        story.pool(images=[open_image.name])
        story.job()
        story.task("a", "", imageName=open_image.name)
        wait_for(lambda: any("/images/create" in line for line in engine_proxy.requests))
        assert [node.state for node in story.nodes()] == ["starting"]
        assert story.get("a").state == "active"
        engine_proxy.release()
        assert story.done("a").exit_code == 0


def test_an_image_of_the_pool_that_cannot_be_had_makes_its_nodes_unusable(
    story: Story, image_registry: str
) -> None:
    name = f"{image_registry}/no-such-image:1"
    story.pool("bad", images=[story.image, name])
    wait_for(lambda: [node.state for node in story.nodes("bad")] == ["unusable"])
    (node,) = story.nodes("bad")
    (error,) = node.errors
    assert error.code == "ContainerInvalidImage"
    assert name in error.message


def test_a_service_that_ends_does_not_wait_for_a_pull(
    state: Path, base_image: str, open_image: Pushed, engine_proxy: EngineProxy
) -> None:
    engine_proxy.hold("/images/create")
    with serving(state, base_image) as story:
        story.pool()
        story.job()
        story.task("pulling", "", imageName=open_image.name)
        wait_for(lambda: any("/images/create" in line for line in engine_proxy.requests))
        story.batch.terminate_task("j", "pulling")
        assert story.done("pulling").failure_info.code == "TaskEnded", "at once"
    engine_proxy.release()

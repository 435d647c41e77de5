"""The service dies, the engine dies: nothing is left over, and the work is done in the end."""

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import docker
import pytest
from azure.batch import BatchClient
from azure.core.credentials import AzureNamedKeyCredential

from batchctl.errors import TargetError
from batchctl.server import daemon
from batchctl.server.batch.runner.docker import runner
from batchctl.server.service import Service
from batchctl.server.state_dir import StateDir, locked
from tests.services.conftest import missing
from tests.services.server.conftest import Story, containers_of, serving, wait_for
from tests.services.server.engine_proxy import EngineOfOurOwn, EngineProxy
from tests.services.server.test_container_images import PROGRAM, tar_of


def story_of(service: Service, image: str) -> Story:
    credential = AzureNamedKeyCredential(service.account, service.key)
    return Story(BatchClient(service.endpoint, credential, retry_total=0), image)


def kill(service: Service, state: Path) -> None:
    """kill -9, and wait until nobody holds the directory any more."""
    os.kill(service.pid, signal.SIGKILL)

    def is_free() -> bool:
        with suppress(TargetError), locked(StateDir(state)):
            return True
        return False

    wait_for(is_free)


WAIT = "touch $AZ_BATCH_NODE_SHARED_DIR/tried-$AZ_BATCH_TASK_ID-$$; while [ ! -e /go/go ]; do sleep 0.05; done; echo done"


def test_kill_9_leaves_no_container_and_the_tasks_run_again(
    state: Path, base_image: str, engine: docker.DockerClient, tmp_path: Path
) -> None:
    (tmp_path / "go").mkdir()
    service = daemon.start(state)
    try:
        story = story_of(service, base_image)
        with story.batch:
            story.pool(slots=3)
            story.job()
            for name in "abc":
                story.shell(name, WAIT, containerRunOptions=f"-v {tmp_path}/go:/go --init")
            first = {story.running(name) for name in "abc"}
        kill(service, state)
        assert set(containers_of(engine, state)) == first, "they outlive the service"
        service = daemon.start(state)
        story = story_of(service, base_image)
        with story.batch:
            second = {story.running(name) for name in "abc"}
            assert not first & second
            wait_for(lambda: set(containers_of(engine, state)) == second, "the old ones are removed")
            (tmp_path / "go" / "go").touch()
            for name in "abc":
                info = story.done(name)
                assert (info.exit_code, info.requeue_count, info.retry_count) == (0, 1, 0)
                assert story.text(name) == "done\n"
    finally:
        daemon.stop(state)


def test_reset_after_kill_9_leaves_none(state: Path, base_image: str, engine: docker.DockerClient) -> None:
    service = daemon.start(state)
    story = story_of(service, base_image)
    with story.batch:
        story.pool()
        story.job()
        story.task("a", "sleep 600")
        story.running("a")
    kill(service, state)
    assert len(containers_of(engine, state)) == 1
    daemon.reset(state)
    assert containers_of(engine, state) == []
    assert list(state.iterdir()) == []


def test_reset_without_an_engine_leaves_the_rest_to_the_next_service(
    state: Path, base_image: str, engine: docker.DockerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = daemon.start(state)
    story = story_of(service, base_image)
    with story.batch:
        story.pool()
        story.job()
        story.task("a", "sleep 600")
        story.running("a")
    kill(service, state)
    with monkeypatch.context() as patch:
        patch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
        daemon.reset(state)
    assert len(containers_of(engine, state)) == 1
    with serving(state, base_image):
        wait_for(lambda: containers_of(engine, state) == [])


def test_a_stopped_service_leaves_none_and_goes_on_later(
    state: Path, base_image: str, engine: docker.DockerClient
) -> None:
    with serving(state, base_image) as story:
        story.pool(slots=4)
        story.job()
        for name in "abcd":
            story.shell(name, "[ -e $AZ_BATCH_NODE_SHARED_DIR/again ] || sleep 600; echo done")
        for name in "abcd":
            story.running(name)
    assert containers_of(engine, state) == []
    for shared in state.glob("nodes/*/shared"):
        (shared / "again").touch()
    with serving(state, base_image) as story:
        for name in "abcd":
            assert story.done(name).exit_code == 0
            assert story.get(name).execution_info.requeue_count == 1


def test_the_engine_goes_away_and_comes_back(
    state: Path,
    base_image: str,
    engine: docker.DockerClient,
    engine_proxy: EngineProxy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runner, "PROBE_SECONDS", 0.05)
    with serving(state, base_image) as story:
        story.pool(nodes=2)
        story.job()
        script = "[ -e $AZ_BATCH_NODE_SHARED_DIR/again ] || sleep 600; echo done"
        for name in "ab":
            story.shell(name, script)
        first = {story.running(name) for name in "ab"}
        engine_proxy.cut()
        wait_for(lambda: [node.state for node in story.nodes()] == ["unusable"] * 2)
        (error,) = story.nodes()[0].errors
        assert error.code == "NodePreparationError"
        assert engine_proxy.host in error.message
        assert "Start it: sudo systemctl start docker" in error.message
        for name in "ab":
            task = story.get(name)
            assert (task.state, task.execution_info.requeue_count) == ("active", 1)
            assert task.execution_info.failure_info is None
        story.shell("later", "echo waited")
        for shared in state.glob("nodes/*/shared"):
            (shared / "again").touch()
        engine_proxy.mend()
        for name in ("a", "b", "later"):
            assert story.done(name).exit_code == 0
        assert story.text("later") == "waited\n"
        assert {story.get(name).execution_info.requeue_count for name in "ab"} == {1}
        assert all(node.errors is None for node in story.nodes())
        wait_for(lambda: not first & set(containers_of(engine, state)), "what it ran before is removed")


def test_an_engine_that_was_never_there(
    state: Path, base_image: str, engine_proxy: EngineProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "PROBE_SECONDS", 0.05)
    engine_proxy.cut()
    with serving(state, base_image) as story:
        story.pool(startTask={"commandLine": "true", "containerSettings": story.settings()})
        wait_for(lambda: [node.state for node in story.nodes()] == ["unusable"])
        story.job()
        story.task("a", "true")
        engine_proxy.mend()
        assert story.done("a").exit_code == 0


def test_a_restarted_service_finds_the_engine_back(
    state: Path, base_image: str, engine_proxy: EngineProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "PROBE_SECONDS", 0.05)
    engine_proxy.cut()
    with serving(state, base_image) as story:
        story.pool()
        wait_for(lambda: [node.state for node in story.nodes()] == ["unusable"])
    engine_proxy.mend()
    with serving(state, base_image) as story:
        story.job()
        story.task("a", "true")
        assert story.done("a").exit_code == 0


def test_a_container_that_somebody_else_removed(story: Story, engine: docker.DockerClient) -> None:
    story.task("a", "sleep 600")
    engine.containers.get(story.running("a")).remove(force=True)
    info = story.done("a")
    assert info.result == "failure"
    assert (info.exit_code, info.failure_info.code) in (
        (137, "FailureExitCode"),
        (None, "ContainerMiscError"),
    )


def test_the_output_files_of_a_container_are_uploaded(story: Story, azurite: str) -> None:
    from azure.storage.blob import BlobServiceClient

    with BlobServiceClient.from_connection_string(azurite) as service:
        container = service.create_container("containers")
        try:
            upload = {
                "filePattern": "../std*.txt",
                "destination": {"container": {"containerUrl": signed(container), "path": "logs"}},
                "uploadOptions": {"uploadCondition": "taskcompletion"},
            }
            made = upload | {
                "filePattern": "made.csv",
                "destination": {"container": {"containerUrl": signed(container)}},
            }
            resource = {"httpUrl": signed(container).replace("?", "/in.txt?"), "filePath": "deep/in.txt"}
            container.upload_blob("in.txt", b"came in\n")
            more = {"outputFiles": [upload, made], "resourceFiles": [resource]}
            info = story.run(
                "umask 077; cat deep/in.txt; echo 1 > made.csv; exit 3",
                more=more,
                containerRunOptions="-u 65532",
            )
            assert (info.exit_code, info.failure_info.code) == (3, "FailureExitCode")
            names = sorted(blob.name for blob in container.list_blobs())
            assert names == ["in.txt", "logs/stderr.txt", "logs/stdout.txt", "made.csv"]
            assert container.download_blob("logs/stdout.txt").readall() == b"came in\n"
        finally:
            container.delete_container()


def signed(container: Any) -> str:
    from tests.services.server.test_task_files_in_azurite import signed as url

    return url(container, "rcwl")


def test_importing_the_service_does_not_import_docker() -> None:
    code = "import sys, batchctl.server.local, batchctl.server.daemon; print('docker' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"


def test_a_real_engine_is_stopped_and_started(
    state: Path, engine: docker.DockerClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stopping engine first ends its containers: that must not look as if the task had ended."""
    if os.geteuid() != 0 or not Path("/usr/sbin/dockerd").exists():
        missing("only root can start a second engine")
    monkeypatch.setattr(runner, "PROBE_SECONDS", 0.1)
    with tempfile.TemporaryDirectory() as folder, EngineOfOurOwn(Path(folder)) as own:
        monkeypatch.setenv("DOCKER_HOST", own.host)
        own.start()
        client = docker.DockerClient(own.host)
        client.api.import_image_from_data(tar_of(PROGRAM), repository="own", tag="1")
        client.close()
        with serving(state, "own:1") as story:
            story.pool()
            story.job()
            # Its one file is not much: the programs come from the host.
            programs = " ".join(
                f"-v {path}:{path}:ro" for path in ("/usr", "/bin", "/lib", "/lib64") if Path(path).exists()
            )
            script = '[ -e $AZ_BATCH_NODE_SHARED_DIR/again ] && exit; trap "exit 9" TERM; while :; do sleep 0.05; done'
            story.shell("a", script, containerRunOptions=programs)
            story.running("a")
            own.stop()
            wait_for(lambda: [node.state for node in story.nodes()] == ["unusable"])
            assert (story.get("a").state, story.get("a").execution_info.requeue_count) == ("active", 1)
            for shared in state.glob("nodes/*/shared"):
                (shared / "again").touch()
            own.start()
            info = story.done("a")
            assert (info.exit_code, info.requeue_count) == (0, 1)

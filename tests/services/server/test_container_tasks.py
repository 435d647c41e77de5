"""Tasks in real containers: what they are given, what comes of them, and how they end."""

import signal
from pathlib import Path
from typing import Any

import docker
import pytest

from batchctl.server.batch.runner import folders
from batchctl.server.batch.runner.docker import runner
from tests.services.server.conftest import Story, containers_of, serving, wait_for
from tests.services.server.engine_proxy import EngineProxy


def details(info: Any) -> str:
    return str(info.failure_info.details[0].value)


def test_a_foreign_image_runs_a_command(story: Story) -> None:
    info = story.run("cat /etc/debian_version; echo no >&2; pwd; id -u")
    assert (info.exit_code, info.result, info.failure_info) == (0, "success", None)
    assert story.text("a").splitlines()[-1] == "0", "the image's own user"
    assert story.text("a").splitlines()[-2].endswith("/workitems/j/job-1/a/wd")
    assert story.text("a", "stderr.txt") == "no\n"
    assert info.container_info.state == "exited"
    assert info.container_info.error == ""
    assert len(info.container_info.container_id) == 64


def test_there_is_no_shell(story: Story) -> None:
    story.task("a", "echo $HOME *.txt ; 'two words'")
    assert story.done("a").exit_code == 0
    assert story.text("a") == "$HOME *.txt ; two words\n"


def test_the_exit_code_comes_through_and_is_retried(story: Story) -> None:
    script = "echo x >> $AZ_BATCH_NODE_SHARED_DIR/tries; exit 7"
    info = story.run(script, more={"constraints": {"maxTaskRetryCount": 2}})
    assert (info.exit_code, info.retry_count, info.failure_info.code) == (7, 2, "FailureExitCode")
    story.shell("b", "wc -l < $AZ_BATCH_NODE_SHARED_DIR/tries")
    story.done("b")
    assert story.text("b").strip() == "3"


def test_the_environment_is_the_image_s_with_batch_s_and_the_user_s(
    story: Story, engine: docker.DockerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_SERVICE", "x")
    settings = [{"name": "WHO", "value": "a user"}, {"name": "BOTH", "value": "setting"}]
    story.run("env", more={"environmentSettings": settings}, containerRunOptions="-e BOTH=option -e MORE=1")
    found = dict(line.split("=", 1) for line in story.text("a").splitlines())
    image = engine.images.get(story.image).attrs["Config"]["Env"]
    assert f"PATH={found['PATH']}" in image or not any(one.startswith("PATH=") for one in image)
    assert "batchctl" not in found["PATH"]
    assert found["HOME"] == "/root"
    assert (found["WHO"], found["BOTH"], found["MORE"]) == ("a user", "option", "1")
    assert (found["AZ_BATCH_TASK_ID"], found["AZ_BATCH_JOB_ID"], found["AZ_BATCH_POOL_ID"]) == ("a", "j", "p")
    assert not {"SECRET_OF_THE_SERVICE", "BATCHCTL_LOCAL_RUN"} & found.keys()


def test_the_node_s_directory_is_mounted_at_its_own_path(story: Story, state: Path) -> None:
    story.run("touch made; echo hi > $AZ_BATCH_NODE_SHARED_DIR/note; ls $AZ_BATCH_NODE_ROOT_DIR")
    assert {"shared", "startup", "workitems"} <= set(story.text("a").split())
    assert "wd/made" in {file.name for file in story.batch.list_task_files("j", "a", recursive=True)}
    assert [note.read_text() for note in state.glob("nodes/*/shared/note")] == ["hi\n"]


def test_any_user_may_write_where_the_task_runs(story: Story) -> None:
    script = "id -u; touch made $AZ_BATCH_TASK_DIR/beside $AZ_BATCH_NODE_SHARED_DIR/shared"
    info = story.run(script, containerRunOptions="--user 65532:65532")
    assert (info.exit_code, story.text("a")) == (0, "65532\n")


def test_only_what_is_listed_is_mounted(story: Story) -> None:
    mounts = [{"source": "Task"}, {"source": "Shared", "isReadOnly": True}]
    script = "touch mine; ls -d /*/ >/dev/null; touch $AZ_BATCH_NODE_SHARED_DIR/x || echo read-only; env"
    story.run(script, containerHostBatchBindMounts=mounts)
    assert "read-only" in story.text("a")
    assert "AZ_BATCH_NODE_ROOT_DIR" not in story.text("a")
    info = story.run("true", "b", containerHostBatchBindMounts=[])
    assert info.failure_info.code == "ContainerInvalidSettings"
    info = story.run("pwd", "c", containerHostBatchBindMounts=[], workingDirectory="containerImageDefault")
    assert (info.exit_code, story.text("c")) == (0, "/\n")


def test_run_options(story: Story, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "file").write_text("from the host")
    options = (
        f"--rm -v {tmp_path}/data:/data:ro -w /tmp --tmpfs /scratch:size=1m --hostname named --shm-size 1m "
        "--add-host far.example:192.0.2.1 --ulimit nofile=99 --cap-drop ALL --init --label mine=yes --network bridge"
    )
    script = "cat /data/file; echo; pwd; hostname; ulimit -n; grep -c /scratch /proc/mounts; grep far /etc/hosts; ls /sys/class/net"
    info = story.run(script, containerRunOptions=options)
    assert info.exit_code == 0, story.text("a", "stderr.txt")
    out = story.text("a")
    assert out.startswith("from the host\n/tmp\nnamed\n99\n1\n192.0.2.1")
    assert set(out.splitlines()[-2:]) == {"eth0", "lo"}, "its own network"


def test_a_bad_option_fails_the_task_and_names_it(story: Story) -> None:
    info = story.run(
        "true", containerRunOptions="--frobnicate", more={"constraints": {"maxTaskRetryCount": 3}}
    )
    assert (info.failure_info.category, info.failure_info.code) == ("UserError", "ContainerInvalidSettings")
    assert "--frobnicate" in details(info)
    assert (info.exit_code, info.retry_count, info.container_info) == (None, 0, None)
    info = story.run("true", "b", containerRunOptions="--cap-add NO_SUCH_THING")
    assert info.failure_info.code == "ContainerInvalidSettings", "the engine's own refusal"
    assert "NO_SUCH_THING" in details(info)


def test_an_image_s_entrypoint_and_command(story: Story, engine: docker.DockerClient) -> None:
    made = engine.containers.create(story.image)
    name = "batchctl-test-entrypoint"
    changes = 'ENTRYPOINT ["echo", "entry"]\nCMD ["default"]'
    image = made.commit(name, "1", changes=changes)
    made.remove()
    try:
        for number, (command, options, expected) in enumerate([
            ("", "", "entry default\n"),
            ("given words", "", "entry given words\n"),
            ("given", "--entrypoint printf", "given"),
        ]):  # fmt: skip
            settings = {"imageName": f"{name}:1"} | ({"containerRunOptions": options} if options else {})
            story.batch.create_task(
                "j", {"id": f"e{number}", "commandLine": command, "containerSettings": settings}
            )
            assert story.done(f"e{number}").exit_code == 0
            assert story.text(f"e{number}") == expected
    finally:
        mine = {"ancestor": str(image.id)}
        wait_for(lambda: not engine.containers.list(all=True, filters=mine, ignore_removed=True))
        engine.images.remove(str(image.id), force=True)


def test_programs_that_cannot_start(story: Story) -> None:
    story.task("missing", "no-such-program")
    story.task("denied", "/etc/passwd")
    info = story.done("missing")
    assert (info.failure_info.code, info.exit_code) == ("CommandProgramNotFound", None)
    assert info.container_info.state == "created"
    assert "no-such-program" in info.container_info.error
    assert story.done("denied").failure_info.code == "CommandLaunchFailed"


def test_too_much_memory_is_told(story: Story) -> None:
    story.task(
        "a",
        'python3 -c "bytearray(10**9)"',
        containerRunOptions="-m 48m --memory-swap 48m",
    )
    info = story.done("a")
    assert (info.exit_code, info.failure_info.code, info.container_info.error) == (
        137,
        "FailureExitCode",
        "OOMKilled",
    )
    assert "memory" in details(info)


def test_output_comes_while_the_task_runs_and_all_of_it(story: Story) -> None:
    script = "echo first; while [ ! -e go ]; do sleep 0.05; done; seq 200000; seq 200000 >&2"
    story.shell("a", script)
    wait_for(lambda: story.running("a") and story.text("a") == "first\n")
    story.shell("b", "touch $AZ_BATCH_NODE_ROOT_DIR/workitems/j/job-1/a/wd/go")
    assert story.done("a").exit_code == 0
    lines = "".join(f"{number}\n" for number in range(1, 200001))
    assert story.text("a") == "first\n" + lines
    assert story.text("a", "stderr.txt") == lines


def test_terminate_deletes_and_time_limits_end_containers(
    story: Story, engine: docker.DockerClient, state: Path
) -> None:
    story.shell("polite", 'trap "echo told; exit 3" TERM; echo ready; while :; do sleep 0.05; done')
    story.task("stubborn", "sleep 600")
    story.task("late", "sleep 600", more={"constraints": {"maxWallClockTime": "PT1S"}})
    story.task("deleted", "sleep 600")
    for name in ("polite", "stubborn", "deleted"):
        story.running(name)
    wait_for(lambda: story.text("polite") == "ready\n")
    for name in ("polite", "stubborn"):
        story.batch.terminate_task("j", name)
    story.batch.delete_task("j", "deleted")
    info = story.done("polite")
    assert (info.failure_info.code, info.exit_code, story.text("polite")) == ("TaskEnded", 3, "ready\ntold\n")
    assert story.done("stubborn").failure_info.code == "TaskEnded"
    info = story.done("late")
    assert (info.failure_info.code, "maxWallClockTime" in details(info)) == ("TaskEnded", True)
    wait_for(lambda: not containers_of(engine, state), "nothing is left")


def test_slots_run_side_by_side(story: Story) -> None:
    """Each waits for all four, so they can only end together."""
    meet = "touch $AZ_BATCH_NODE_SHARED_DIR/here-$AZ_BATCH_TASK_ID; "
    meet += "while [ $(ls $AZ_BATCH_NODE_SHARED_DIR | grep -c here-) -lt 4 ]; do sleep 0.05; done"
    for name in "abcd":
        story.shell(name, meet)
    assert [story.done(name).exit_code for name in "abcd"] == [0, 0, 0, 0]


def test_the_node_s_limits_hold(story: Story, engine: docker.DockerClient) -> None:
    story.task("a", "sleep 600")
    found = engine.containers.get(story.running("a")).attrs["HostConfig"]
    machine = engine.info()
    assert found["Memory"] == (8 * 2**30 if machine["MemTotal"] > 8 * 2**30 else 0)
    assert found["NanoCpus"] == (2 * 10**9 if machine["NCPU"] > 2 else 0)
    assert found["NetworkMode"] == "host"


def test_no_file_is_larger_than_the_node_s_disk(story: Story) -> None:
    """Holes take no room here, and count all the same."""
    info = story.run("truncate -s 74G small && truncate -s 76G $AZ_BATCH_NODE_SHARED_DIR/large")
    assert info.exit_code == 128 + signal.SIGXFSZ
    assert {file.name for file in story.batch.list_task_files("j", "a", recursive=True)} >= {"wd/small"}
    info = story.run("truncate -s 76G large", "b", containerRunOptions="--ulimit fsize=-1")
    assert info.exit_code == 0, story.text("b", "stderr.txt")


def test_the_task_reaches_the_service(story: Story) -> None:
    script = (
        "import os, urllib.request as u; url = os.environ['AZ_BATCH_ACCOUNT_URL'] + '/.batchctl/identity'; "
    )
    script += "print(u.build_opener(u.ProxyHandler({})).open(url).read().decode())"
    story.task("a", f'python3 -c "{script}"')
    assert story.done("a").exit_code == 0, story.text("a", "stderr.txt")
    assert "batchctl" in story.text("a")


def test_a_task_without_settings_fails_in_a_pool_with_containers(story: Story) -> None:
    story.batch.create_task("j", {"id": "a", "commandLine": "true"})
    info = story.done("a")
    assert (info.exit_code, info.failure_info.code) == (None, "ContainerInvalidSettings")
    assert "requires task container settings" in details(info)


def test_start_preparation_and_release_tasks_may_be_containers_or_not(state: Path, base_image: str) -> None:
    with serving(state, base_image) as story:
        settings = story.settings()
        note = "/bin/sh -c 'echo {} >> $AZ_BATCH_NODE_SHARED_DIR/notes'"
        start = {"commandLine": note.format("start"), "containerSettings": settings, "waitForSuccess": True}
        story.pool(startTask=start)
        work: dict[str, Any] = {"commandLine": note.format("prep"), "containerSettings": settings}
        plain = {"commandLine": note.format("release")}
        story.job(jobPreparationTask=work, jobReleaseTask=plain)
        story.shell("a", "cat $AZ_BATCH_NODE_SHARED_DIR/notes")
        assert story.done("a").exit_code == 0
        assert story.text("a") == "start\nprep\n"
        (node,) = story.nodes()
        assert node.start_task_info.container_info.state == "exited"
        story.batch.begin_terminate_job("j", {"terminateReason": "over"}, polling_interval=0).wait()
        wait_for(lambda: story.batch.get_job("j").state == "completed")
        (status,) = story.batch.list_job_preparation_and_release_task_status("j")
        assert status.job_preparation_task_execution_info.container_info.state == "exited"
        assert status.job_release_task_execution_info.exit_code == 0
        assert status.job_release_task_execution_info.container_info is None


def test_a_job_manager_of_an_auto_pool(state: Path, base_image: str) -> None:
    with serving(state, base_image) as story:
        machine = {
            "imageReference": {"offer": "o"},
            "nodeAgentSKUId": "batch.node.ubuntu 22.04",
            "containerConfiguration": {"type": "dockerCompatible"},
        }
        pool = {
            "vmSize": "Standard_D2s_v5",
            "targetDedicatedNodes": 1,
            "virtualMachineConfiguration": machine,
        }
        info = {"autoPoolSpecification": {"poolLifetimeOption": "job", "pool": pool}}
        manager = {"id": "m", "commandLine": "echo managing", "containerSettings": story.settings()}
        story.batch.create_job({"id": "j", "poolInfo": info, "jobManagerTask": manager})
        wait_for(lambda: story.batch.get_job("j").state == "completed")
        assert story.get("m").execution_info.exit_code == 0


def test_an_idle_service_asks_the_engine_nothing(
    state: Path, base_image: str, engine_proxy: EngineProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "PROBE_SECONDS", 0.0)
    with serving(state, base_image) as story:
        story.pool()
        story.job()
        assert story.run("true").exit_code == 0
        wait_for(lambda: any(line.startswith("DELETE") for line in engine_proxy.requests))
        before = len(engine_proxy.requests)
        for number in range(20):
            story.job(f"other-{number}", pool="elsewhere")
        assert engine_proxy.requests[before:] == []


def test_what_the_service_may_not_remove_is_removed_by_a_container(
    story: Story, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service that is not root has no right to what root wrote in a container; here it just does not try."""
    monkeypatch.setattr(folders.shutil, "rmtree", lambda *_, **__: None)
    story.run("mkdir -p deep/er; echo x > deep/er/file; chmod 700 deep")
    story.batch.delete_task("j", "a")
    wait_for(lambda: not list(state.glob("nodes/*/workitems/j/job-1/a")))
    wait_for(lambda: list((state / "trash").iterdir()) == [])

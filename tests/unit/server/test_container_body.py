"""What the engine is told about a task's container, and how its output comes apart."""

import errno
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchctl.server.batch.resources.vm_size import known_disk, known_memory
from batchctl.server.batch.runner.docker.body import (
    Capacity,
    ContainerLaunch,
    SettingsError,
    container_body,
    run_options,
)
from batchctl.server.batch.runner.docker.output import Demultiplexer, Output

GIB = 2**30
LARGE = Capacity(cpus=64, memory=512 * GIB, can_limit_memory=True, can_limit_cpus=True, can_limit_layers=True)
SMALL = replace(LARGE, cpus=2, memory=4 * GIB, can_limit_layers=False)


@pytest.fixture
def node(tmp_path: Path) -> Path:
    for name in ("shared", "startup/wd", "fsmounts", "applications", "workitems/j/job-1/t/wd"):
        (tmp_path / "n" / name).mkdir(parents=True)
    return tmp_path / "n"


def launch(
    node: Path, command: str = "", *, vm_size: str = "standard_d2s_v5", **settings: Any
) -> ContainerLaunch:
    task = node / "workitems/j/job-1/t"
    environment = {
        "AZ_BATCH_NODE_ROOT_DIR": str(node),
        "AZ_BATCH_NODE_SHARED_DIR": f"{node}/shared",
        "AZ_BATCH_NODE_STARTUP_DIR": f"{node}/startup",
        "AZ_BATCH_NODE_STARTUP_WORKING_DIR": f"{node}/startup/wd",
        "AZ_BATCH_NODE_MOUNTS_DIR": f"{node}/fsmounts",
        "AZ_BATCH_TASK_DIR": str(task),
        "AZ_BATCH_TASK_WORKING_DIR": f"{task}/wd",
        "AZ_BATCH_CERTIFICATES_DIR": f"{task}/certs",
        "AZ_BATCH_POOL_ID": "p",
        "WHO": "user",
    }
    return ContainerLaunch(
        run=7, settings={"imageName": "etl:1", **settings}, registries=(), command_line=command, folder=task, node=node,
        environment=environment, vm_size=vm_size,
    )  # fmt: skip


def body(wanted: ContainerLaunch, capacity: Capacity = LARGE) -> dict[str, Any]:
    return container_body(wanted, run_options(wanted), capacity, {"ours": "yes"})


def variables(made: dict[str, Any]) -> dict[str, str]:
    return dict(one.split("=", 1) for one in made["Env"])


def test_a_plain_task(node: Path) -> None:
    made = body(launch(node, "etl load --name 'two words'"))
    assert made["Image"] == "etl:1"
    assert made["Cmd"] == ["etl", "load", "--name", "two words"]
    assert made["WorkingDir"] == f"{node}/workitems/j/job-1/t/wd"
    assert made["Labels"] == {"ours": "yes"}
    assert not made.keys() & {"Entrypoint", "User"}, "those are the image's"
    assert variables(made)["AZ_BATCH_NODE_ROOT_DIR"] == str(node)
    host = made["HostConfig"]
    assert host["Mounts"] == [{"Type": "bind", "Source": str(node), "Target": str(node), "ReadOnly": False}]
    assert host["NetworkMode"] == "host", "what it needs may listen on the loopback"


@pytest.mark.parametrize("command", ["", "  "])
def test_without_a_command_line_the_image_s_own_runs(node: Path, command: str) -> None:
    assert "Cmd" not in body(launch(node, command))


def test_a_command_line_that_cannot_be_split(node: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be split"):
        body(launch(node, "echo 'open"))


def test_options_win_over_what_the_service_chose(node: Path) -> None:
    options = "--network bridge -w /x -l ours=no -l mine=1 -e WHO=option -m 64m --cpus 0.5 -v /a:/b --mount type=tmpfs,target=/t"
    made = body(launch(node, containerRunOptions=options))
    assert made["WorkingDir"] == "/x"
    assert made["Labels"] == {"ours": "yes", "mine": "1"}, "but for the mark by which it is found again"
    assert variables(made)["WHO"] == "option"
    host = made["HostConfig"]
    assert (host["NetworkMode"], host["Memory"], host["NanoCpus"]) == ("bridge", 64 * 2**20, 5 * 10**8)
    assert host["Binds"] == ["/a:/b"]
    assert [mount["Target"] for mount in host["Mounts"]] == [str(node), "/t"]
    with pytest.raises(SettingsError, match="--what"):
        body(launch(node, containerRunOptions="--what"))


def test_the_image_s_own_working_directory(node: Path) -> None:
    assert "WorkingDir" not in body(launch(node, workingDirectory="containerImageDefault"))


def test_only_what_is_listed_is_mounted(node: Path) -> None:
    mounts = [{"source": "Task", "isReadOnly": False}, {"source": "Startup", "isReadOnly": True}, {"source": "JobPrep"},
              {"source": "Applications"}]  # fmt: skip
    made = body(launch(node, containerHostBatchBindMounts=mounts))
    found = {mount["Target"]: mount["ReadOnly"] for mount in made["HostConfig"]["Mounts"]}
    task = f"{node}/workitems/j/job-1/t"
    assert found == {task: False, f"{node}/startup": True, f"{node}/applications": False}, (
        "no preparation ran"
    )
    left = {name for name in variables(made) if name.endswith("_DIR")}
    assert left == {
        "AZ_BATCH_TASK_DIR",
        "AZ_BATCH_TASK_WORKING_DIR",
        "AZ_BATCH_NODE_STARTUP_DIR",
        "AZ_BATCH_NODE_STARTUP_WORKING_DIR",
    }


def test_nothing_is_mounted(node: Path) -> None:
    made = body(launch(node, containerHostBatchBindMounts=[], workingDirectory="containerImageDefault"))
    assert made["HostConfig"]["Mounts"] == []
    assert variables(made) == {"AZ_BATCH_POOL_ID": "p", "WHO": "user"}
    with pytest.raises(SettingsError, match="workingDirectory must be containerImageDefault"):
        body(launch(node, containerHostBatchBindMounts=[{"source": "Shared"}]))
    with pytest.raises(SettingsError, match="no source"):
        body(launch(node, containerHostBatchBindMounts=[{"isReadOnly": True}]))


def limits(made: dict[str, Any]) -> dict[str, Any]:
    return {
        name: made["HostConfig"][name]
        for name in ("Memory", "MemorySwap", "NanoCpus")
        if name in made["HostConfig"]
    }


def test_a_container_may_use_what_its_node_has(node: Path) -> None:
    assert limits(body(launch(node))) == {"Memory": 8 * GIB, "MemorySwap": 8 * GIB, "NanoCpus": 2 * 10**9}
    assert limits(body(launch(node), SMALL)) == {}, "and never more than there is"
    assert limits(body(launch(node, vm_size="x"))) == {}
    weak = replace(LARGE, can_limit_memory=False, can_limit_cpus=False)
    assert limits(body(launch(node), weak)) == {}


@pytest.mark.parametrize(
    ("vm_size", "gib"),
    [
        ("Standard_D2s_v5", 8),
        ("standard_d4as_v5", 16),
        ("Standard_D2ls_v5", 4),
        ("Standard_E8-4ds_v5", 64),
        ("Standard_F4s_v2", 8),
        ("Standard_A2m_v2", 16),
        ("Standard_A2_v2", 4),
        ("Standard_L8s_v3", 64),
        ("Standard_D2_v2", None),
        ("Standard_NC24ads_A100_v4", None),
        ("Standard_B2s", None),
        ("x", None),
    ],
)
def test_the_memory_of_a_vm_size(vm_size: str, gib: int | None) -> None:
    assert known_memory(vm_size) == (gib * GIB if gib else None)


def disk_limits(made: dict[str, Any]) -> dict[str, Any]:
    return {
        name: made["HostConfig"][name] for name in ("Ulimits", "StorageOpt") if name in made["HostConfig"]
    }


def test_the_temporary_disk_of_its_node_is_a_limit(node: Path) -> None:
    disk = 16 * GIB
    file = {"Name": "fsize", "Soft": disk, "Hard": disk}
    wanted = launch(node, vm_size="standard_d2s_v3")
    assert disk_limits(body(wanted)) == {"Ulimits": [file], "StorageOpt": {"size": str(disk)}}
    assert disk_limits(body(wanted, SMALL)) == {"Ulimits": [file]}
    assert disk_limits(body(launch(node))) == {}, "it has no temporary disk"


def test_limits_of_the_options_win(node: Path) -> None:
    def made(options: str) -> dict[str, Any]:
        return disk_limits(body(launch(node, vm_size="standard_d2s_v3", containerRunOptions=options)))

    file = {"Name": "fsize", "Soft": 5, "Hard": 5}
    assert made("--ulimit fsize=5 --storage-opt size=1G") == {"Ulimits": [file], "StorageOpt": {"size": "1G"}}
    open_files = {"Name": "nofile", "Soft": 9, "Hard": 9}
    assert made("--ulimit nofile=9")["Ulimits"][0] == open_files
    assert len(made("--ulimit nofile=9")["Ulimits"]) == 2


@pytest.mark.parametrize(
    ("vm_size", "gib"),
    [
        ("Standard_D2s_v3", 16),
        ("standard_d4_v3", 100),
        ("Standard_E4s_v3", 64),
        ("Standard_F2s_v2", 16),
        ("Standard_A2_v2", 20),
        ("Standard_A4m_v2", 40),
        ("Standard_DS2_v2", 14),
        ("Standard_DS12_v2", 56),
        ("Standard_D3_v2", 200),
        ("Standard_D2ds_v5", 75),
        ("Standard_E8-4ads_v5", 300),
        ("Standard_D2s_v5", None),
        ("Standard_E2as_v4", None),
        ("Standard_NC24ads_A100_v4", None),
        ("x", None),
    ],
)
def test_the_temporary_disk_of_a_vm_size(vm_size: str, gib: int | None) -> None:
    assert known_disk(vm_size) == (gib * GIB if gib else None)


def frame(stream: int, data: bytes) -> bytes:
    return struct.pack(">BxxxI", stream, len(data)) + data


@given(st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=50)), max_size=20), st.data())
def test_output_comes_apart_however_it_is_cut(frames: list[tuple[int, bytes]], data: st.DataObject) -> None:
    whole = b"".join(frame(*one) for one in frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=10)))
    demultiplexer = Demultiplexer()
    got = {1: b"", 2: b""}
    for begin, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        for stream, part in demultiplexer.feed(whole[begin:end]):
            got[stream] += bytes(part)
    for stream, text in got.items():
        assert text == b"".join(part for number, part in frames if number == stream)


def test_the_files_of_the_output_are_written_as_it_comes(tmp_path: Path) -> None:
    with Output(tmp_path) as output:
        output.write(frame(1, b"out") + frame(2, b"err"))
        assert (tmp_path / "stdout.txt").read_bytes() == b"out"
        assert (tmp_path / "stderr.txt").read_bytes() == b"err"
        output.write(frame(1, b"more"))
    assert (tmp_path / "stdout.txt").read_bytes() == b"outmore"


def test_a_full_disk_cuts_the_output_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def write(self, _: bytes) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    with Output(tmp_path) as output:
        monkeypatch.setattr(output, "_out", Full())
        output.write(frame(1, b"lost") + frame(2, b"kept"))
        assert output.is_cut
    assert (tmp_path / "stderr.txt").read_bytes() == b"kept"

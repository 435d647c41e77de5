"""`stage-run` with an `az://` lake, against Azurite."""

import json
import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
from azure.storage.blob import BlobServiceClient, ContainerClient

STAGE_RUN = Path(sys.executable).with_name("stage-run")


@pytest.fixture
def connection(azurite: str) -> str:
    return azurite


@pytest.fixture
def container(connection):
    with BlobServiceClient.from_connection_string(connection) as service:
        client = service.create_container(f"lake-{uuid.uuid4().hex}")
        yield client
        client.delete_container()


@pytest.fixture
def environ(connection, container) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "AZURE_STORAGE_CONNECTION_STRING": connection,
        "BATCHCTL_RUNS_URL": f"az://{container.account_name}/{container.container_name}/runs/",
        "BATCHCTL_RUN": "weather-1",
        "AZ_BATCH_TASK_ID": "extract",
    }


def _blobs(container: ContainerClient) -> dict[str, bytes]:
    """Name of the file -> content, of the one attempt there is."""
    names = list(container.list_blob_names(name_starts_with="runs/weather-1/extract/"))
    assert len({name.rpartition("/")[0] for name in names}) <= 1
    return {name.rpartition("/")[2]: container.download_blob(name).readall() for name in names}


def test_logs_and_record_are_in_the_lake_and_unchanged(container, environ):
    report = """printf '{"rows_read": 1}' > "$BATCHCTL_REPORT" """
    script = f"head -c 9000000 /dev/urandom; printf oops >&2; {report}; exit 3"
    done = subprocess.run(
        [STAGE_RUN, "--", "/bin/sh", "-c", script],
        env=environ,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, len(done.stdout), done.stderr) == (3, 9000000, b"oops")
    blobs = _blobs(container)
    record = json.loads(blobs.pop("record.json"))
    assert blobs == {"stdout.txt": done.stdout, "stderr.txt": b"oops"}
    assert (record["exit_code"], record["report"]) == (3, {"rows_read": 1})


def test_output_is_in_the_lake_while_the_command_runs(container, environ):
    process = subprocess.Popen(
        [STAGE_RUN, "--", "/bin/sh", "-c", "printf early; exec sleep 60"],
        env=environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 120
        while _blobs(container).get("stdout.txt") != b"early":
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert process.poll() is None
        assert "exit_code" not in json.loads(_blobs(container)["record.json"])
    finally:
        process.terminate()
        assert process.wait(timeout=120) == 143
    assert json.loads(_blobs(container)["record.json"])["exit_code"] == 143


def test_a_lake_that_disappears_is_reported_and_does_not_fail_the_task(container, environ, tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    process = subprocess.Popen(
        [STAGE_RUN, "--", "/bin/sh", "-c", "echo ready; read go < $FIFO; echo after; exit 7"],
        env=environ | {"FIFO": str(fifo)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    for name in container.list_blob_names():
        container.delete_blob(name)
    fifo.write_text("go\n")
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 7
    assert stdout == b"after\n"
    assert stderr.count(b"cannot write to the lake") == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"BATCHCTL_RUNS_URL": "az://devstoreaccount1/nowhere/x/"}, "cannot write to the lake"),
        ({"BATCHCTL_RUNS_URL": "az://someoneelse/lake/x/"}, "is for account 'devstoreaccount1'"),
        ({"AZURE_STORAGE_CONNECTION_STRING": "garbage"}, "is not a connection string"),
    ],
)
def test_a_lake_that_cannot_be_opened_is_125(environ, change, message, tmp_path):
    done = subprocess.run(
        [STAGE_RUN, "--", "touch", str(tmp_path / "ran")],
        env=environ | change,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 125
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "ran").exists()

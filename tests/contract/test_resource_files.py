"""Resource files over plain HTTP, from single addresses and from containers."""

import errno
import os
import threading
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from azure.batch import BatchClient, models
from azure.core.credentials import AzureNamedKeyCredential

from batchctl.server import LocalServer
from batchctl.server.batch.runner import blobs, resource_files
from tests.contract.conftest import (
    code_of,
    completed,
    eventually,
    in_state,
    job,
    pool,
    run,
    task,
    text_of,
    upload,
)
from tests.contract.web_store import WebStore


def test_a_file_is_there_before_the_task_starts(daily: BatchClient, web: WebStore) -> None:
    web.files = {"/plain.txt": b"hello", "/tool.sh": b"#!/bin/sh\necho ran\n", "/with space": b"x"}
    files = [
        models.ResourceFile(http_url=f"{web.url}/plain.txt?sig=secret", file_path="deep/er/x.txt"),
        models.ResourceFile(http_url=f"{web.url}/tool.sh", file_path="tool.sh", file_mode="0755"),
        models.ResourceFile(http_url=f"{web.url}/redirected", file_path="r"),
        models.ResourceFile(http_url=f"{web.url}/with%20space", file_path="with space"),
    ]
    info = run(daily, "cat deep/er/x.txt r; stat -c %a deep/er/x.txt; ./tool.sh", resource_files=files)
    assert info.exit_code == 0
    assert text_of(daily, "daily", "a") == "hellohello770\nran\n"


def test_a_container(daily: BatchClient, web: WebStore) -> None:
    names = ["a.txt", "in/b.txt", "in/deep/c d.txt", "in/e.txt", "other/f.txt"]
    web.files = {f"/box/{name}": name.encode() for name in names}
    files = [
        models.ResourceFile(storage_container_url=f"{web.url}/box?sv=1&sig=x%2By", blob_prefix="in/"),
        models.ResourceFile(storage_container_url=f"{web.url}/box", file_path="all"),
    ]
    info = run(daily, 'find . -type f | sort; cat "in/deep/c d.txt"', resource_files=files)
    assert info.exit_code == 0
    paths = ["all/a.txt", "all/in/b.txt", "all/in/deep/c d.txt", "all/in/e.txt", "all/other/f.txt"]
    paths += ["in/b.txt", "in/deep/c d.txt", "in/e.txt"]
    assert text_of(daily, "daily", "a") == "".join(f"./{path}\n" for path in paths) + "in/deep/c d.txt"
    first = next(path for path in web.asked if "comp=list" in path)
    assert parse_qs(urlsplit(first).query)["sig"] == ["x+y"]


def test_passing_trouble_is_tried_again(daily: BatchClient, web: WebStore) -> None:
    web.files = {"/plain.txt": b"hello"}
    web.refusals = {"/plain.txt": [503, 500]}
    files = [models.ResourceFile(http_url=f"{web.url}/plain.txt", file_path="x")]
    assert run(daily, "cat x", resource_files=files).exit_code == 0


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("missing", "BlobNotFound"),
        ("denied", "BlobAccessDenied"),
        ("broken", "BlobDownloadMiscError"),
    ],
)
def test_a_download_that_fails_is_a_failure_before_the_start(
    daily: BatchClient, web: WebStore, path: str, code: str
) -> None:
    web.refusals = {"/denied": [403], "/broken": [500] * 10}
    files = [models.ResourceFile(http_url=f"{web.url}/{path}?sig=secret", file_path="x")]
    limits = models.BatchTaskConstraints(max_task_retry_count=3)
    info = run(daily, "echo never", resource_files=files, constraints=limits)
    assert (info.result, info.exit_code, info.retry_count) == ("failure", None, 0)
    assert (info.failure_info.code, info.failure_info.category) == (code, "UserError")
    details = {detail.name: detail.value for detail in info.failure_info.details}
    assert details["BlobSource"] == f"{web.url}/{path}"
    assert "secret" not in str(details)


def test_no_server_at_all(daily: BatchClient) -> None:
    files = [models.ResourceFile(http_url="http://127.0.0.1:9/x", file_path="x")]
    assert run(daily, "true", resource_files=files).failure_info.code == "BlobDownloadMiscError"


def test_a_server_that_falls_silent(
    daily: BatchClient, web: WebStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blobs, "_TIMEOUT_SECONDS", 0.05)
    web.held.clear()
    file = models.ResourceFile(http_url=f"{web.url}/held", file_path="x")
    assert run(daily, "true", resource_files=[file]).failure_info.code == "BlobDownloadTimedOut"


@pytest.mark.parametrize(
    ("number", "code"), [(errno.EIO, "ResourceFileWriteFailed"), (errno.ENOSPC, "DiskFull")]
)
def test_a_disk_that_takes_half_of_it(
    daily: BatchClient, web: WebStore, monkeypatch: pytest.MonkeyPatch, number: int, code: str
) -> None:
    def fetch(_url: str, target: Path, _cancelled: threading.Event) -> None:
        target.write_bytes(b"half")
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(resource_files, "fetch", fetch)
    file = models.ResourceFile(http_url=f"{web.url}/plain.txt", file_path="x")
    failure = run(daily, "true", resource_files=[file]).failure_info
    assert (failure.code, failure.details[0].value) == (code, f"x: {os.strerror(number)}")


def test_a_name_that_climbs_out_is_refused(daily: BatchClient, web: WebStore) -> None:
    web.files = {"/box/../../../evil": b"x"}
    files = [models.ResourceFile(storage_container_url=f"{web.url}/box")]
    assert run(daily, "true", resource_files=files).failure_info.code == "ResourceFileCreateFailed"


def test_a_directory_in_the_way(daily: BatchClient, web: WebStore) -> None:
    web.files = {"/x": b"x"}
    places = ["a/b", "a"]
    files = [models.ResourceFile(http_url=f"{web.url}/x", file_path=place) for place in places]
    assert run(daily, "true", resource_files=files).failure_info.code == "ResourceFileCreateFailed"
    files.reverse()
    info = run(daily, "true", name="b", resource_files=files)
    assert info.failure_info.code == "ResourceDirectoryCreateFailed"


def test_the_condition_of_a_failure_before_the_start(batch: BatchClient, web: WebStore) -> None:
    batch.create_pool(pool())
    batch.create_job(job(uses_task_dependencies=True))
    files = [models.ResourceFile(http_url=f"{web.url}/missing", file_path="x")]
    satisfy = models.ExitConditions(pre_processing_error=models.ExitOptions(dependency_action="satisfy"))
    batch.create_task("daily", task("a", resource_files=files, exit_conditions=satisfy))
    batch.create_task("daily", task("b", depends_on=models.BatchTaskDependencies(task_ids=["a"])))
    assert completed(batch, "daily", "b").execution_info.exit_code == 0


def test_a_task_killed_while_its_files_come(daily: BatchClient, web: WebStore, server: LocalServer) -> None:
    web.held.clear()
    files = [models.ResourceFile(http_url=f"{web.url}/held", file_path="x")]
    for name in "ab":
        daily.create_task("daily", task(name, resource_files=files))
    eventually(lambda: web.asked.count("/held") == 2)
    assert daily.get_task("daily", "a").state == "running"
    daily.terminate_task("daily", "a")
    assert completed(daily, "daily", "a").execution_info.failure_info.code == "TaskEnded"
    server.stop()
    server.start()
    eventually(lambda: web.asked.count("/held") == 3)
    found = in_state(lambda: daily.get_task("daily", "b"), "running")
    assert found.execution_info.requeue_count == 1


def test_the_service_answers_while_files_come(daily: BatchClient, web: WebStore) -> None:
    web.held.clear()
    files = [models.ResourceFile(http_url=f"{web.url}/held", file_path="x")]
    daily.create_task("daily", task("slow", resource_files=files))
    eventually(lambda: "/held" in web.asked)
    daily.create_task("daily", task("quick"))
    assert completed(daily, "daily", "quick").execution_info.exit_code == 0
    assert daily.get_task("daily", "slow").state == "running"


def test_other_kinds_of_tasks_have_files_too(batch: BatchClient, web: WebStore) -> None:
    web.files = {"/x": b"hello"}
    files = [models.ResourceFile(http_url=f"{web.url}/x", file_path="x")]
    start = models.BatchStartTask(command_line="cat x", resource_files=files, wait_for_success=True)
    batch.create_pool(pool(start_task=start))
    preparation = models.BatchJobPreparationTask(command_line="cat x", resource_files=files)
    manager = models.BatchJobManagerTask(id="m", command_line="cat x", resource_files=files)
    batch.create_job(job(job_preparation_task=preparation, job_manager_task=manager))
    eventually(lambda: batch.get_job("daily").state == "completed")
    assert text_of(batch, "daily", "m") == "hello"
    web.files = {}
    batch.begin_resize_pool("etl", {"targetDedicatedNodes": 2})
    failed = eventually(lambda: [n for n in batch.list_nodes("etl") if n.state == "starttaskfailed"])[0]
    assert failed.start_task_info.failure_info.code == "BlobNotFound"


def test_auto_storage(tmp_path: Path, web: WebStore) -> None:
    web.files = {"/account/inputs/a.txt": b"hello"}
    files = [models.ResourceFile(auto_storage_container_name="inputs", file_path="in")]
    with LocalServer(tmp_path / "state", auto_storage=f"{web.url}/account?sig=x") as server:
        credential = AzureNamedKeyCredential(server.account, server.key)
        with BatchClient(server.endpoint, credential) as batch:
            batch.create_pool(pool())
            batch.create_job(job())
            assert run(batch, "cat in/a.txt", resource_files=files).exit_code == 0


def test_without_auto_storage(daily: BatchClient) -> None:
    files = [models.ResourceFile(auto_storage_container_name="inputs")]
    info = run(daily, "true", resource_files=files)
    assert info.failure_info.code == "BlobDownloadMiscError"
    assert "auto-storage" in info.failure_info.details[0].value


IDENTITY = {"resourceId": "/subscriptions/x/identity"}


def test_managed_identities_are_denied_openly(daily: BatchClient) -> None:
    files = [models.ResourceFile({"httpUrl": "https://x/y", "filePath": "y", "identityReference": IDENTITY})]
    assert run(daily, "true", resource_files=files).failure_info.code == "BlobAccessDenied"
    out = upload("../stdout.txt", "https://x/y")
    out.destination.container["identityReference"] = IDENTITY
    assert run(daily, "true", name="b", output_files=[out]).failure_info.code == "FileUploadAccessDenied"


@pytest.mark.parametrize(
    ("file", "code"),
    [
        ({}, "InvalidPropertyValue"),
        ({"httpUrl": "https://x/y", "storageContainerUrl": "https://x/z"}, "InvalidPropertyValue"),
        ({"httpUrl": "https://x/y"}, "MissingRequiredProperty"),
        ({"httpUrl": "https://x/y", "filePath": "../y"}, "InvalidPropertyValue"),
        ({"httpUrl": "https://x/y", "filePath": "/etc/y"}, "InvalidPropertyValue"),
        ({"httpUrl": "file:///etc/passwd", "filePath": "y"}, "InvalidPropertyValue"),
        ({"httpUrl": "https://x/y", "filePath": "y", "blobPrefix": "z"}, "InvalidPropertyValue"),
        ({"httpUrl": "https://x/y", "filePath": "y", "fileMode": "rwx"}, "InvalidPropertyValue"),
        ({"storageContainerUrl": "nowhere"}, "InvalidPropertyValue"),
    ],
)
def test_wrong_resource_files_are_refused(batch: BatchClient, file: Any, code: str) -> None:
    batch.create_job(job())
    body = {"id": "a", "commandLine": "true", "resourceFiles": [file]}
    assert code_of(lambda: batch.create_task("daily", body)) == (400, code)
    start = {"commandLine": "true", "resourceFiles": [file]}
    assert code_of(lambda: batch.create_pool({"id": "p", "vmSize": "x", "startTask": start}))[1] == code
    preparation = {"id": "j", "poolInfo": {"poolId": "p"}, "jobPreparationTask": start}
    assert code_of(lambda: batch.create_job(preparation))[1] == code


def test_too_many_resource_files(batch: BatchClient) -> None:
    batch.create_job(job())
    files = [{"httpUrl": f"https://x/{'y' * 200}", "filePath": str(n)} for n in range(5500)]
    body = {"id": "a", "commandLine": "true", "resourceFiles": files}
    assert code_of(lambda: batch.create_task("daily", body)) == (413, "RequestEntityTooLarge")

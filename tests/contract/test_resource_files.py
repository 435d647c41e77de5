"""Resource files and output files over plain HTTP: a small web server plays the store, and misbehaves on demand."""

import errno
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

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
    shell,
    task,
    text_of,
)


class WebStore:
    """What the server holds, what it was sent, and how it behaves: path -> status to answer with."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.sent: dict[str, tuple[bytes, dict[str, str]]] = {}
        self.refusals: dict[str, list[int]] = {}
        self.asked: list[str] = []
        self.held = threading.Event()
        self.held.set()
        self.url = ""


class Handler(BaseHTTPRequestHandler):
    store: WebStore

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        path = unquote(address.path)
        self.store.asked.append(self.path)
        if self._refused(path):
            return
        if parse_qs(address.query).get("comp") == ["list"]:
            self._answer(200, self._listing(path, parse_qs(address.query)))
        elif path == "/redirected":
            self.send_response(302)
            self.send_header("Location", "/plain.txt")
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif path == "/held":
            self.send_response(200)
            self.send_header("Content-Length", "10")
            self.end_headers()
            self.wfile.write(b"begun")
            self.wfile.flush()
            self.store.held.wait(20)
        elif path in self.store.files:
            self._answer(200, self.store.files[path])
        else:
            self._answer(404, b"")

    def do_PUT(self) -> None:
        path = unquote(urlsplit(self.path).path)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.store.asked.append(path)
        if path == "/box/held":
            self.store.held.wait(20)
        if not self._refused(path):
            self.store.sent[path] = (body, {name.lower(): value for name, value in self.headers.items()})
            self._answer(201, b"")

    def _listing(self, path: str, query: dict[str, list[str]]) -> bytes:
        """Two blobs a page."""
        prefix = query.get("prefix", [""])[0]
        names = sorted(
            name.removeprefix(f"{path}/") for name in self.store.files if name.startswith(f"{path}/")
        )
        names = [name for name in names if name.startswith(prefix)]
        start = int(query.get("marker", ["0"])[0] or 0)
        blobs = "".join(f"<Blob><Name>{name}</Name></Blob>" for name in names[start : start + 2])
        marker = str(start + 2) if start + 2 < len(names) else ""
        text = f"<EnumerationResults><Blobs>{blobs}</Blobs><NextMarker>{marker}</NextMarker></EnumerationResults>"
        return text.encode()

    def _refused(self, path: str) -> bool:
        waiting = self.store.refusals.get(path)
        if not waiting:
            return False
        self._answer(waiting.pop(0), b"no")
        return True

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def web() -> Iterator[WebStore]:
    store = WebStore()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"store": store}))
    server.daemon_threads = True
    store.url = f"http://127.0.0.1:{server.server_port}"
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    serving.start()
    yield store
    store.held.set()
    server.shutdown()
    serving.join()
    server.server_close()


@pytest.fixture
def daily(batch: BatchClient) -> BatchClient:
    batch.create_pool(pool(slots=4))
    batch.create_job(job())
    return batch


def upload(pattern: str, url: str, condition: str = "taskcompletion", **more: Any) -> models.OutputFile:
    container = models.OutputFileBlobContainerDestination(container_url=url, **more)
    return models.OutputFile(
        file_pattern=pattern,
        destination=models.OutputFileDestination(container=container),
        upload_options=models.OutputFileUploadConfiguration(upload_condition=condition),
    )


def run(batch: BatchClient, script: str, name: str = "a", **more: Any) -> models.BatchTaskExecutionInfo:
    batch.create_task("daily", shell(name, script, **more))
    return completed(batch, "daily", name).execution_info


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


def test_output_goes_to_the_container(daily: BatchClient, web: WebStore) -> None:
    box = f"{web.url}/box?sv=1&sig=x"
    headers = [models.OutputFileUploadHeader(name="x-ms-blob-content-type", value="text/csv")]
    files = [
        upload("../stdout.txt", box, path="logs/a.txt", upload_headers=headers),
        upload("../std*.txt", box, path="all/"),
        upload("**/*.csv", box, path="tree"),
        upload("out/[ab]?.dat", box),
        upload("$AZ_BATCH_TASK_ID/${NAME}.txt", box),
        upload("nothing-*.txt", box),
        upload("not-there", box, path="x"),
        upload("*.good", box, "tasksuccess", path="good"),
        upload("*.bad", box, "taskfailure", path="bad"),
    ]
    script = (
        "echo hi; mkdir -p d/e out a; echo 1 > t.csv; echo 2 > d/e/u.csv; echo 3 > .hidden.csv; "
        "touch out/a1.dat out/c1.dat x.good x.bad; echo n > a/report.txt"
    )
    settings = [models.EnvironmentSetting(name="NAME", value="report")]
    info = run(daily, script, output_files=files, environment_settings=settings)
    assert (info.result, info.failure_info) == ("success", None)
    names = ["logs/a.txt", "all/stdout.txt", "all/stderr.txt", "tree/t.csv", "tree/d/e/u.csv", "a1.dat"]
    names += ["report.txt", "good/x.good"]
    assert sorted(web.sent) == sorted(f"/box/{name}" for name in names)
    body, sent = web.sent["/box/logs/a.txt"]
    assert (body, sent["x-ms-blob-type"], sent["x-ms-blob-content-type"]) == (
        b"hi\n",
        "BlockBlob",
        "text/csv",
    )
    assert "Uploading" in text_of(daily, "daily", "a", "fileuploadout.txt")
    assert text_of(daily, "daily", "a", "fileuploaderr.txt") == ""
    assert "sig=x" not in text_of(daily, "daily", "a", "fileuploadout.txt")


def test_links_are_not_followed_into_the_depth(daily: BatchClient, web: WebStore) -> None:
    script = "mkdir d; echo x > d/f; ln -s f d/also; ln -s .. d/up; ln -s . here"
    run(daily, script, output_files=[upload("**/*", f"{web.url}/box", path="all")])
    assert sorted(web.sent) == ["/box/all/d/also", "/box/all/d/f"]
    web.sent.clear()
    run(daily, script, "b", output_files=[upload("here/d/*", f"{web.url}/box", path="b")])
    assert "/box/b/f" in web.sent, "where the pattern itself names the link"


def test_the_output_of_a_failure(daily: BatchClient, web: WebStore) -> None:
    box = f"{web.url}/box"
    files = [upload("x", box, "tasksuccess", path="good"), upload("x", box, "taskfailure", path="bad")]
    info = run(daily, "touch x; exit 3", output_files=files)
    assert (info.exit_code, info.failure_info.code) == (3, "FailureExitCode")
    assert list(web.sent) == ["/box/bad"]


@pytest.mark.parametrize(("status", "code"), [(403, "FileUploadAccessDenied"), (404, "FileUploadMiscError")])
def test_an_upload_that_fails_fails_the_task(
    daily: BatchClient, web: WebStore, status: int, code: str
) -> None:
    web.refusals = {"/box/x": [status]}
    files = [upload("x", f"{web.url}/box?sig=secret"), upload("y", f"{web.url}/box?sig=secret")]
    limits = models.BatchTaskConstraints(max_task_retry_count=2)
    info = run(daily, "touch x y", output_files=files, constraints=limits)
    assert (info.exit_code, info.result, info.retry_count) == (0, "failure", 0)
    assert info.failure_info.code == code
    assert list(web.sent) == ["/box/y"], "the others are uploaded all the same"
    log = text_of(daily, "daily", "a", "fileuploaderr.txt")
    assert code in log
    assert "secret" not in log + str(info.failure_info.details)


def test_the_condition_of_a_failed_upload(batch: BatchClient, web: WebStore) -> None:
    batch.create_pool(pool())
    batch.create_job(job(uses_task_dependencies=True))
    web.refusals = {"/box/x": [403, 403]}
    satisfy, block = (
        models.ExitOptions(dependency_action="satisfy"),
        models.ExitOptions(dependency_action="block"),
    )
    conditions = models.ExitConditions(
        file_upload_error=satisfy, exit_codes=[models.ExitCodeMapping(code=3, exit_options=block)]
    )
    files = [upload("x", f"{web.url}/box")]
    for name, script in (("a", "touch x"), ("b", "touch x; exit 3")):
        batch.create_task("daily", shell(name, script, output_files=files, exit_conditions=conditions))
        depends = models.BatchTaskDependencies(task_ids=[name])
        batch.create_task("daily", task(f"after-{name}", depends_on=depends))
    assert completed(batch, "daily", "after-a").execution_info.exit_code == 0
    completed(batch, "daily", "b")
    assert batch.get_task("daily", "after-b").state == "active", "the exit code goes first"


def test_a_killed_task_uploads_nothing(daily: BatchClient, web: WebStore) -> None:
    files = [upload("../stdout.txt", f"{web.url}/box")]
    daily.create_task("daily", shell("a", "sleep 60", output_files=files))
    in_state(lambda: daily.get_task("daily", "a"), "running")
    daily.terminate_task("daily", "a")
    assert completed(daily, "daily", "a").execution_info.failure_info.code == "TaskEnded"
    assert web.sent == {}


def test_a_task_runs_until_its_output_is_there_and_can_be_killed_until_then(
    daily: BatchClient, web: WebStore
) -> None:
    web.held.clear()
    for name in "ab":
        daily.create_task("daily", shell(name, "touch held", output_files=[upload("held", f"{web.url}/box")]))
    eventually(lambda: web.asked.count("/box/held") == 2)
    assert [daily.get_task("daily", name).state for name in "ab"] == ["running", "running"]
    daily.terminate_task("daily", "a")
    assert completed(daily, "daily", "a").execution_info.failure_info.code == "TaskEnded"
    web.held.set()
    assert completed(daily, "daily", "b").execution_info.result == "success"


def test_a_name_that_is_not_text(daily: BatchClient, web: WebStore) -> None:
    info = run(daily, 'touch "$(printf \\\\377)"', output_files=[upload("*", f"{web.url}/box")])
    assert (info.exit_code, info.result) == (0, "success")
    assert list(web.sent) == ["/box/\N{REPLACEMENT CHARACTER}"]


@pytest.mark.parametrize(
    ("file", "code"),
    [
        ({"filePattern": "x", "destination": {}}, "MissingRequiredProperty"),
        (
            {"filePattern": "", "destination": {"container": {"containerUrl": "https://x/y"}}},
            "InvalidPropertyValue",
        ),
        ({"filePattern": "x", "destination": {"container": {"containerUrl": "y"}}}, "InvalidPropertyValue"),
    ],
)
def test_wrong_output_files_are_refused(batch: BatchClient, file: Any, code: str) -> None:
    batch.create_job(job())
    file["uploadOptions"] = {"uploadCondition": "taskcompletion"}
    body = {"id": "a", "commandLine": "true", "outputFiles": [file]}
    assert code_of(lambda: batch.create_task("daily", body)) == (400, code)

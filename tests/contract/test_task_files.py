"""The files of a task through the official SDK."""

import pytest
from azure.batch import BatchClient, models

from batchctl.server import LocalServer
from tests.contract.conftest import code_of, completed, in_state, job, pool, shell, task, text_of

BYTES = bytes(range(256))


@pytest.fixture
def ran(batch: BatchClient) -> BatchClient:
    """The task `a` of job `daily` has run and left some files."""
    batch.create_pool(pool())
    batch.create_job(job())
    script = "mkdir -p deep/er; echo hello > deep/er/x.txt; echo a,b > table.csv; : > empty; ln -s /etc link"
    batch.create_task("daily", shell("a", script))
    assert completed(batch, "daily", "a").execution_info.exit_code == 0
    return batch


def test_list(ran: BatchClient) -> None:
    found = {file.name: file for file in ran.list_task_files("daily", "a")}
    assert sorted(found) == ["stderr.txt", "stdout.txt", "wd"]
    assert (found["wd"].is_directory, found["wd"].properties) == (True, None)
    assert found["stdout.txt"]["properties"]["contentLength"] == "0", "a string on the wire"
    assert found["stdout.txt"].url.endswith("/jobs/daily/tasks/a/files/stdout.txt")


def test_list_recursive(ran: BatchClient) -> None:
    names = [file.name for file in ran.list_task_files("daily", "a", recursive=True)]
    expected = ["wd", "wd/deep", "wd/deep/er", "wd/deep/er/x.txt", "wd/empty", "wd/link", "wd/table.csv"]
    assert names == ["stderr.txt", "stdout.txt", *expected]
    paged = [file.name for file in ran.list_task_files("daily", "a", recursive=True, max_results=2)]
    assert paged == names


def test_download_and_ranges(ran: BatchClient) -> None:
    assert text_of(ran, "daily", "a", "wd/deep/er/x.txt") == "hello\n"
    part = b"".join(ran.download_task_file("daily", "a", "wd/deep/er/x.txt", ocp_range="bytes=1-3"))
    rest = b"".join(ran.download_task_file("daily", "a", "wd/deep/er/x.txt", ocp_range="bytes=4-"))
    assert (part, rest) == (b"ell", b"o\n")
    assert text_of(ran, "daily", "a", "wd/empty") == ""


def test_a_range_that_is_not_there(ran: BatchClient) -> None:
    def get(wanted: str) -> bytes:
        return b"".join(ran.download_task_file("daily", "a", "wd/deep/er/x.txt", ocp_range=wanted))

    assert code_of(lambda: get("bytes=6-9")) == (416, "InvalidRange")
    assert code_of(lambda: get("lines=1-2")) == (400, "InvalidHeaderValue")
    assert code_of(lambda: get(f"bytes=0-{'9' * 5000}")) == (400, "InvalidHeaderValue")


def test_headers(ran: BatchClient) -> None:
    found = ran.get_task_file_properties("daily", "a", "wd/table.csv")
    assert (found.content_length, found.is_directory) == (4, False)
    assert found.file_mode.startswith("0o1006")
    assert found.creation_time is not None
    assert found.last_modified is not None
    assert found.url.endswith("%2Ffiles%2Fwd%2Ftable.csv")
    assert ran.get_task_file_properties("daily", "a", "wd").is_directory is True


@pytest.mark.parametrize("name", ["nope.txt", "wd/../../../x", "../b/stdout.txt", "wd/link/passwd"])
def test_what_is_not_a_file_of_the_task(ran: BatchClient, name: str) -> None:
    assert code_of(lambda: text_of(ran, "daily", "a", name)) == (404, "FileNotFound")
    assert code_of(lambda: ran.get_task_file_properties("daily", "a", name))[0] == 404


def test_a_directory_has_no_content(ran: BatchClient) -> None:
    assert code_of(lambda: text_of(ran, "daily", "a", "wd")) == (409, "OperationInvalidForCurrentState")


def test_output_that_is_not_text_comes_back_byte_by_byte(ran: BatchClient, server: LocalServer) -> None:
    script = f"import sys; sys.stdout.buffer.write(bytes(range(256)) * {2**12})"
    ran.create_task("daily", task("b", f'python3 -c "{script}"'))
    assert completed(ran, "daily", "b").execution_info.exit_code == 0
    assert b"".join(ran.download_task_file("daily", "b", "stdout.txt")) == BYTES * 2**12


def test_files_of_any_kind_and_name(ran: BatchClient) -> None:
    script = 'mkfifo pipe; touch -d @99999999999999 late; touch "$(printf "a\\377b")"; ln -s nowhere lost; ln -s ring ring'
    ran.create_task("daily", shell("odd", script))
    assert completed(ran, "daily", "odd").execution_info.exit_code == 0
    found = {file.name: file.url for file in ran.list_task_files("daily", "odd", recursive=True)}
    assert {"wd/pipe", "wd/late", "wd/a\ufffdb", "wd/lost"} <= found.keys()
    assert found["wd/a\ufffdb"].endswith("/wd/a%FFb")
    assert text_of(ran, "daily", "odd", "wd/pipe") == "", "nobody waits for the other end"
    assert ran.get_task_file_properties("daily", "odd", "wd/late").content_length == 0
    assert code_of(lambda: text_of(ran, "daily", "odd", "wd/ring")) == (404, "FileNotFound")


def test_a_task_has_no_file_without_a_name(ran: BatchClient) -> None:
    everything = {"recursive": "true"}
    assert code_of(lambda: ran.delete_task_file("daily", "a", "", params=everything)) == (400, "InvalidUri")
    assert text_of(ran, "daily", "a", "wd/table.csv") == "a,b\n"


def test_files_that_go_while_they_are_listed(ran: BatchClient) -> None:
    script = "while :; do mkdir -p d/e; touch d/e/1 d/e/2; rm -rf d; done"
    ran.create_task("daily", shell("busy", script))
    in_state(lambda: ran.get_task("daily", "busy"), "running")
    for _ in range(60):
        names = [file.name for file in ran.list_task_files("daily", "busy", recursive=True)]
        assert names[:2] == ["stderr.txt", "stdout.txt"]
    ran.terminate_task("daily", "busy")


def test_a_task_that_never_ran_has_no_files(ran: BatchClient) -> None:
    ran.create_job(job("other", pool_id="nowhere"))
    ran.create_task("other", task("a"))
    assert code_of(lambda: list(ran.list_task_files("other", "a"))) == (409, "TaskFilesUnavailable")
    assert code_of(lambda: text_of(ran, "other", "a")) == (409, "TaskFilesUnavailable")
    assert code_of(lambda: list(ran.list_task_files("other", "b"))) == (404, "TaskNotFound")


def test_a_running_task_can_be_read(ran: BatchClient) -> None:
    ran.create_task("daily", shell("long", "echo started; sleep 60"))
    in_state(lambda: ran.get_task("daily", "long"), "running")
    assert ran.get_task("daily", "long").state == models.BatchTaskState.RUNNING
    while not (text := text_of(ran, "daily", "long")):
        pass
    assert text == "started\n"

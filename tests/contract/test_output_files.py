"""Output files over plain HTTP: what is uploaded, when, and what an upload that fails means."""

from typing import Any

import pytest
from azure.batch import BatchClient, models

from tests.contract.conftest import (
    code_of,
    completed,
    eventually,
    in_state,
    job,
    pool,
    run,
    shell,
    task,
    text_of,
    upload,
)
from tests.contract.web_store import WebStore


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

"""The lake, the record and the report, as CONTRACT.md promises them."""

import json
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

STAGE_RUN = Path(sys.executable).with_name("stage-run")

RECORD_KEYS = [
    *("pipeline", "run", "task", "scheduled_at", "node", "pool", "command", "started_at"),
    *("finished_at", "exit_code", "signal", "seconds", "report"),
]


def test_the_record_holds_what_the_contract_names(stage_run):
    stage_run.shell('printf \'{"rows_written": 3, "note": "é"}\' > "$BATCHCTL_REPORT"', PAYLOAD="x")
    record = stage_run.record()
    assert list(record) == RECORD_KEYS
    assert record["pipeline"] == "weather"
    assert record["run"] == "weather-1"
    assert record["task"] == "extract"
    assert record["scheduled_at"] == "2026-01-31T06:00:00Z"
    assert (record["node"], record["pool"]) == ("node-7", "etl")
    assert record["command"][:2] == ["/bin/sh", "-c"]
    assert record["report"] == {"rows_written": 3, "note": "é"}
    started, finished = (datetime.fromisoformat(record[key]) for key in ("started_at", "finished_at"))
    assert started.utcoffset().total_seconds() == 0
    assert started <= finished
    assert 0 < record["seconds"] < 30


def test_outside_batch_node_and_pool_are_null(stage_run):
    for name in ("AZ_BATCH_NODE_ID", "AZ_BATCH_POOL_ID"):
        del stage_run.environ[name]
    stage_run.run("true")
    assert (stage_run.record()["node"], stage_run.record()["pool"]) == (None, None)


def test_each_attempt_has_a_folder_of_its_own_in_order_of_time(stage_run):
    for word in ("first", "second", "third"):
        stage_run.run("echo", word)
    attempts = stage_run.attempts()
    assert all(re.fullmatch(r"\d{8}T\d{6}\.\d{6}Z", path.name) for path in attempts)
    assert [(path / "stdout.txt").read_text() for path in attempts] == ["first\n", "second\n", "third\n"]
    assert all(
        {item.name for item in path.iterdir()} == {"stdout.txt", "stderr.txt", "record.json"}
        for path in attempts
    )


@pytest.mark.parametrize(
    ("script", "report"),
    [
        ("true", {}),
        ('echo "not json" > "$BATCHCTL_REPORT"', "the report is not JSON"),
        ('echo "[1]" > "$BATCHCTL_REPORT"', "the report is not a JSON object but a list"),
        ('printf \'{"rows": NaN}\' > "$BATCHCTL_REPORT"', "NaN is no JSON number"),
        ("printf '\\377\\376' > \"$BATCHCTL_REPORT\"", "the report is not JSON"),
        ('mkdir "$BATCHCTL_REPORT"', "the report cannot be read"),
        ('head -c 2000000 /dev/zero > "$BATCHCTL_REPORT"', "the report is larger than"),
    ],
)
def test_a_report_that_cannot_be_read_is_an_error_in_the_record_and_not_of_the_task(
    stage_run, script, report
):
    assert stage_run.shell(script).returncode == 0
    found = stage_run.record()["report"]
    assert found == report or report in found["error"]


def test_the_report_file_does_not_exist_yet_and_leaves_nothing_behind(stage_run):
    done = stage_run.shell(
        'test ! -e "$BATCHCTL_REPORT" && test -d "$(dirname "$BATCHCTL_REPORT")" && echo ok'
    )
    assert done.stdout == b"ok\n"
    assert list(stage_run.temporary.iterdir()) == []


def test_arguments_that_are_not_utf_8_are_recorded_readably(stage_run):
    stage_run.run("echo", b"caf\xe9".decode("utf-8", "surrogateescape"))
    assert stage_run.record()["command"] == ["echo", "caf�"]


def test_a_lake_that_cannot_be_written_before_the_start_is_125_and_the_command_does_not_run(
    stage_run, tmp_path
):
    stage_run.lake.parent.write_text("a file where a folder should be")
    done = stage_run.run("touch", str(tmp_path / "ran"))
    assert done.returncode == 125
    assert b"cannot write to the lake" in done.stderr
    assert not (tmp_path / "ran").exists()


def test_a_lake_that_fails_later_is_reported_once_and_does_not_fail_the_task(stage_run, tmp_path):
    done = stage_run.shell(f"echo before; rm -r {stage_run.lake}; echo after; exit 7")
    assert done.returncode == 7
    assert done.stdout == b"before\nafter\n"
    assert done.stderr.count(b"cannot write to the lake") == 1
    assert b"record.json" in done.stderr


def test_a_log_that_can_grow_no_more_is_reported_once(stage_run):
    # A limit on the size of a file stands in for a full disk. Only stage-run has it: the program lifts its
    # own.
    limited = (
        f"ulimit -S -f 20; exec {STAGE_RUN} -- /bin/sh -c 'ulimit -S -f unlimited; head -c 100000 /dev/zero'"
    )
    done = subprocess.run(
        ["/bin/sh", "-c", limited], env=stage_run.environ, capture_output=True, timeout=120, check=False
    )
    assert done.returncode == 0
    assert len(done.stdout) == 100000
    assert done.stderr.count(b"cannot write to the lake: File too large") == 1
    assert stage_run.record()["exit_code"] == 0


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("s3://bucket/x/", "the lake is a file:///… or az://account/container/… URL"),
        ("file://elsewhere/lake/", "three slashes"),
        ("az://account", "write az://account/container/folder/"),
        ("raw://weather/", "the lake is a file:///"),
    ],
)
def test_a_url_that_names_no_lake_is_125(stage_run, url, message):
    done = stage_run.run("true", BATCHCTL_RUNS_URL=url)
    assert done.returncode == 125
    assert message in done.stderr.decode()
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("task", ["", "..", "a/b"])
def test_a_task_without_a_usable_id_is_125(stage_run, task):
    done = stage_run.run("true", AZ_BATCH_TASK_ID=task)
    assert done.returncode == 125
    assert b"AZ_BATCH_TASK_ID" in done.stderr


def test_a_url_is_percent_decoded_and_a_missing_slash_is_forgiven(stage_run, tmp_path):
    stage_run.run("echo", "hi", BATCHCTL_RUNS_URL=(tmp_path / "my lake é").as_uri())
    (record,) = (tmp_path / "my lake é" / "weather-1" / "extract").glob("*/record.json")
    assert json.loads(record.read_text())["exit_code"] == 0


def test_a_bare_path_is_a_lake_too(stage_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stage_run.run("true", BATCHCTL_RUNS_URL="runs/")
    assert len(list((tmp_path / "runs" / "weather-1" / "extract").glob("*/record.json"))) == 1

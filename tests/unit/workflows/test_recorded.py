"""A run that the service has forgotten, as its records in the lake tell."""

import json
from pathlib import Path
from typing import Any

import pytest

from batchctl.report import RunState
from batchctl.targets.lake import FolderLake
from batchctl.workflows.recorded import find_recorded, recorded_report


def put(folder: Path, run: str, task: str, attempt: str, **record: Any) -> None:
    path = folder / run / task / attempt / "record.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"pipeline": run.partition("-")[0], "run": run, "task": task, **record}))


@pytest.mark.parametrize(
    ("codes", "state", "why", "task"),
    [
        ({"a": 0, "b": 0}, RunState.SUCCEEDED, "the service", ""),
        ({"a": 0, "b": 3}, RunState.FAILED, "b failed: exit code 3; the service", "b"),
        ({"a": 0, "b": None}, RunState.FAILED, "b began, and did not end; the service", ""),
        ({"a": 4, "b": None}, RunState.FAILED, "a failed: exit code 4; the service", "a"),
    ],
)
def test_the_verdict(
    tmp_path: Path, codes: dict[str, int | None], state: RunState, why: str, task: str
) -> None:
    for name, code in codes.items():
        end = {} if code is None else {"exit_code": code, "finished_at": "2026-01-31T06:00:01Z"}
        put(tmp_path, "p-1", name, "1", started_at="2026-01-31T06:00:00Z", **end)
    verdict = recorded_report(FolderLake(tmp_path), "p-1").verdict
    assert (verdict.state, verdict.task) == (state, task)
    assert verdict.why.startswith(why)


def test_the_last_attempt_counts(tmp_path: Path) -> None:
    put(tmp_path, "p-1", "a", "20260131T060000.0Z", exit_code=1)
    put(tmp_path, "p-1", "a", "20260131T060001.0Z", exit_code=0, report={"rows_read": 9, "rows_written": 7})
    (found,) = recorded_report(FolderLake(tmp_path), "p-1").tasks
    assert (found.state, found.rows, found.retries) == ("succeeded", 7, 1)


def test_a_record_that_is_damaged(tmp_path: Path) -> None:
    put(tmp_path, "p-1", "a", "1", started_at=5, exit_code="x", report=[])
    (found,) = recorded_report(FolderLake(tmp_path), "p-1").tasks
    assert (found.state, found.exit_code, found.started_at) == ("stopped", None, None)


def test_the_latest_run_of_a_pipeline(tmp_path: Path) -> None:
    put(
        tmp_path, "p-20260101T000000Z-b1", "a", "20260301T000000.0Z"
    )  # a backfill: its id tells for when, not when
    put(tmp_path, "p-20260201T000000Z-ab12", "a", "20260201T000000.0Z")
    put(tmp_path, "p-q-20260401T000000Z-ab12", "a", "20260401T000000.0Z", pipeline="p-q")
    (tmp_path / "p-20260501T000000Z-ab12").mkdir()
    lake = FolderLake(tmp_path)
    assert find_recorded(lake, "p") == "p-20260101T000000Z-b1"
    assert find_recorded(lake, "p-q") == "p-q-20260401T000000Z-ab12"
    assert find_recorded(lake, "p-20260201T000000Z-ab12") == "p-20260201T000000Z-ab12"
    for nothing in ("q", "", ".", "..", "p/a", "p-q-"):
        assert find_recorded(lake, nothing) is None

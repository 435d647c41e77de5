"""The two distributions together, joined by CONTRACT.md only: a pipeline whose every task is wrapped."""

import json
import sqlite3
from pathlib import Path

WEATHER = Path(__file__).parents[3] / "jobspecs/samples/seattle-weather.csv"


def test_a_wrapped_pipeline_leaves_its_data_and_its_records(stage_run, tmp_path):
    raw, staged, curated = tmp_path / "raw.csv", tmp_path / "staged.parquet", tmp_path / "curated.db"
    configs = {
        "extract": {"source": {"type": "file", "url": str(WEATHER)}, "sink": {"url": raw.as_uri()}},
        "transform": {
            "input": {"url": raw.as_uri()},
            "sql": "SELECT weather, count(*) AS days FROM input GROUP BY weather",
            "sink": {"url": staged.as_uri()},
        },
        "load": {
            "source": {"url": staged.as_uri()},
            "sink": {"type": "sqlite", "url": curated.as_uri(), "table": "weather", "mode": "append"},
        },
    }
    for _ in range(2):
        for stage, config in configs.items():
            done = stage_run.run("etl", stage, BATCHCTL_CONFIG=json.dumps(config), AZ_BATCH_TASK_ID=stage)
            assert done.returncode == 0, done.stderr
    with WEATHER.open() as file:
        days = sum(1 for _ in file) - 1
    connection = sqlite3.connect(curated)
    assert connection.execute("SELECT sum(days) FROM weather").fetchone() == (days,)
    connection.close()
    reports = {}
    for stage in configs:
        first, second = stage_run.attempts(stage)
        assert json.loads((first / "record.json").read_text())["exit_code"] == 0
        reports[stage] = json.loads((second / "record.json").read_text())["report"]
    assert reports["extract"]["bytes_written"] == WEATHER.stat().st_size
    assert (reports["transform"]["rows_read"], reports["transform"]["rows_written"]) == (days, 5)
    assert reports["load"]["already_loaded"] is True


def test_a_stage_that_fails_says_why_in_the_lake(stage_run):
    done = stage_run.run("etl", "load", BATCHCTL_CONFIG="{}")
    assert done.returncode == 2
    assert stage_run.record()["exit_code"] == 2
    assert b"BATCHCTL_CONFIG: source: missing" in (stage_run.attempts()[-1] / "stderr.txt").read_bytes()

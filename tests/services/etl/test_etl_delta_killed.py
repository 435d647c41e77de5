"""A load into a Delta table that is killed at random moments: the old version or the new one; a rerun completes."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

ROWS = 100_000
KILLS = 4


def counted(path):
    table = pa.table(pa.RecordBatchReader.from_stream(DeltaTable(path).scan(columns=["g"])))
    found = table["g"].combine_chunks().value_counts().to_pylist()
    return {item["values"]: item["counts"] for item in found}


@pytest.mark.parametrize("mode", ["append", "overwrite", "merge"])
def test_killed_at_random_moments(mode, tmp_path, request):
    chance = random.Random(request.node.name)
    sink = {"type": "delta", "url": "t/", "mode": mode} | ({"key": ["i"]} if mode == "merge" else {})

    def start(generation):
        first = generation * ROWS if mode == "append" else 0
        rows = pa.table({"i": range(first, first + ROWS), "g": [generation] * ROWS})
        pq.write_table(rows, tmp_path / "in.parquet")
        config = {"source": {"url": "in.parquet"}, "sink": sink, "load_id": f"generation-{generation}"}
        return subprocess.Popen(
            [sys.executable, "-m", "batchctl_etl.main", "load", "--config-json", json.dumps(config)],
            cwd=tmp_path,
            env=os.environ | {"TMPDIR": str(tmp_path)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    def after(generation):
        return dict.fromkeys(range(generation + 1), ROWS) if mode == "append" else {generation: ROWS}

    began = time.monotonic()
    assert start(0).communicate(timeout=120)[1].startswith(b"etl: load: 100000 rows in")
    duration = time.monotonic() - began
    for generation in range(1, KILLS + 1):
        process = start(generation)
        try:
            process.wait(timeout=duration * chance.uniform(0.4, 1.0))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        process.communicate(timeout=120)
        assert counted(tmp_path / "t") in (after(generation - 1), after(generation))
        again = start(generation)
        _, story = again.communicate(timeout=120)
        assert again.returncode == 0, story
        assert counted(tmp_path / "t") == after(generation)


ENDLESS = """
import sys
import itertools
import pyarrow as pa
from batchctl_etl.main import main
from batchctl_etl.stages import load

batch = pa.record_batch([list(range(1000))], names=["i"])

class Endless:
    name, rows, bytes = "endless", 0, 0

    def open(self):
        return pa.RecordBatchReader.from_batches(batch.schema, itertools.repeat(batch))

load.row_input = lambda source, stack: Endless()
sys.argv[1:] = ["load", "--config-json", sys.argv[1]]
main()  # As the command itself: it ends the process, whatever the library's threads do.
"""


def test_sigterm_ends_a_load_that_is_writing(tmp_path):
    """The library holds the thread it is called in; a signal is heard all the same."""
    config = {"source": {"url": "in.csv"}, "sink": {"type": "delta", "url": "t/", "mode": "append"}}
    process = subprocess.Popen(
        [sys.executable, "-c", ENDLESS, json.dumps(config)],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 120
    while not (tmp_path / "t").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, story = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGTERM, story
    assert b"terminated" in story
    assert not DeltaTable.is_deltatable(str(tmp_path / "t"))

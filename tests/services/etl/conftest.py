"""The stages as a user runs them, in this process, with real services behind their URLs."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from batchctl_etl.main import main


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one call of `etl` did."""

    exit_code: int
    report: dict[str, Any]
    stderr: str


Etl = Callable[..., Outcome]


@pytest.fixture
def etl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Etl]:
    """`etl("load", config, run="r1")`: run a stage in `tmp_path`; no test may leave a file in TMPDIR."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    for name in list(os.environ):
        if name.startswith(("BATCHCTL_", "AZURE_", "AZ_")):
            monkeypatch.delenv(name)
    previous = signal.getsignal(signal.SIGTERM)

    def run(stage: str, config: Any, *, run: str | None = None) -> Outcome:
        with monkeypatch.context() as patch:
            patch.setenv("BATCHCTL_CONFIG", json.dumps(config))
            if run is not None:
                patch.setenv("BATCHCTL_RUN", run)
                patch.setenv("AZ_BATCH_TASK_ID", "load")
            exit_code = main([stage])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        report = json.loads(captured.out) if captured.out else {}
        return Outcome(exit_code=exit_code, report=report, stderr=captured.err)

    yield run
    signal.signal(signal.SIGTERM, previous)
    assert list(temporary.iterdir()) == []

"""A list of runs, as programs read it: its moments are written as those of `status` are."""

from datetime import UTC, datetime
from typing import Any

import pytest

from batchctl.report import run_report
from batchctl.workflows.watch import list_runs

NOW = datetime(2026, 1, 31, 7, tzinfo=UTC)


class Account:
    """One job, as the service tells it."""

    def __init__(self, info: dict[str, str]) -> None:
        self.job = {
            "id": "p-1",
            "state": "active",
            "creationTime": "2026-01-31T06:00:00Z",
            "executionInfo": info,
        }

    def jobs(self, pipeline: str | None, created_after: datetime | None = None) -> list[dict[str, Any]]:
        return [self.job]

    def task_counts(self, job: str) -> dict[str, int]:
        return {"running": 1}


@pytest.mark.parametrize(
    ("wire", "told"),
    [
        ("2026-01-31T06:00:00Z", "2026-01-31T06:00:00.000Z"),
        ("2026-01-31T06:00:00.1234567Z", "2026-01-31T06:00:00.123Z"),
        (None, None),
    ],
)
def test_moments_have_one_form(wire: str | None, told: str | None) -> None:
    info = {"startTime": wire} if wire else {}
    account: Any = Account(info)
    (line,) = [run.as_json() for run in list_runs(account, None, 1, now=NOW)]
    assert (line["started_at"], line["finished_at"]) == (told, None)
    task = {"id": "a", "state": "running", "executionInfo": info}
    assert run_report(account.job, [task], {}).as_json()["tasks"][0]["started_at"] == told

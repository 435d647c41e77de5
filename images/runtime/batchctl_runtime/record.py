"""What `record.json` holds: pure builders, and the reading of a program's report.

The keys are those of CONTRACT.md. Nothing here opens the lake or reads the clock.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from batchctl_runtime.task import Task, iso

LARGEST_REPORT = 1024 * 1024
"""Bytes of a report that are copied into the record; a larger one is a mistake, and would make every listing
slow."""


def opening_record(task: Task, *, command: Sequence[str], started_at: datetime) -> dict[str, Any]:
    """The record of a task that runs: all keys but the last five."""
    return {
        "pipeline": task.pipeline,
        "run": task.run,
        "task": task.task,
        "scheduled_at": task.scheduled_at,
        "node": task.node,
        "pool": task.pool,
        "command": [_printable(word) for word in command],
        "started_at": iso(started_at),
    }


def closing_record(
    opening: dict[str, Any],
    *,
    finished_at: datetime,
    exit_code: int,
    signal: int | None,
    seconds: float,
    report: dict[str, Any],
) -> dict[str, Any]:
    """The record of a task that ended: `opening` and the last five keys. `seconds` is wall-clock time of
    COMMAND."""
    return {
        **opening,
        "finished_at": iso(finished_at),
        "exit_code": exit_code,
        "signal": signal,
        "seconds": round(seconds, 6),
        "report": report,
    }


def record_bytes(record: dict[str, Any]) -> bytes:
    """The record as it is stored: JSON in ASCII, indented for the people who open it."""
    return (json.dumps(record, indent=2) + "\n").encode("ascii")


def read_report(path: Path) -> dict[str, Any]:
    """The program's report: `{}` if it wrote none, `{"error": …}` if what it wrote is not a JSON object."""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_REPORT + 1)
        if len(data) > LARGEST_REPORT:
            return {"error": f"the report is larger than {LARGEST_REPORT} bytes"}
        report = json.loads(data, parse_constant=_refuse_constant)
    except FileNotFoundError:
        return {}
    except OSError as error:
        return {"error": f"the report cannot be read: {error.strerror}"}
    except (ValueError, RecursionError) as error:
        return {"error": f"the report is not JSON: {error}"}
    if not isinstance(report, dict):
        return {"error": f"the report is not a JSON object but a {type(report).__name__}"}
    return report


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _printable(word: str) -> str:
    # An argument may hold any bytes; Python keeps them as lone surrogates, which no JSON reader accepts.
    return word.encode("utf-8", "surrogateescape").decode("utf-8", "replace")

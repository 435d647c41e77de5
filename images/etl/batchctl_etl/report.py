"""What a stage did, in numbers, and the file BATCHCTL_REPORT that carries it to the run's record."""

import json
import os
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from batchctl_etl.errors import WorkFailed


@dataclass(kw_only=True)
class Report:
    """Counts of one stage; a count stays `None`, and out of the report, where it means nothing.

    `rows_read` and `rows_written` count rows, `bytes_read` and `bytes_written` count bytes as stored
    (compressed). `extra` is anything else worth remembering.
    """

    rows_read: int | None = None
    rows_written: int | None = None
    bytes_read: int | None = None
    bytes_written: int | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        names = [item.name for item in fields(self) if item.name != "extra"]
        counts = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return counts | self.extra


def write_report(path: Path, report: Report) -> None:
    """Write the report aside and move it into place. Raises `WorkFailed`."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        try:
            aside.write_text(json.dumps(report.as_json()), encoding="utf-8")
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)
    except OSError as error:
        what = f"the report cannot be written: {error.strerror}"
        raise WorkFailed(f"BATCHCTL_REPORT={path}", what) from error

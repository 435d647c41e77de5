"""The private file that BATCHCTL_REPORT names: a place that does not exist yet, in a folder only this user
can enter."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from batchctl_runtime.errors import StageError


@contextmanager
def report_place() -> Iterator[Path]:
    """A path for the program's report, gone with its folder afterwards. Raises `StageError` if no folder can
    be made."""
    folder = Path(os.environ.get("TMPDIR") or "/tmp") / f"stage-run-{os.urandom(8).hex()}"
    try:
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise StageError(f"{folder}: cannot be made for the report: {error.strerror}; set TMPDIR") from error
    try:
        yield folder / "report.json"
    finally:
        shutil.rmtree(folder, ignore_errors=True)

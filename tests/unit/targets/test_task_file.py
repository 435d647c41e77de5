"""Parts of a task's file: from a byte on, or the last ones."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from batchctl.targets.batch import Batch

DATA = b"0123456789"


class Files:
    """The part of the SDK's client that reads a task's files."""

    def get_task_file_properties(self, *_: str) -> Any:
        return SimpleNamespace(content_length=len(DATA))

    def download_task_file(self, *_: str, ocp_range: str) -> Iterator[bytes]:
        first, last = map(int, ocp_range.removeprefix("bytes=").split("-"))
        yield DATA[first : last + 1]


@pytest.mark.parametrize(
    ("start", "expected"), [(0, DATA), (7, b"789"), (10, b""), (12, b""), (-3, b"789"), (-30, DATA)]
)
def test_parts_of_a_file(start: int, expected: bytes) -> None:
    batch = Batch(Files())  # type: ignore[arg-type]
    assert batch.task_file("r", "a", "stdout.txt", start) == expected

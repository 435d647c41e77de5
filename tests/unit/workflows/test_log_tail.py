"""The last lines of a task, as they are shown beside its failure: few, short, and harmless to a terminal."""

from pathlib import Path
from typing import Any

import pytest

from batchctl.errors import TargetError
from batchctl.targets.lake import FolderLake
from batchctl.workflows.logs import TaskLog, tail


def shown(folder: Path, stdout: bytes, stderr: bytes = b"", lines: int = 20) -> str:
    attempt = folder / "r" / "a" / "0001"
    attempt.mkdir(parents=True)
    (attempt / "stdout.txt").write_bytes(stdout)
    (attempt / "stderr.txt").write_bytes(stderr)
    return tail(TaskLog(None, FolderLake(folder), "r", "a"), lines)


def test_the_last_lines_of_both_streams(tmp_path: Path) -> None:
    assert shown(tmp_path, b"1\n2\n3", b"bad\n", lines=3) == "2\n3\nbad"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (b"\xe9t\xc3\xa9\n", "\\xe9té"),
        (b"\x1b[2J\x1b]0;title\x07\n", "\\x1b[2J\\x1b]0;title\\x07"),
        (b"a\tb\n", "a\tb"),
        (b"", ""),
    ],
)
def test_what_a_terminal_would_obey_is_shown_as_bytes(tmp_path: Path, written: bytes, expected: str) -> None:
    assert shown(tmp_path, written) == expected


def test_a_line_without_an_end_is_cut(tmp_path: Path) -> None:
    assert shown(tmp_path, b"x" * 2_000) == f"{'x' * 1_000} … (2,000 characters)"


class Node:
    """The files of a task that are on its node still."""

    def __init__(self, stderr: bytes | None) -> None:
        self.stderr = stderr

    def task_file(self, job: str, task: str, path: str, start: int = 0) -> bytes | None:
        return self.stderr if (job, task, path) == ("r", "a", "stderr.txt") else None


class ClosedLake(FolderLake):
    def names(self, folder: str) -> list[str]:
        raise TargetError("the lake cannot be read")


def test_what_the_lake_does_not_have_is_on_the_node(tmp_path: Path) -> None:
    node: Any = Node(b"stage-run: no space\n")
    assert tail(TaskLog(node, FolderLake(tmp_path), "r", "a")) == "stage-run: no space"
    assert tail(TaskLog(node, ClosedLake(tmp_path), "r", "a")) == "stage-run: no space"
    (tmp_path / "r" / "a" / "0001").mkdir(parents=True)
    assert tail(TaskLog(node, FolderLake(tmp_path), "r", "a")) == "stage-run: no space"


def test_a_lake_that_is_closed_is_told_when_the_node_is_gone(tmp_path: Path) -> None:
    node: Any = Node(None)
    with pytest.raises(TargetError, match="the lake cannot be read"):
        tail(TaskLog(node, ClosedLake(tmp_path), "r", "a"))


def test_a_folder_that_may_not_be_read_is_no_empty_lake(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    lake = FolderLake(tmp_path)
    for read in (lake.names, lake.read):
        with pytest.raises(TargetError, match="the lake cannot be read"):
            read("loop")


def test_only_the_end_of_a_log_is_read(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"0123456789")
    lake = FolderLake(tmp_path)
    assert lake.read("log", -3) == b"789"
    assert lake.read("log", -30) == b"0123456789"
    assert lake.read("log", 8) == b"89"
    assert len(shown(tmp_path, b"y" * 10_000_000)) < 2_000

"""Whether there is room on the disk: the service stops taking and starting work before the last byte is gone.

A part is held back so that what runs can still end, be recorded, and be deleted. Others may take that part too: a ballast
file beside the store is then given up piece by piece.
"""

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import apsw

from batchctl.errors import TargetError

RESERVED_BYTES = 16 * 2**20
"""Below this much free space no work is taken or started."""

BALLAST_BYTES = 4 * 2**20
_PIECE_BYTES = BALLAST_BYTES // 16

Answer = TypeVar("Answer")

FULL_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT})


def has_room(path: Path, *, beyond: int = 0) -> bool:
    """Has the file system that holds `path` more free space than is held back, and `beyond`? Those that do not tell have."""
    found = os.statvfs(path)
    return not found.f_blocks or found.f_bavail * found.f_frsize >= RESERVED_BYTES + beyond


def lack_of_room(state: Path) -> str:
    """What to tell a user of the service in `state` whose disk is full; empty while it has room."""
    if not state.exists() or has_room(state):
        return ""
    least = f"less than {RESERVED_BYTES // 2**20} MB are free"
    return f"{least} on the disk of {state}: nothing new is taken or started"


def disk_full(state: Path) -> TargetError:
    """The error of a service that cannot start, because nothing can be written below `state`."""
    hint = f"nothing is lost; make room: df {state}"
    return TargetError(f"there is no space left on the disk of {state}", hint=hint, code="DiskFull")


def is_full(problem: BaseException) -> bool:
    """Does this error of SQLite or of the system say that the disk is full? (SQLite also says "disk I/O error".)"""
    if isinstance(problem, OSError):
        return problem.errno in FULL_ERRNOS
    return isinstance(problem, (apsw.FullError, apsw.IOError))


class Ballast:
    """A file that holds space for the changes that have to be written on a full disk: ends, and what is deleted."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def fill(self) -> None:
        """Make it whole, if there is room beside what is held back."""
        if self._size() >= BALLAST_BYTES or not has_room(self._path.parent, beyond=BALLAST_BYTES):
            return
        with suppress(OSError), self._path.open("ab") as file:
            file.write(os.urandom(BALLAST_BYTES - file.tell()))  # zeros may take no space

    def give(self) -> bool:
        """Give a piece of it up; False: nothing is left."""
        size = self._size()
        if not size:
            return False
        # In pieces, for what else writes to the disk takes what it finds.
        os.truncate(self._path, max(0, size - _PIECE_BYTES))
        return True

    def remove(self) -> None:
        """Take it away, unless the next service may need it to start."""
        if has_room(self._path.parent):
            self._path.unlink(missing_ok=True)

    def write(self, change: Callable[[], Answer]) -> Answer:
        """What `change` returns. While it fails because the disk is full, the ballast is given up for it."""
        while True:
            try:
                return change()
            except (apsw.Error, OSError) as problem:
                if not is_full(problem) or not self.give():
                    raise

    def _size(self) -> int:
        try:
            return self._path.stat().st_size
        except FileNotFoundError:
            return 0

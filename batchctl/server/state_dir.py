"""The directory that holds one local service: who may use it, where its parts are.

An flock on `service.lock` makes two services in one directory impossible; the kernel drops it with the process.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from batchctl.errors import TargetError


@dataclass(frozen=True)
class StateDir:
    """The parts of a state directory."""

    root: Path

    @property
    def store(self) -> Path:
        """The database."""
        return self.root / "batch.sqlite"

    @property
    def nodes(self) -> Path:
        """The root directories of all nodes."""
        return self.root / "nodes"

    @property
    def trash(self) -> Path:
        """Trees that are being deleted."""
        return self.root / "trash"

    @property
    def containers(self) -> Path:
        """Is there when a container engine was used: there may be containers of this service on it."""
        return self.root / "containers"

    @property
    def ballast(self) -> Path:
        """Holds space that is given up when the disk is full."""
        return self.root / "ballast"

    @property
    def lock(self) -> Path:
        """The lock file; it holds the owner's process id."""
        return self.root / "service.lock"

    @property
    def record(self) -> Path:
        """Where and who the running service is (JSON)."""
        return self.root / "service.json"

    @property
    def port(self) -> Path:
        """The port of the last service, to be used again."""
        return self.root / "port"

    @property
    def stay(self) -> Path:
        """Is there when a service that was started on demand is to stay."""
        return self.root / "stay"

    @property
    def log(self) -> Path:
        """What a background service printed."""
        return self.root / "service.log"


@contextmanager
def locked(state: StateDir) -> Iterator[None]:
    """Own the directory (made if missing) for the length of the block. Raises TargetError if somebody else does."""
    state.root.mkdir(parents=True, exist_ok=True)
    state.root.chmod(0o700)  # bodies hold what tasks and registries are given, passwords too
    handle = os.open(state.lock, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(handle, 20).decode() or "unknown"
            message = f"{state.root} is in use by another local service (process {owner})"
            raise TargetError(message, hint="batchctl local down", code="StateInUse") from None
        os.ftruncate(handle, 0)
        os.write(handle, str(os.getpid()).encode())
        yield
    finally:
        os.close(handle)

"""A container's output: the engine's one stream taken apart into stdout.txt and stderr.txt, as it comes.

Source: Docker Engine API, "Attach to a container", stream format. A full disk must not stop the container, so what
cannot be written is dropped and told at the end.
"""

import struct
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from batchctl.server.disk import is_full

_HEADER = struct.Struct(">BxxxI")
_STDERR = 2


class Demultiplexer:
    """Feed it what was received, in pieces of any size."""

    def __init__(self) -> None:
        self._header = b""
        self._stream = 0
        self._left = 0

    def feed(self, data: bytes) -> Iterator[tuple[int, memoryview]]:
        """(1 for stdout or 2 for stderr, bytes), in order; nothing is kept back but a part of a header."""
        rest = memoryview(data)
        while rest:
            if not self._left:
                missing = _HEADER.size - len(self._header)
                self._header += bytes(rest[:missing])
                rest = rest[missing:]
                if len(self._header) == _HEADER.size:
                    self._stream, self._left = _HEADER.unpack(self._header)
                    self._header = b""
                continue
            part, rest = rest[: self._left], rest[self._left :]
            self._left -= len(part)
            yield self._stream, part


class Output:
    """The two files in a task's folder, empty at first; a context manager."""

    def __init__(self, folder: Path) -> None:
        self._open = ExitStack()
        self._demultiplexer = Demultiplexer()
        try:
            self._out = self._open.enter_context((folder / "stdout.txt").open("wb", buffering=0))
            self._err = self._open.enter_context((folder / "stderr.txt").open("wb", buffering=0))
        except OSError:
            self._open.close()
            raise
        self.is_cut = False

    def write(self, data: bytes) -> None:
        """Write what was received from the engine."""
        for stream, part in self._demultiplexer.feed(data):
            try:
                (self._err if stream == _STDERR else self._out).write(part)
            except OSError as problem:
                if not is_full(problem):
                    raise
                self.is_cut = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

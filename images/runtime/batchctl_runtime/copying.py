"""The copying of COMMAND's output while it runs: bytes in, the same bytes out, whatever their encoding.

It ends when every pipe is closed, or shortly after COMMAND ended: a grandchild that keeps a pipe open must
not hold a task.
"""

import os
import select
import selectors
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

CHUNK_BYTES = 65536
DRAIN_SECONDS = 1.0
"""How long the pipes are read on after COMMAND's end, for processes it left behind."""
LARGEST_PIPE_BYTES = 1024 * 1024
"""What a pipe may hold at most (pipe(7), /proc/sys/fs/pipe-max-size): all that COMMAND itself can have left
in it."""


class Output(NamedTuple):
    """One stream of COMMAND's: the pipe it is read from, and what takes its bytes."""

    pipe: int
    emit: Callable[[bytes], None]


def copy_outputs(outputs: Sequence[Output], *, wakeup: int, has_ended: Callable[[], bool]) -> None:
    """Copy until all pipes are closed, or until `DRAIN_SECONDS` after `has_ended` became true.

    `wakeup` becomes readable when `has_ended` may have changed.
    """
    with selectors.DefaultSelector() as selector:
        selector.register(wakeup, selectors.EVENT_READ)
        for output in outputs:
            os.set_blocking(output.pipe, False)
            selector.register(output.pipe, selectors.EVENT_READ, output)
        reading = {output.pipe: output for output in outputs}

        def copy_ready(timeout: float | None) -> None:
            for key, _ in selector.select(timeout):
                if key.fd == wakeup:
                    os.read(wakeup, CHUNK_BYTES)
                elif _copy_chunk(key.data) == 0:
                    selector.unregister(key.fd)
                    del reading[key.fd]

        while reading and not has_ended():
            copy_ready(None)
        deadline = time.monotonic() + DRAIN_SECONDS
        while reading and (left := deadline - time.monotonic()) > 0:
            copy_ready(left)
        # A slow reader of ours may have spent the second; what COMMAND wrote before it ended still waits in
        # the pipe.
        for output in reading.values():
            _copy_waiting(output)


def _copy_chunk(output: Output) -> int | None:
    """Copy what is there; the number of bytes, 0 at the end of the stream, `None` if nothing waits."""
    try:
        data = os.read(output.pipe, CHUNK_BYTES)
    except BlockingIOError:
        return None
    if data:
        output.emit(data)
    return len(data)


def _copy_waiting(output: Output) -> None:
    copied = 0
    while copied < LARGEST_PIPE_BYTES and (count := _copy_chunk(output)):
        copied += count


def write_all(descriptor: int, data: bytes) -> None:
    """Write every byte, also to a pipe that someone made non-blocking. Raises `OSError` (a reader that went
    away)."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            select.select([], [descriptor], [])

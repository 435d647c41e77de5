"""Text in blocks of whole lines, each parsed by itself: several at once, and given in their order.

Arrow's own streaming readers parse one block after the other.
"""

import os
from collections.abc import Callable, Iterable, Iterator

import pyarrow as pa

from batchctl_etl.ahead import in_order

BLOCK_BYTES = 4 * 1024 * 1024
"""What is parsed at once; the longest row must fit."""
_PARSERS = 4
"""At most; fewer on a machine with fewer cores."""


def whole_lines(read: Callable[[int], bytes]) -> Iterator[bytes]:
    """All that `read` gives, in blocks of about `BLOCK_BYTES` that end with a line, the last perhaps without its end.

    Raises `pa.ArrowInvalid` for a line that is longer, in the words of Arrow's own readers.
    """
    rest = b""
    while data := read(BLOCK_BYTES):
        end = data.rfind(b"\n") + 1
        if not end and b"\n" not in rest:
            end = data.rfind(b"\r", 0, -1) + 1  # Lines of an old Macintosh.
        if end:
            yield rest + data[:end]
            rest = data[end:]
        else:
            rest += data
        if len(rest) > BLOCK_BYTES:
            raise pa.ArrowInvalid("straddling object straddles two block boundaries")
    if rest:
        yield rest


def parsed(parse: Callable[[bytes], pa.Table], blocks: Iterable[bytes]) -> Iterator[pa.Table]:
    """What `parse` makes of each block, in order. What it raises is raised in its place."""
    return in_order(parse, blocks, min(os.cpu_count() or 1, _PARSERS))

"""`logs`: what the tasks of a run printed: from the lake, where it outlives the nodes; else from the node's own files."""

from collections.abc import Iterator, Mapping, Sequence

from batchctl.errors import TargetError
from batchctl.targets.batch import Batch
from batchctl.targets.lake import Lake

STREAMS = ("stdout", "stderr")
_TAIL_BYTES = 64 * 1024
_LONGEST_LINE = 1_000
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if code != ord("\t")}


class TaskLog:
    """The output of one task's last attempt, read on from where the last read ended."""

    def __init__(
        self, batch: Batch | None, lake: Lake, run: str, task: str, streams: Sequence[str] = STREAMS
    ) -> None:
        self.batch = batch
        self.lake = lake
        self.run = run
        self.task = task
        self.positions = dict.fromkeys(streams, 0)
        self.attempt = ""
        self.refusal: TargetError | None = None
        """Why the lake could not be asked."""

    def read(self) -> Iterator[tuple[str, bytes]]:
        """(stream, new bytes) for each stream that has any."""
        self._find_attempt()
        for stream, data in self._found(self.positions).items():
            self.positions[stream] += len(data)
            yield stream, data

    def ends(self, most: int) -> Iterator[bytes]:
        """The last bytes of each stream that has any, at most `most`."""
        self._find_attempt()
        yield from self._found(dict.fromkeys(self.positions, -most)).values()

    def _find_attempt(self) -> None:
        try:
            attempts = self.lake.names(f"{self.run}/{self.task}")
        except TargetError as error:
            if self.batch is None:
                raise
            attempts, self.refusal = [], error  # its node may have what the lake does not give
        if (
            attempts and attempts[-1] != self.attempt
        ):  # Batch began it again: the new attempt from its beginning
            self.attempt = attempts[-1]
            self.positions = dict.fromkeys(self.positions, 0)

    def _found(self, starts: Mapping[str, int]) -> dict[str, bytes]:
        """What each stream has from its start on, if it has anything. Raises TargetError if neither lake nor node tells."""
        found = {stream: self._bytes(stream, start) for stream, start in starts.items()}
        if self.refusal is not None and not any(data is not None for data in found.values()):
            raise self.refusal
        return {stream: data for stream, data in found.items() if data}

    def _bytes(self, stream: str, position: int) -> bytes | None:
        data = None
        if self.attempt:
            data = self.lake.read(f"{self.run}/{self.task}/{self.attempt}/{stream}.txt", position)
        if data is None and self.batch is not None:  # stage-run could not write it to the lake
            data = self.batch.task_file(self.run, self.task, f"{stream}.txt", position)
        return data


def tail(log: TaskLog, lines: int = 20) -> str:
    """The last lines of both streams, as text: bytes that are not UTF-8, and signs that steer a terminal, as \\xNN."""
    text = b"".join(data if data.endswith(b"\n") else data + b"\n" for data in log.ends(_TAIL_BYTES))
    found = text.decode("utf-8", "backslashreplace").splitlines()[-lines:]
    return "\n".join(_cut(line.translate(_CONTROL)) for line in found)


def _cut(line: str) -> str:
    return line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]} … ({len(line):,} characters)"

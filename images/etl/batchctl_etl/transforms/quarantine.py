"""Bad rows, written aside one by one: where each came from, what is wrong with it, and its values as text."""

import orjson

from batchctl_etl.errors import WorkFailed
from batchctl_etl.storage.streams import SinkStream


class BadRows:
    """What is written to `stream`; without one, nothing may be."""

    def __init__(self, stream: SinkStream | None = None, *, max_rows: int = 0, where: str = "") -> None:
        self._stream = stream
        self.max_rows = max_rows
        self._where = where
        self.count = 0

    def add(self, place: str, why: str, row: bytes) -> None:
        """`row` is JSON. Raises `WorkFailed` when there are more than the configuration allows."""
        assert self._stream is not None
        self.count += 1
        if self.count > self.max_rows:
            what = f"more than {self.max_rows} rows are bad; the last: {place}: {why}"
            raise WorkFailed(self._where, what, "check the source, or raise quarantine.max_rows")
        line = {"place": place, "why": why, "row": orjson.Fragment(row)}
        self._stream.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))

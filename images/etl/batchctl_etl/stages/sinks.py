"""Several files of one stage, written aside, which appear together when the stage ends well."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from batchctl_etl.errors import WorkFailed
from batchctl_etl.storage.locations import shown
from batchctl_etl.storage.opening import joined, written
from batchctl_etl.storage.streams import SinkStream


class Sinks:
    """Files in the folder `url`, or the one file `url`. They appear, one after the other, when `stack` ends."""

    def __init__(self, url: str, owner: str, stack: ExitStack) -> None:
        self._url = url
        self._owner = owner
        self._stack = stack
        self.names: set[str] = set()
        self.bytes = 0
        self.only: str | None = None

    @contextmanager
    def file(self, name: str) -> Iterator[SinkStream]:
        """The file `name` in the sink's folder, or the sink if that is a file. Raises `WorkFailed`."""
        url = joined(self._url, name) if self._url.endswith("/") else self._url
        if name in self.names:
            raise WorkFailed(shown(url), "two files have this name", "narrow the pattern")
        self.names.add(name)
        self.only = shown(url) if len(self.names) == 1 else None
        stream = self._stack.enter_context(written(url, owner=self._owner))
        yield stream
        stream.finish()
        self.bytes += stream.count

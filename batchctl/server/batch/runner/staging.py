"""Transfers beside the event loop: a few daemon threads, so that a slow store holds up neither the service nor its end.

A cancelled transfer is over at once for whoever asked; its thread ends when it next looks. Knows runs by their number
only.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from batchctl.server.batch.runner.blobs import TransferCancelled
from batchctl.server.batch.scheduler.effects import Ending

AT_ONCE = 8

Work = Callable[[threading.Event], Ending | None]


@dataclass(kw_only=True, eq=False)
class _Transfer:
    run: int
    work: Work
    done: Callable[[Ending | None], None]
    cancelled: threading.Event = field(default_factory=threading.Event)


class Staging:
    """Create it in the running event loop; `close()` it. At most `AT_ONCE` transfers go on at a time."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transfers: dict[int, _Transfer] = {}
        self._waiting: deque[_Transfer] = deque()
        self._threads = 0

    def begin(self, run: int, work: Work, done: Callable[[Ending | None], None]) -> None:
        """Do `work(cancelled)` in a thread, then tell `done` in the loop what it returned."""
        transfer = _Transfer(run=run, work=work, done=done)
        self._transfers[run] = transfer
        self._waiting.append(transfer)
        self._start_some()

    def cancel(self, run: int) -> bool:
        """Give the run's transfer up, if there is one: `done` will not be called."""
        transfer = self._transfers.pop(run, None)
        if transfer is None:
            return False
        transfer.cancelled.set()
        return True

    def close(self) -> None:
        """Give all transfers up."""
        for run in list(self._transfers):
            self.cancel(run)

    def _start_some(self) -> None:
        while self._waiting and self._threads < AT_ONCE:
            transfer = self._waiting.popleft()
            if not transfer.cancelled.is_set():
                self._threads += 1
                threading.Thread(target=self._run, args=(transfer,), daemon=True).start()

    def _run(self, transfer: _Transfer) -> None:
        result: Ending | None = None
        bug: Exception | None = None
        try:
            result = transfer.work(transfer.cancelled)
        except TransferCancelled:
            transfer.cancelled.set()
        except Exception as problem:  # noqa: BLE001 - handed to the loop, which makes it known
            bug = problem
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._ended, transfer, result, bug)

    def _ended(self, transfer: _Transfer, result: Ending | None, bug: Exception | None) -> None:
        self._threads -= 1
        self._start_some()
        if self._transfers.get(transfer.run) is not transfer:
            return
        del self._transfers[transfer.run]
        if bug is not None:
            self._loop.call_exception_handler({"message": "a transfer broke", "exception": bug})
            result = Ending(failure="BlobDownloadMiscError", detail=repr(bug))
        transfer.done(result)

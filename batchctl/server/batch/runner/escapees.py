"""Processes that left their task's session (setsid, a daemon): ended once their task has ended.

They are known by the run's number in their environment, so one that also changed its environment is not found. The
search reads all of /proc, hence one search in a thread for all runs that ended in the last moment, not one for each.
Only tasks are searched for: what a start task leaves behind is meant to stay, until its node goes.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

from batchctl.server.batch.runner.leftovers import kill_node, kill_runs

DELAY_SECONDS = 0.2


class Escapees:
    """Create it in the running event loop; `close()` it."""

    def __init__(self, nodes: Path) -> None:
        self._nodes = nodes
        self._runs: set[int] = set()
        self._gone: set[str] = set()
        self._search: asyncio.Task[None] | None = None

    def run_ended(self, run: int) -> None:
        """What is left of that run is to end."""
        self._runs.add(run)
        self._begin()

    def node_gone(self, node: str) -> None:
        """Everything on that node is to end."""
        self._gone.add(node)
        self._begin()

    def close(self) -> None:
        """Search no more; whoever stops the service kills everything that is marked."""
        if self._search is not None:
            self._search.cancel()

    def _begin(self) -> None:
        if self._search is None or self._search.done():
            self._search = asyncio.get_running_loop().create_task(self._work())

    async def _work(self) -> None:
        while self._runs or self._gone:
            await asyncio.sleep(DELAY_SECONDS)
            runs, self._runs = self._runs, set()
            gone, self._gone = self._gone, set()
            await asyncio.to_thread(self._kill, runs, gone)

    def _kill(self, runs: set[int], gone: set[str]) -> None:
        work: list[Callable[[], int]] = [lambda: kill_runs(self._nodes, runs)] if runs else []
        work += [lambda node=node: kill_node(self._nodes, node) for node in gone]  # type: ignore[misc]
        for kill in work:
            kill()

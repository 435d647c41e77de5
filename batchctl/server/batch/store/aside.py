"""What is set aside: rows at which the engine failed by a bug of ours, so that all the others go on.

It is kept in memory: a new start tries them again, and so does a request that changed something.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from operator import itemgetter
from typing import Any, TypeVar

_LOG = logging.getLogger(__name__)

Item = TypeVar("Item")
_seq: Callable[[Any], int] = itemgetter(0)


class Aside:
    """The rows that are set aside, by kind and seq; `name` says what a user calls such a row."""

    def __init__(self, name: Callable[[str, int], str]) -> None:
        self._name = name
        self._warnings: dict[tuple[str, int], str] = {}
        self._told: set[str] = set()
        self._current: tuple[str, int] | None = None

    @property
    def warnings(self) -> list[str]:
        """What is set aside and why, a line each."""
        return list(self._warnings.values())

    def __contains__(self, row: tuple[str, int]) -> bool:
        return row in self._warnings

    def each(self, kind: str, rows: Iterable[Item], seq: Callable[[Item], int] = _seq) -> Iterator[Item]:
        """The rows that are not set aside. What fails until the next one is taken failed at this one."""
        outer = self._current
        for row in rows:
            current = (kind, seq(row))
            if current not in self._warnings:
                self._current = current
                yield row
        self._current = outer

    def begin(self) -> None:
        """No row is being handled."""
        self._current = None

    def blame(self, problem: Exception) -> bool:
        """Set the row aside that was being handled, and log the problem once; False: there was none.

        The caller has undone what it did, and tries again.
        """
        if self._current is None or self._current in self._warnings:
            return False
        warning = f"{self._name(*self._current)} is set aside: {type(problem).__name__}: {problem}"
        self._warnings[self._current] = warning
        if warning not in self._told:
            self._told.add(warning)
            _LOG.error(warning, exc_info=problem)
        return True

    def clear(self) -> None:
        """Something changed: try all of them again."""
        self._warnings.clear()

"""The next is made while the last is used: what libraries do outside of Python's lock happens at once."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")


@contextmanager
def ahead(items: Iterable[Item], count: int) -> Iterator[Iterator[Item]]:
    """`items` in their order, made in a thread of their own, up to `count` of them before they are asked for.

    What making one raises is raised where it is asked for. At the end of the block nothing is being made any more.
    """
    pool = ThreadPoolExecutor(1, thread_name_prefix="ahead")
    source, waiting = iter(items), deque[Future[tuple[Item] | None]]()

    def make() -> tuple[Item] | None:
        for item in source:
            return (item,)
        return None

    def taken() -> Iterator[Item]:
        waiting.extend(pool.submit(make) for _ in range(count))
        while (made := waiting.popleft().result()) is not None:
            waiting.append(pool.submit(make))
            yield made[0]

    try:
        yield taken()
    finally:
        pool.shutdown(cancel_futures=True)


def in_order(
    make: Callable[[Item], Made], items: Iterable[Item], workers: int
) -> Generator[Made, None, None]:
    """What `make` makes of each item, several at once, and in the order of `items`, of which few are taken before.

    What making one raises is raised in its place.
    """
    with ThreadPoolExecutor(workers, thread_name_prefix="in-order") as pool:
        waiting = deque[Future[Made]]()
        try:
            for item in items:
                waiting.append(pool.submit(make, item))
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

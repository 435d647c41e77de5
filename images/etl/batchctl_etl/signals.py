"""Signals that wait for a moment at which an exception does no harm."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def signals_held() -> Iterator[Callable[[], None]]:
    """Hold SIGINT and SIGTERM; the function that this gives, and the end, let those that came reach their handlers.

    A handler that raises between any two steps of this thread may do so in the middle of a lock of Python's own: the
    exception is then another one. Outside the main thread, which alone hears signals, nothing is held.
    """
    came: list[int] = []
    held: dict[int, Callable[..., object]] = {}

    def release() -> None:
        while held:
            signal.signal(*held.popitem())

    def heed() -> None:
        if came:
            number, handler = came[0], held[came[0]]
            release()
            came.clear()
            handler(number, None)

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            handler = signal.getsignal(number)
            if callable(handler):
                held[number] = handler
                signal.signal(number, lambda number, _: came.append(number))
    try:
        yield heed
        heed()
    finally:
        release()

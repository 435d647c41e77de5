"""Signals held until a moment at which an exception does no harm."""

import signal
import threading

import pytest
from batchctl_etl.signals import signals_held


class Told(Exception):
    pass


@pytest.fixture(autouse=True)
def handler():
    def tell(number, _frame):
        raise Told(number)

    before = signal.signal(signal.SIGTERM, tell)
    yield tell
    signal.signal(signal.SIGTERM, before)


def sent(*, meanwhile=lambda heed: None):
    with signals_held() as heed:
        signal.raise_signal(signal.SIGTERM)
        meanwhile(heed)


def test_it_waits_for_the_moment(handler):
    steps = []

    def meanwhile(heed):
        steps.append("came")
        heed()
        steps.append("gone on")

    with pytest.raises(Told):
        sent(meanwhile=meanwhile)
    assert steps == ["came"]
    assert signal.getsignal(signal.SIGTERM) is handler


def test_none_is_lost_at_the_end(handler):
    with pytest.raises(Told):
        sent()
    assert signal.getsignal(signal.SIGTERM) is handler


def test_what_failed_meanwhile_is_what_is_told(handler):
    def meanwhile(_heed):
        raise LookupError

    with pytest.raises(LookupError):
        sent(meanwhile=meanwhile)
    assert signal.getsignal(signal.SIGTERM) is handler


def test_a_handler_may_change_what_comes_next():
    def once(number, _frame):
        signal.signal(number, signal.SIG_IGN)
        raise Told

    signal.signal(signal.SIGTERM, once)
    with pytest.raises(Told):
        sent(meanwhile=lambda heed: heed())
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN


def test_without_signals_nothing_happens(handler):
    with signals_held() as heed:
        heed()
    assert signal.getsignal(signal.SIGTERM) is handler


def test_another_thread_holds_nothing():
    def elsewhere():
        with signals_held() as heed:
            heed()
        done.append(True)

    done = []
    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert done

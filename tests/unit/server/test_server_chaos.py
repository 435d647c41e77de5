"""Rules of faults and the decisions they make, without a service."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from batchctl.server.batch.store import Store
from batchctl.server.chaos import book
from batchctl.server.chaos.decision import strikes
from batchctl.server.chaos.fate import fate_of
from batchctl.server.chaos.rule import Fault, Rule


def story(rule: Rule, events: int) -> list[bool]:
    struck: list[bool] = []
    for seen in range(events):
        struck.append(strikes(rule, seen=seen, struck=sum(struck)))
    return struck


@given(
    skip=st.integers(0, 20),
    times=st.none() | st.integers(1, 20),
    probability=st.floats(0.01, 1),
    seed=st.integers(),
)
def test_what_a_rule_promises(skip: int, times: int | None, probability: float, seed: int) -> None:
    rule = Rule(fault=Fault.ERROR, skip=skip, times=times, probability=probability, seed=seed)
    found = story(rule, 60)
    assert not any(found[:skip])
    assert times is None or sum(found) <= times
    assert story(rule, 60) == found
    if probability == 1:
        assert sum(found) == min(60 - skip, times or 60)


def test_the_probability_is_one() -> None:
    found = story(Rule(fault=Fault.DROP, probability=0.3, seed=5), 5000)
    assert 0.27 < sum(found) / 5000 < 0.33


@pytest.mark.parametrize(
    ("pattern", "operation", "fits"),
    [("*", "get_job", True), ("create_*", "create_job", True), ("create_*", "get_job", False)],
)
def test_operations(pattern: str, operation: str, fits: bool) -> None:
    assert Rule(fault=Fault.ERROR, operations=(pattern,)).fits(operation, ()) is fits


def test_ids_match_in_any_case() -> None:
    rule = Rule(fault=Fault.SKIP_FIRING, match="Daily-*")
    assert rule.fits(None, ("DAILY-1",))
    assert not rule.fits(None, ("weekly", "x"))
    assert not rule.fits(None, ())


def test_a_rule_is_a_value() -> None:
    rule = Rule(fault=Fault.ERROR)
    with pytest.raises(ValidationError):
        rule.seed = 1  # type: ignore[misc]
    assert Rule.model_validate_json(rule.model_dump_json()) == rule


def test_every_fitting_rule_counts_and_the_oldest_wins() -> None:
    store = Store(":memory:")
    book.add(store, Rule(fault=Fault.LATENCY, seconds=1))
    book.add(store, Rule(fault=Fault.DROP, operations=("get_job",), times=1))
    book.add(store, Rule(fault=Fault.THROTTLE, seconds=0.2))
    book.add(store, Rule(fault=Fault.PREEMPT))
    first, second = (fate_of(store, "get_job", {"jobId": "j"}, None) for _ in range(2))
    other = fate_of(store, "create_pool", {}, {"id": 7})
    assert (first.delay, first.drop, first.error) == (1, True, None)
    assert (second.delay, second.drop) == (1, False)
    assert second.error is not None
    assert second.error.headers == {"Retry-After": "1"}, "whole seconds, upwards"
    assert not other.is_harmless
    assert [(entry.seen, entry.struck) for entry in book.entries(store)] == [(3, 3), (2, 1), (3, 3), (0, 0)]
    assert book.clear(store) == 4
    assert fate_of(store, "get_job", {}, None).is_harmless
    store.close()

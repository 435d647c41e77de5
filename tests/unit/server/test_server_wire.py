"""Durations, instants and entity tags."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchctl.server.batch.wire import (
    INFINITE,
    INFINITE_TICKS,
    after,
    duration,
    duration_text,
    duration_ticks,
    http_date,
    instant_text,
    next_etag,
    parse_instant,
)

NOW = datetime(2026, 1, 22, 20, 18, 17, 607694, tzinfo=UTC)


@pytest.mark.parametrize(
    ("given_text", "canonical"),
    [
        ("PT01M00S", "PT1M"),
        ("PT06M00S", "PT6M"),
        ("PT60M", "PT1H"),
        ("P1D", "P1D"),
        ("PT24H", "P1D"),
        ("PT1H30M", "PT1H30M"),
        ("P1W", "P7D"),
        ("PT0S", "PT0S"),
        ("PT0.5S", "PT0.5S"),
        ("PT90S", "PT1M30S"),
        ("-PT1S", "-PT1S"),
        ("P1Y2M", "P425D"),
        (INFINITE, INFINITE),
        ("P10675199DT2H48M5.477581S", INFINITE),
        ("P99999999D", INFINITE),
    ],
)
def test_canonical_durations(given_text: str, canonical: str) -> None:
    assert duration_text(duration_ticks(given_text)) == canonical


@pytest.mark.parametrize("text", ["", "P", "PT", "P1DT", "1D", "PT1", "P1H", "PT1D", "soon", "PT-1S", "P1D "])
def test_what_is_not_a_duration(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        duration_ticks(text)


@settings(deadline=None)
@given(st.integers(min_value=-INFINITE_TICKS, max_value=INFINITE_TICKS))
def test_durations_come_back(ticks: int) -> None:
    assert duration_ticks(duration_text(ticks)) == ticks


def test_infinite_is_no_timedelta() -> None:
    assert duration(INFINITE) is None
    assert duration(None) is None
    assert duration("PT1M") == timedelta(minutes=1)
    assert after(instant_text(NOW), INFINITE) is None
    assert after(instant_text(NOW), "P9999999D") is None, "beyond the last year"


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-22T20:18:17.6076940Z", NOW),
        ("2026-01-22T21:18:17.607694+01:00", NOW),
        ("2026-01-22T20:18:17", NOW.replace(microsecond=0)),
        ("2026-01-22T20:18Z", NOW.replace(second=0, microsecond=0)),
    ],
)
def test_instants(text: str, moment: datetime) -> None:
    assert parse_instant(text) == moment


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2026-01-22", "2026-13-01T00:00:00Z", "22/01/2026 20:18:17"]
)
def test_what_is_not_an_instant(text: str) -> None:
    with pytest.raises(ValueError):
        parse_instant(text)


def test_instants_are_written_like_the_service_does() -> None:
    assert instant_text(NOW) == "2026-01-22T20:18:17.6076940Z"
    assert http_date(instant_text(NOW)) == "Thu, 22 Jan 2026 20:18:17 GMT"


@settings(deadline=None)
@given(st.datetimes(timezones=st.just(UTC)), st.datetimes(timezones=st.just(UTC)))
def test_text_order_is_time_order(one: datetime, other: datetime) -> None:
    assert (instant_text(one) < instant_text(other)) == (one < other)


def test_an_etag_always_changes() -> None:
    first = next_etag(NOW)
    second = next_etag(NOW, first)
    assert first.startswith("0x8D")
    assert second != first
    assert next_etag(NOW - timedelta(days=1), second) not in (first, second)

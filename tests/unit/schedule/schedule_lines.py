"""Random cron lines, and the zones and moments at which clocks did something worth testing."""

from datetime import UTC, datetime

from hypothesis import strategies as st

MOMENTS = [
    ("America/Los_Angeles", datetime(2026, 3, 8, 10, tzinfo=UTC)),
    ("America/Los_Angeles", datetime(2026, 11, 1, 9, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2026, 3, 29, 1, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2027, 10, 31, 1, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 4, 4, 15, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 10, 3, 15, 30, tzinfo=UTC)),
    ("Pacific/Apia", datetime(2011, 12, 30, 10, tzinfo=UTC)),
    ("Pacific/Kwajalein", datetime(1993, 8, 21, 12, tzinfo=UTC)),
    ("Pacific/Kwajalein", datetime(1969, 9, 30, 13, tzinfo=UTC)),
    ("Africa/Casablanca", datetime(2026, 2, 15, 2, tzinfo=UTC)),
    ("Africa/Casablanca", datetime(2026, 3, 22, 2, tzinfo=UTC)),
    ("Asia/Gaza", datetime(2026, 3, 28, 0, tzinfo=UTC)),
    ("Asia/Gaza", datetime(2026, 10, 24, 0, tzinfo=UTC)),
    ("Asia/Kathmandu", datetime(2025, 12, 31, 18, 15, tzinfo=UTC)),
    ("UTC", datetime(2028, 2, 29, 0, tzinfo=UTC)),
    ("America/Santiago", datetime(2026, 4, 5, 3, tzinfo=UTC)),
    ("America/Santiago", datetime(2026, 9, 6, 4, tzinfo=UTC)),
    ("Antarctica/Troll", datetime(2026, 3, 29, 1, tzinfo=UTC)),
    ("Antarctica/Troll", datetime(2026, 10, 25, 1, tzinfo=UTC)),
    ("America/St_Johns", datetime(2008, 11, 2, 2, 31, tzinfo=UTC)),
    ("America/Caracas", datetime(2016, 5, 1, 7, tzinfo=UTC)),
    ("Africa/Monrovia", datetime(1972, 1, 7, 0, tzinfo=UTC)),
]

ZONES = {
    "America/Los_Angeles": (datetime(2026, 3, 8, 10, tzinfo=UTC), datetime(2026, 11, 1, 9, tzinfo=UTC)),
    "America/New_York": (datetime(2027, 3, 14, 7, tzinfo=UTC), datetime(2027, 11, 7, 6, tzinfo=UTC)),
    "Europe/Berlin": (datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 10, 25, 1, tzinfo=UTC)),
    "Australia/Lord_Howe": (datetime(2026, 10, 3, 15, 30, tzinfo=UTC), datetime(2027, 4, 3, 15, tzinfo=UTC)),
    "Pacific/Apia": (datetime(2011, 12, 30, 10, tzinfo=UTC), datetime(2012, 3, 31, 14, tzinfo=UTC)),
    "Africa/Casablanca": (datetime(2024, 3, 10, 2, tzinfo=UTC), datetime(2024, 4, 14, 2, tzinfo=UTC)),
    "Asia/Gaza": (datetime(2024, 4, 20, 0, tzinfo=UTC), datetime(2024, 10, 25, 23, tzinfo=UTC)),
    "America/Santiago": (datetime(2024, 9, 8, 4, tzinfo=UTC), datetime(2025, 4, 6, 3, tzinfo=UTC)),
    "Antarctica/Troll": (datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 10, 25, 1, tzinfo=UTC)),
    "America/St_Johns": (datetime(2008, 3, 9, 3, 31, tzinfo=UTC), datetime(2008, 11, 2, 2, 31, tzinfo=UTC)),
    "Asia/Kathmandu": (
        datetime(1985, 12, 31, 18, 30, tzinfo=UTC),
        datetime(2026, 12, 31, 18, 15, tzinfo=UTC),
    ),
    "UTC": (datetime(2028, 2, 29, 0, tzinfo=UTC), datetime(2028, 12, 31, 0, tzinfo=UTC)),
}
"""Twelve zones with a change forwards and one back: by an hour, half an hour, two hours and a day, at midnight and by new law.

Kathmandu's second moment is a year boundary in a zone without summer time; UTC's are a leap day and a year's end.
"""


def fields(low: int, high: int, likely: tuple[str, ...]) -> st.SearchStrategy[str]:
    numbers = st.integers(low, high)
    ranges = st.tuples(numbers, numbers).map(lambda ends: f"{min(ends)}-{max(ends)}")
    item = st.one_of(
        st.sampled_from(likely),
        st.sampled_from(likely),
        numbers.map(str),
        ranges,
        st.tuples(ranges, st.integers(1, 9)).map(lambda parts: f"{parts[0]}/{parts[1]}"),
        st.integers(1, high + 2).map(lambda step: f"*/{step}"),
    )
    return st.one_of(item, item, item, st.tuples(item, item).map(",".join))


def lines() -> st.SearchStrategy[str]:
    return st.tuples(
        fields(0, 59, ("0", "30", "*/15", "*", "1")),
        fields(0, 23, ("2", "0-3", "23", "*", "1")),
        or_star(fields(1, 31, ("*", "*/2", "1-7", "29"))),
        or_star(fields(1, 12, ("*", "Mar", "oct-dec"))),
        or_star(fields(0, 7, ("*", "1-5", "SUN", "sat"))),
    ).map(" ".join)


def or_star(field: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(st.sampled_from("*##"), field).map(lambda drawn: "*" if drawn[0] == "*" else drawn[1])

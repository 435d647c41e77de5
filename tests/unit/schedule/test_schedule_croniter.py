"""The calendar walk against croniter, another implementation, where both mean the same: naive days, fields written out as lists."""

from datetime import date, datetime, timedelta
from itertools import islice

from croniter import croniter
from hypothesis import given, settings
from hypothesis import strategies as st

from batchctl.schedule import parse
from batchctl.schedule.days import days_from

EPOCH = date(1970, 1, 1)


def listed(first: int, last: int) -> st.SearchStrategy[str]:
    values = st.lists(st.integers(first, last), min_size=1, max_size=4, unique=True)
    return st.one_of(st.just("*"), values.map(lambda found: ",".join(map(str, sorted(found)))))


@settings(max_examples=200, derandomize=True, deadline=None)
@given(listed(1, 28), listed(1, 12), listed(0, 6), st.integers(0, 20_000))
def test_the_days_are_croniter_s(dom: str, month: str, dow: str, day: int) -> None:
    cron = parse(f"0 0 {dom} {month} {dow}")
    start = datetime.combine(EPOCH + timedelta(days=day), datetime.min.time()) - timedelta(minutes=1)
    theirs = croniter(f"0 0 {dom} {month} {dow}", start, day_or=cron.either)
    wanted = [(theirs.get_next(datetime).date() - EPOCH).days for _ in range(12)]
    assert list(islice(days_from(cron, day), 12)) == wanted

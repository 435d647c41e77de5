"""Cron lines: what is accepted and read as what, what is rejected and with which field named."""

from datetime import date, datetime, time, timedelta
from itertools import islice

import pytest
from hypothesis import assume, given, settings

from batchctl.schedule import CronError, Field, parse
from batchctl.schedule.days import days_back, days_from
from tests.unit.schedule.schedule_lines import lines
from tests.unit.schedule.schedule_oracle import field_matches, line_matches

REJECTED = [
    ("60 * * * *", Field.MINUTE, "60 is outside 0-59"),
    ("5-64/30 * * * *", Field.MINUTE, "64 is outside 0-59"),
    ("-1 * * * *", Field.MINUTE, "not cron syntax"),
    ("1/20 * * * *", Field.MINUTE, "a step but no range"),
    ("*/0 * * * *", Field.MINUTE, "the step is 0"),
    ("*/x * * * *", Field.MINUTE, "step 'x' is not a number"),
    ("*/ * * * *", Field.MINUTE, "not cron syntax"),
    ("1,,2 * * * *", Field.MINUTE, "an item of the list is empty"),
    ("1, * * * *", Field.MINUTE, "an item of the list is empty"),
    ("30-10 * * * *", Field.MINUTE, "runs backwards"),
    ("H * * * *", Field.MINUTE, "'H' is not a number"),
    ("1-3-5 * * * *", Field.MINUTE, "not cron syntax"),
    ("1;2 * * * *", Field.MINUTE, "not cron syntax"),
    ("²  * * * *", Field.MINUTE, "not cron syntax"),
    ("9999999999 * * * *", Field.MINUTE, "not cron syntax"),
    ("mon * * * *", Field.MINUTE, "'mon' is not a number"),
    ("0 24 * * *", Field.HOUR, "24 is outside 0-23"),
    ("0 9-5 * * *", Field.HOUR, "runs backwards"),
    ("0 0 0 * *", Field.DAY, "0 is outside 1-31"),
    ("0 0 32 * *", Field.DAY, "32 is outside 1-31"),
    ("0 0 L * *", Field.DAY, "'L' is not a number"),
    ("0 0 15W * *", Field.DAY, "'15W' is not a number"),
    ("0 0 ? * 1", Field.DAY, "not cron syntax"),
    ("0 0 30 2 *", Field.DAY, "never fires"),
    ("0 0 31 2,4,6,9,11 *", Field.DAY, "never fires"),
    ("0 0 30,31 2 */2", Field.DAY, "never fires"),
    ("0 0 1 0 *", Field.MONTH, "0 is outside 1-12"),
    ("0 0 1 13 *", Field.MONTH, "13 is outside 1-12"),
    ("0 0 1 january *", Field.MONTH, "not a number or a name"),
    ("0 0 1 nov-feb *", Field.MONTH, "runs backwards"),
    ("0 0 * * 8", Field.WEEKDAY, "8 is outside 0-7"),
    ("0 0 * * monday", Field.WEEKDAY, "not a number or a name"),
    ("0 0 * * fri-mon", Field.WEEKDAY, "runs backwards"),
    ("0 0 * * 5#2", Field.WEEKDAY, "not cron syntax"),
    ("0 0 * * 5L", Field.WEEKDAY, "not a number or a name"),
    ("0 0 * * mon/2", Field.WEEKDAY, "a step but no range"),
    ("", Field.LINE, "0 fields instead of 5"),
    ("0 0 * *", Field.LINE, "4 fields instead of 5"),
    ("0 0 0 * * *", Field.LINE, "6 fields instead of 5"),
    ("0 0 * * *\n0 1 * * *", Field.LINE, "9 fields instead of 5"),
    ("@reboot", Field.LINE, "no meaning here"),
    ("@Hourly", Field.LINE, "not a shortcut"),
    ("@every 5m", Field.LINE, "not a shortcut"),
]


@pytest.mark.parametrize(("line", "field", "message"), REJECTED)
def test_what_cron_rejects_is_rejected_with_the_field_named(line: str, field: Field, message: str) -> None:
    with pytest.raises(CronError) as caught:
        parse(line)
    assert caught.value.field is field
    assert message in caught.value.message
    assert str(caught.value).endswith(caught.value.message)
    assert isinstance(caught.value, ValueError)


def test_the_hint_of_a_backward_range_is_a_line_that_is_accepted() -> None:
    with pytest.raises(CronError) as caught:
        parse("0 0 * * fri-mon")
    assert caught.value.hint == "write 5-7,0-1 if that is meant"
    assert parse("0 0 * * 5-7,0-1").weekdays == (0, 1, 5, 6)


@pytest.mark.parametrize(
    ("line", "same"),
    [
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
        ("@monthly", "0 0 1 * *"),
        ("@weekly", "0 0 * * 0"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@hourly", "0 * * * *"),
        ("  0\t06  * * MON-fri ", "0 6 * * 1-5"),
        ("0 0 1 JAN,mar-May *", "0 0 1 1,3-5 *"),
        ("0 0 * * 7", "0 0 * * 0"),
        ("0 0 1 1 sat-7", "0 0 1 1 0,6"),
        ("10-10 * * * *", "10 * * * *"),
        ("*/100 * * * *", "0 * * * *"),
        ("0 0 1 1 1-7/2", "0 0 1 1 0,1,3,5"),
    ],
)
def test_two_spellings_of_a_line_are_read_alike(line: str, same: str) -> None:
    one, two = vars(parse(line)), vars(parse(same))
    for name in ("minutes", "hours", "days", "months", "weekdays", "either"):
        assert one[name] == two[name], name


@pytest.mark.parametrize(
    ("line", "either", "elapsed"),
    [
        ("0 6 1-7 * 1", True, False),
        ("0 6 1-7 * */7", False, False),
        ("0 6 */2 * 1", False, False),
        ("0 6 *,1 * 1", False, False),
        ("0 6 1,* * 1", True, False),
        ("*/5 6 * * *", False, True),
        ("0 */2 * * *", False, True),
        ("0,*/5 6 * * *", False, False),
        ("@hourly", False, True),
        ("@daily", False, False),
    ],
)
def test_only_a_leading_star_counts_as_a_star(line: str, either: bool, elapsed: bool) -> None:
    cron = parse(line)
    assert (cron.either, cron.elapsed) == (either, elapsed)


@pytest.mark.parametrize(
    ("line", "weekly"),
    [
        ("0 0 * * *", (0, 1, 2, 3, 4, 5, 6)),
        ("0 0 * * 1-5", (1, 2, 3, 4, 5)),
        ("0 0 1-31 * 1", (0, 1, 2, 3, 4, 5, 6)),
        ("0 0 1 * 0-6", (0, 1, 2, 3, 4, 5, 6)),
        ("0 0 */2 * *", None),
        ("0 0 1 * 1", None),
        ("0 0 * 1-11 *", None),
    ],
)
def test_weekly_lines_are_told_from_those_of_dates(line: str, weekly: tuple[int, ...] | None) -> None:
    assert parse(line).weekly == weekly


@settings(max_examples=60, derandomize=True, deadline=None)
@given(line=lines())
def test_fields_and_days_agree_with_the_oracle(line: str) -> None:
    try:
        cron = parse(line)
    except CronError as error:
        assume("never fires" not in error.message)
        raise
    words = line.lower().split()
    assert cron.minutes == tuple(value for value in range(60) if field_matches(words[0], value, 0))
    assert cron.hours == tuple(value for value in range(24) if field_matches(words[1], value, 0))
    epoch, start = date(1970, 1, 1), 19_700
    found = list(islice(days_from(cron, start), 20))
    anytime = " ".join(["*", "*", *words[2:]])
    span = range(start, found[-1] + 1) if found[-1] - start < 3000 else found
    at = {day: epoch + timedelta(days=day) for day in span}
    wanted = [day for day in span if line_matches(anytime, datetime.combine(at[day], time(12)))]
    assert found == wanted
    assert list(islice(days_back(cron, found[-1]), 20)) == found[::-1]

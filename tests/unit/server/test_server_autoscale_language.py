"""The language of autoscale formulas: every operator, function and type, and what it says when it is wrong."""

import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchctl.server.batch.autoscale import (
    METRICS,
    FormulaError,
    Metric,
    Outcome,
    Surroundings,
    SyntaxFault,
    check_formula,
    evaluate,
)

NOW = datetime(2026, 1, 21, 13, 5, 9, 250000, tzinfo=UTC)  # a Wednesday


def metric(*values: float, current: float | None = None) -> Metric:
    """Samples that end now, 30 seconds apart."""
    count = len(values)
    samples = [
        (NOW - timedelta(seconds=30 * (count - 1 - i)), float(value)) for i, value in enumerate(values)
    ]
    last = values[-1] if values else 0.0
    return Metric(samples=samples, current=float(last if current is None else current), now=NOW)


def run(formula: str, *, dedicated: int = 2, low: int = 0, **metrics: Metric) -> Outcome:
    known = {name: metric() for name in METRICS} | {f"${name}": value for name, value in metrics.items()}
    surroundings = Surroundings(
        now=NOW,
        dedicated=dedicated,
        low_priority=low,
        metrics=known,
        random=lambda: 0.25,
        most_nodes=1000,
    )
    return evaluate(formula, surroundings)


def value(expression: str, **metrics: Metric) -> str:
    """The expression as the results show it."""
    outcome = run(f"x = {expression};", **metrics)
    assert outcome.error is None, outcome.error
    return outcome.results.rpartition(";x=")[2]


def error(formula: str, **metrics: Metric) -> str:
    outcome = run(formula, **metrics)
    assert outcome.error is not None
    unchanged = "$TargetDedicatedNodes=2;$TargetLowPriorityNodes=0;$NodeDeallocationOption=requeue"
    assert outcome.results == unchanged, "a wrong formula changes nothing"
    return outcome.error


def test_the_results_as_recorded() -> None:
    outcome = run("$TargetDedicatedNodes=3")
    assert (
        outcome.results == "$TargetDedicatedNodes=3;$TargetLowPriorityNodes=0;$NodeDeallocationOption=requeue"
    )
    assert (outcome.dedicated, outcome.low_priority, outcome.option, outcome.error) == (3, 0, "requeue", None)
    assert error("$something_useless") == "Line 1, Col 1: Undefined symbol: $something_useless"


def test_the_published_example_of_weekdays() -> None:
    outcome = run(
        """
        // more on a working day
        $curTime = time();
        $workHours = $curTime.hour >= 8 && $curTime.hour < 18;
        $isWeekday = $curTime.weekday >= 1 && $curTime.weekday <= 5;
        $isWorkingWeekdayHour = $workHours && $isWeekday; /* both */
        $TargetDedicatedNodes = $isWorkingWeekdayHour ? 20:10;
        $NodeDeallocationOption = taskcompletion;
        """
    )
    assert outcome.results == (
        "$TargetDedicatedNodes=20;$TargetLowPriorityNodes=0;$NodeDeallocationOption=taskcompletion;"
        "$curTime=2026-01-21T13:05:09.250Z;$isWeekday=1;$isWorkingWeekdayHour=1;$workHours=1"
    )


@pytest.mark.parametrize(("percent", "expected"), [(6, 4), (2, 1)])
def test_the_published_example_of_pending_tasks(percent: int, expected: int) -> None:
    formula = """startingNumberOfVMs = 1;
        maxNumberofVMs = 25;
        pendingTaskSamplePercent = $PendingTasks.GetSamplePercent(180 * TimeInterval_Second);
        pendingTaskSamples = pendingTaskSamplePercent < 70 ? startingNumberOfVMs
            : avg($PendingTasks.GetSample(180 * TimeInterval_Second));
        $TargetDedicatedNodes=min(maxNumberofVMs, pendingTaskSamples);"""
    outcome = run(formula, PendingTasks=metric(*[4.0] * percent))
    assert (outcome.error, outcome.dedicated) == (None, expected)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("1 + 2 * 3 - 4 / 8", "6.5"),
        ("(1 + 2) * 3", "9"),
        ("2 - 3 - 4", "-5"),
        ("-2 * -3", "6"),
        ("!0 + !7", "1"),
        ("1 < 2 == 1", "1"),
        ("1 >= 2 || 3 != 3 && 1 / 0", "0"),
        ("1 || 1 / 0", "1"),
        ("0 && 1 / 0", "0"),
        ("0 ? 1 : 1 ? 2 : 3", "2"),
        (".5 + 1e2", "100.5"),
        ("vec(1, 2, 3) * 2 + vec(1, 1, 1)", "[3,5,7]"),
        ("6 / vec(1, 2, 3)", "[6,3,2]"),
        ("vec(1, 2) / vec(4, 4)", "[0.25,0.5]"),
        ("vec(5) > 4", "1"),
        ('"abc" < "abd"', "1"),
        ("'x' == \"x\"", "1"),
        ("avg(1, vec(2, 3), 6)", "3"),
        ("max(1, vec(7, 3)) - min(vec(4), 9)", "3"),
        ("sum()", "0"),
        ("sum(vec(0.1, 0.2), 0.3)", "0.6"),
        ("len(vec(1, 2), 3)", "3"),
        ("norm(3, 4)", "5"),
        ("range(vec(4, 9, 2))", "7"),
        ("std(vec(2, 4, 4, 4, 5, 5, 7, 9))", "2.1380899352994"),
        ("lg(8) + log(1000) + ln(1)", "6"),
        ("lg(vec(2, 4))", "[1,2]"),
        ("ceil(1.2) + floor(1.8) + round(2.5) + round(-2.5)", "4"),
        ("round(1.4, 1.6)", "[1,2]"),
        ("percentile(vec(15, 20, 35, 40, 50), 40)", "20"),
        ("percentile(vec(15, 20), 100) - percentile(vec(15, 20), 0)", "5"),
        ("val(vec(5, 6, 7), 2)", "7"),
        ("rand()", "0.25"),
        ("time()", "2026-01-21T13:05:09.250Z"),
        ('time("2016-10-13T19:18:47.805Z")', "2016-10-13T19:18:47.805Z"),
        ('time("2016-10-13")', "2016-10-13T00:00:00.000Z"),
        ('time("Thu, 13 Oct 2016 19:18:47 GMT")', "2016-10-13T19:18:47.000Z"),
        ("time().year * 10000 + time().month * 100 + time().day", "20260121"),
        ("time().hour * 3600 + time().minute * 60 + time().second", "47109"),
        ('time("2026-01-25").weekday', "0"),
        ("time() + TimeInterval_Week > time()", "1"),
        ("TimeInterval_Hour + time()", "2026-01-21T14:05:09.250Z"),
        ("time() - time(\"2026-01-21\") < 14 * TimeInterval_Hour", "1"),
        ("TimeInterval_Day / 2 == 12 * TimeInterval_Hour", "1"),
        ("TimeInterval_Year - TimeInterval_Day * 365 == TimeInterval_Zero", "1"),
        ("-TimeInterval_Second < TimeInterval_Millisecond", "1"),
        ("requeue", "requeue"),
    ],
)  # fmt: skip
def test_expressions(expression: str, expected: str) -> None:
    assert value(expression) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("$ActiveTasks.GetSample(2)", "[3,4]"),
        ("$ActiveTasks.GetSample(9)", "[1,2,3,4]"),
        ("$ActiveTasks.GetSample(0)", "[]"),
        ("$ActiveTasks.GetSample(TimeInterval_Minute)", "[3,4]"),
        ("$ActiveTasks.GetSample(TimeInterval_Minute, 100)", "[3,4]"),
        ("$ActiveTasks.GetSample(TimeInterval_Minute * 3, 60)", "[1,2,3,4]"),
        ("$ActiveTasks.GetSample(TimeInterval_Second * 30, TimeInterval_Second * 90)", "[2,3]"),
        ("$ActiveTasks.GetSample(TimeInterval_Second * 90, TimeInterval_Second * 30, 100)", "[2,3]"),
        ("$ActiveTasks.GetSample(time() + -1 * TimeInterval_Minute)", "[3,4]"),
        ("$ActiveTasks.GetSamplePercent(TimeInterval_Minute * 4)", "50"),
        ("$ActiveTasks.GetSamplePercent(TimeInterval_Minute * 4, TimeInterval_Minute * 2)", "0"),
        ("$ActiveTasks.GetSamplePeriod() == 30 * TimeInterval_Second", "1"),
        ("$ActiveTasks.Count()", "4"),
        ("$ActiveTasks.HistoryBeginTime()", "2026-01-21T13:03:39.250Z"),
        ("$ActiveTasks + 1", "6"),
        ("max(0, $ActiveTasks.GetSample(1))", "4"),
        ("$ActiveTasks.GetSample(1) > 3 ? 1 : 2", "1"),
        ("$CurrentDedicatedNodes * 1.1", "1.1"),
        ("$CurrentDedicated", "1"),
    ],
)
def test_samples(expression: str, expected: str) -> None:
    metrics = {"ActiveTasks": metric(1, 2, 3, 4, current=5), "CurrentDedicatedNodes": metric(1)}
    assert value(expression.replace("time() + -1 *", "time() + (-1) *"), **metrics) == expected


def test_aliases_and_rounding_of_targets() -> None:
    outcome = run("$TargetDedicated = 2.5; $TargetLowPriority = 1.4;")
    assert (outcome.dedicated, outcome.low_priority) == (3, 1)
    outcome = run("$TargetDedicatedNodes = 1; $TargetDedicated = 9;")
    assert outcome.dedicated == 1, "the full name counts"
    outcome = run(
        "$TargetDedicatedNodes = $TargetDedicatedNodes + 1; $TargetLowPriorityNodes = $TargetDedicatedNodes"
    )
    assert (outcome.dedicated, outcome.low_priority) == (3, 3)


def test_stop_keeps_what_was_set() -> None:
    outcome = run("$TargetDedicatedNodes = 7; 1 ? stop() : 0; $TargetDedicatedNodes = 9;")
    assert (outcome.dedicated, outcome.error) == (7, None)


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("x = 1;\n  y = $z + 1;", "Line 2, Col 7: Undefined symbol: $z"),
        ("x = what(1);", "Line 1, Col 5: Undefined symbol: what"),
        ("x = $ActiveTasks.Median(1);", "Line 1, Col 18: Undefined symbol: Median"),
        ("x = 1 / 0;", "Line 1, Col 7: Division by zero"),
        ("x = vec(1) / 0;", "Line 1, Col 12: Division by zero"),
        ("x = time() * 2;", "Line 1, Col 12: Operator * cannot be applied to timestamp and double"),
        ("x = time() - TimeInterval_Day;", "Line 1, Col 12: Operator - cannot be applied to timestamp and timeinterval"),
        ('x = "a" + "b";', "Line 1, Col 9: Operator + cannot be applied to string and string"),
        ('x = "a" < 1;', "Line 1, Col 9: Operator < cannot be applied to string and double"),
        ("x = vec(1, 2) + vec(1);", "Line 1, Col 15: Operator +: the vectors have 2 and 1 elements"),
        ("x = vec(1, 2) ? 1 : 2;", "Line 1, Col 5: Cannot convert doubleVec to double"),
        ("x = max();", "Line 1, Col 5: max: needs at least 1 value"),
        ("x = std(1);", "Line 1, Col 5: std: needs at least 2 values"),
        ("x = avg($ActiveTasks.GetSample(TimeInterval_Hour));", "Line 1, Col 5: avg: needs at least 1 value"),
        ("x = $ActiveTasks.GetSample(TimeInterval_Minute * 10, 95);",
         "Line 1, Col 18: GetSample: fewer than 95 percent of the samples are available"),
        ("x = $ActiveTasks.GetSample();", "Line 1, Col 18: GetSample: wrong number of arguments"),
        ('x = $ActiveTasks.GetSample("1");', "Line 1, Col 18: GetSample: cannot take a string"),
        ("x = $ActiveTasks.GetSample(-1);", "Line 1, Col 18: GetSample: the count must not be negative"),
        ("x = val(vec(1), 1);", "Line 1, Col 5: val: the vector has 1 elements and none at 1"),
        ("x = percentile(vec(1), 101);",
         "Line 1, Col 5: percentile: needs a vector that is not empty and a percentage from 0 to 100"),
        ("x = ln(0);", "Line 1, Col 5: math domain error"),
        ("x = 1 .hour;", "Line 1, Col 8: double has no member hour"),
        ("x = time().decade;", "Line 1, Col 12: timestamp has no member decade"),
        ('x = time("soon");', None),
        ("x = TimeInterval_Year * 1e9;", None),
        ("$ActiveTasks = 1;", "Line 1, Col 1: Cannot assign to a read-only variable: $ActiveTasks"),
        ("requeue = 1;", "Line 1, Col 1: Cannot assign to a read-only variable: requeue"),
        ("$TargetDedicatedNodes = -1;", "Line 1, Col 1: $TargetDedicatedNodes must be between 0 and 1000, not -1"),
        ("$TargetDedicatedNodes = 1e300 * 1e300;", "Line 1, Col 1: $TargetDedicatedNodes must be between 0 and 1000, not inf"),
        ("$TargetLowPriorityNodes = requeue;", "Line 1, Col 1: $TargetLowPriorityNodes: Cannot convert string to double"),
        ("$NodeDeallocationOption = 1;",
         "Line 1, Col 1: $NodeDeallocationOption must be one of: requeue, terminate, taskcompletion, retaineddata"),
        ("x = 1 +;", "Line 1, Col 8: Unexpected token: ;"),
        ("x = (1;", "Line 1, Col 7: Expected ) but found: ;"),
        ("x = 1 y = 2", "Line 1, Col 7: Expected ; but found: y"),
        ("x = 1 ? 2;", "Line 1, Col 10: Expected : but found: ;"),
        ("x = #;", "Line 1, Col 5: Unexpected character: #"),
        ("x = f(1, ;", "Line 1, Col 10: Unexpected token: ;"),
        ("x = $ActiveTasks.;", "Line 1, Col 18: Unexpected token: ;"),
        ("x =", "Line 1, Col 4: Unexpected token: end of formula"),
        ("x = " + "(" * 2000 + "1", "Line 1, Col 65: The formula is too deeply nested"),
        ("x = " + "-" * 2000 + "1", None),
        ("x = time()" + ".hour" * 2000, None),
        ("x=1;" * 101, "Line 1, Col 401: The formula has more than 100 statements"),
    ],
)  # fmt: skip
def test_errors(formula: str, message: str | None) -> None:
    found = error(formula)
    if message is not None:
        assert found == message


def test_a_long_sum_is_no_deep_tree() -> None:
    assert value("+".join(["1"] * 4000)) == "4000"


def test_an_accepted_formula_uses_known_names_only() -> None:
    check_formula("x = 1; y = x ? $CPUPercent.GetSample(x) : stop();")
    check_formula("")
    for wrong in (
        "x = y; y = 1;",
        "x = 0 ? foo() : 1;",
        "x = time().era;",
        "$CPUPercent = 1;",
        "x = vec(1, -a.hour);",
    ):
        with pytest.raises(FormulaError) as caught:
            check_formula(wrong)
        assert not isinstance(caught.value, SyntaxFault)
    with pytest.raises(SyntaxFault):
        check_formula("x = ")


_WORDS = st.sampled_from(
    ["$PendingTasks", ".GetSample(", "1", "2.5", "TimeInterval_Minute", "(", ")", "*", "+", "-", "/", "?", ":", ";", "=",
     "x", "$TargetDedicatedNodes", "max(", ",", "time()", "<", "&&", "vec(", '"a"', "stop()", ".hour", "!", " ", "\n"]
)  # fmt: skip


@given(st.lists(_WORDS, max_size=25).map("".join))
def test_no_formula_is_a_bug(formula: str) -> None:
    outcome = run(formula, PendingTasks=metric(1, 2, 3))
    assert 0 <= outcome.dedicated <= 1000
    assert outcome.results.startswith("$TargetDedicatedNodes=")


@given(st.lists(st.integers(0, 50), min_size=1, max_size=30))
def test_aggregates_agree_with_python(numbers: list[int]) -> None:
    rng = random.Random(0)
    rng.shuffle(numbers)
    history = metric(*map(float, numbers))
    outcome = run("$TargetDedicatedNodes = max($ActiveTasks.GetSample(100));", ActiveTasks=history)
    assert outcome.dedicated == max(numbers)
    assert value("sum($ActiveTasks.GetSample(100))", ActiveTasks=history) == str(sum(numbers))

"""What the operators do, by the types of their operands: the published table, nothing beyond it.

All raise ValueError (and ZeroDivisionError, OverflowError) for operands that do not go together.
"""

import operator
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from batchctl.server.batch.autoscale.values import FALSE, TRUE, Value, number, plain, type_name

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    ">=": operator.ge,
    ">": operator.gt,
    "!=": operator.ne,
}
_CALCULATE: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}
# Operand types of what plain Python arithmetic does right, besides double with double and doubleVec.
_TIMES = frozenset(
    {
        (float, "*", timedelta),
        (timedelta, "*", float),
        (timedelta, "/", float),
        (timedelta, "+", timedelta),
        (timedelta, "-", timedelta),
        (timedelta, "+", datetime),
        (datetime, "+", timedelta),
        (datetime, "-", datetime),
    }
)


def unary(sign: str, operand: Value) -> Value:
    """`-` of a double or a timeinterval, `!` of a double."""
    value = plain(operand)
    if sign == "-" and isinstance(value, timedelta):
        return -value
    found = number(value)
    if sign == "-":
        return -found
    return FALSE if found else TRUE


def binary(sign: str, left: Value, right: Value) -> Value:
    """A comparison (1 or 0) or a calculation. `&&` and `||` are the evaluator's: they need not look at both sides."""
    one, two = plain(left), plain(right)
    if sign in _COMPARE:
        return TRUE if _COMPARE[sign](*_alike(sign, one, two)) else FALSE
    calculate = _CALCULATE[sign]
    if (type(one), sign, type(two)) in _TIMES:
        result: Value = calculate(one, two)
        return result
    if isinstance(one, tuple) and isinstance(two, tuple):
        if len(one) != len(two):
            raise ValueError(f"Operator {sign}: the vectors have {len(one)} and {len(two)} elements")
        return tuple(calculate(a, b) for a, b in zip(one, two, strict=True))
    if isinstance(one, tuple) and isinstance(two, float):
        return tuple(calculate(item, two) for item in one)
    if isinstance(one, float) and isinstance(two, tuple):
        return tuple(calculate(one, item) for item in two)
    if isinstance(one, float) and isinstance(two, float):
        return float(calculate(one, two))
    raise _unfit(sign, one, two)


def _alike(sign: str, one: Value, two: Value) -> tuple[Any, Any]:
    if type(one) is type(two) and isinstance(one, str | datetime | timedelta):
        return one, two
    try:
        return number(one), number(two)
    except ValueError:
        raise _unfit(sign, one, two) from None


def _unfit(sign: str, one: Value, two: Value) -> ValueError:
    return ValueError(f"Operator {sign} cannot be applied to {type_name(one)} and {type_name(two)}")

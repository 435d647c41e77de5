"""The predefined functions and constants of the language.

Each function takes its arguments and the surroundings of the run, and raises ValueError for arguments it cannot
take. Decided here: aggregates of nothing are an error (except `sum` and `len`), `percentile` is the nearest rank.
"""

import math
import statistics
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from batchctl.server.batch.autoscale.values import Value, Vector, number, numbers, plain, timestamp


class Sources(NamedTuple):
    """What a run may ask of the world: the time, and a random number from 0 to 1."""

    now: datetime
    random: Callable[[], float]


class Stop(Exception):
    """The formula called stop(): the run ends well, with what it has so far."""


Function = Callable[[list[Value], Sources], Value]

CONSTANTS: Mapping[str, Value] = {
    "TimeInterval_Zero": timedelta(),
    "TimeInterval_100ns": timedelta(microseconds=0.1),
    "TimeInterval_Microsecond": timedelta(microseconds=1),
    "TimeInterval_Millisecond": timedelta(milliseconds=1),
    "TimeInterval_Second": timedelta(seconds=1),
    "TimeInterval_Minute": timedelta(minutes=1),
    "TimeInterval_Hour": timedelta(hours=1),
    "TimeInterval_Day": timedelta(days=1),
    "TimeInterval_Week": timedelta(weeks=1),
    "TimeInterval_Year": timedelta(days=365),
    "requeue": "requeue",
    "terminate": "terminate",
    "taskcompletion": "taskcompletion",
    "retaineddata": "retaineddata",
}

MEMBERS: Mapping[str, Callable[[datetime], int]] = {
    "year": lambda moment: moment.year,
    "month": lambda moment: moment.month,
    "day": lambda moment: moment.day,
    "weekday": lambda moment: moment.isoweekday() % 7,  # Sunday is 0, Monday 1
    "hour": lambda moment: moment.hour,
    "minute": lambda moment: moment.minute,
    "second": lambda moment: moment.second,
}


def _over(name: str, combine: Callable[[Vector], float], *, least: int = 0) -> Function:
    def function(arguments: list[Value], _: Sources) -> Value:
        found = numbers(arguments)
        if len(found) < least:
            raise ValueError(f"{name}: needs at least {least} value{'s' if least > 1 else ''}")
        return float(combine(found))

    return function


def _each(change: Callable[[float], float]) -> Function:
    def function(arguments: list[Value], _: Sources) -> Value:
        if len(arguments) == 1 and not isinstance(plain(arguments[0]), tuple):
            return float(change(number(arguments[0])))
        return tuple(float(change(value)) for value in numbers(arguments))

    return function


def _round(value: float) -> float:
    return math.floor(value + 0.5)


def _percentile(arguments: list[Value], _: Sources) -> Value:
    vector, percent = _two("percentile", arguments)
    if not vector or not 0 <= percent <= 100:
        raise ValueError("percentile: needs a vector that is not empty and a percentage from 0 to 100")
    rank = max(1, math.ceil(percent / 100 * len(vector)))
    return sorted(vector)[rank - 1]


def _val(arguments: list[Value], _: Sources) -> Value:
    vector, index = _two("val", arguments)
    if not 0 <= index < len(vector):
        raise ValueError(f"val: the vector has {len(vector)} elements and none at {index:g}")
    return vector[int(index)]


def _two(name: str, arguments: list[Value]) -> tuple[Vector, float]:
    if len(arguments) != 2:
        raise ValueError(f"{name}: needs a vector and a number")
    return numbers(arguments[:1]), number(arguments[1])


def _rand(arguments: list[Value], sources: Sources) -> Value:
    if arguments:
        raise ValueError("rand: takes no arguments")
    return sources.random()


def _stop(arguments: list[Value], _: Sources) -> Value:
    if arguments:
        raise ValueError("stop: takes no arguments")
    raise Stop


def _time(arguments: list[Value], sources: Sources) -> Value:
    if not arguments or arguments == [""]:
        return sources.now
    text = arguments[0]
    if len(arguments) != 1 or not isinstance(text, str):
        raise ValueError("time: takes one string at most")
    return timestamp(text)


FUNCTIONS: Mapping[str, Function] = {
    "avg": _over("avg", statistics.fmean, least=1),
    "ceil": _each(math.ceil),
    "floor": _each(math.floor),
    "len": _over("len", len),
    "lg": _each(math.log2),
    "ln": _each(math.log),
    "log": _each(math.log10),
    "max": _over("max", max, least=1),
    "min": _over("min", min, least=1),
    "norm": _over("norm", lambda vector: math.hypot(*vector)),
    "percentile": _percentile,
    "rand": _rand,
    "range": _over("range", lambda vector: max(vector) - min(vector), least=1),
    "round": _each(_round),
    "std": _over("std", statistics.stdev, least=2),
    "stop": _stop,
    "sum": _over("sum", math.fsum),
    "time": _time,
    "val": _val,
    "vec": lambda arguments, _: numbers(arguments),
}

"""One run of a formula: from a pool's surroundings to its new targets, or to an error that leaves them alone."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from batchctl.server.batch.autoscale.faults import FormulaError, Place
from batchctl.server.batch.autoscale.functions import CONSTANTS, FUNCTIONS, MEMBERS, Sources, Stop
from batchctl.server.batch.autoscale.operators import binary, unary
from batchctl.server.batch.autoscale.parser import parse_formula
from batchctl.server.batch.autoscale.samples import SAMPLE_PERIOD, Metric
from batchctl.server.batch.autoscale.symbols import (
    ALIASES,
    DEDICATED,
    LOW_PRIORITY,
    OPTION,
    TARGETS,
    check_assignable,
    undefined,
)
from batchctl.server.batch.autoscale.tree import (
    Chain,
    Choice,
    Expression,
    Invoke,
    Member,
    Method,
    Name,
    Number,
    Statement,
    Text,
    Unary,
)
from batchctl.server.batch.autoscale.values import FALSE, TRUE, Value, number, plain, shown, type_name

_OPTIONS = ("requeue", "terminate", "taskcompletion", "retaineddata")


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What a run sees: the time, the pool's targets, its metrics by name (`$PendingTasks`) and a source of chance (0 to 1).

    `most_nodes` is the largest target that makes sense.
    """

    now: datetime
    dedicated: int
    low_priority: int
    metrics: Mapping[str, Metric]
    random: Callable[[], float]
    most_nodes: int


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The targets after a run (unchanged after an error), all variables as text, and what went wrong."""

    dedicated: int
    low_priority: int
    option: str
    results: str
    error: str | None = None


def evaluate(formula: str, surroundings: Surroundings) -> Outcome:
    """Run `formula`. Nothing is raised: a wrong formula gives an outcome with an `error` and the targets as they were."""
    run = _Run(surroundings)
    try:
        statements = parse_formula(formula)
        try:
            for statement in statements:
                run.execute(statement)
        except Stop:
            pass
        return run.outcome()
    except FormulaError as problem:
        return _Run(surroundings).outcome(str(problem))


class _Run:
    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings
        self._sources = Sources(surroundings.now, surroundings.random)
        self._targets: dict[str, Value] = {
            DEDICATED: float(surroundings.dedicated),
            LOW_PRIORITY: float(surroundings.low_priority),
            OPTION: "requeue",
        }
        self._exact: set[str] = set()
        self._variables: dict[str, Value] = {}

    def execute(self, statement: Statement) -> None:
        value = self._value(statement.value)
        if statement.variable is None:
            return
        check_assignable(statement)
        name = ALIASES.get(statement.variable, statement.variable)
        if name not in TARGETS:
            self._variables[name] = value
        elif name == statement.variable or name not in self._exact:
            # Of a full name and its alias, the full name counts.
            self._targets[name] = self._checked(statement.place, name, value)
            if name == statement.variable:
                self._exact.add(name)

    def outcome(self, error: str | None = None) -> Outcome:
        dedicated, low_priority = (int(number(self._targets[name])) for name in (DEDICATED, LOW_PRIORITY))
        pairs = [*self._targets.items(), *sorted(self._variables.items())]
        return Outcome(
            dedicated=dedicated,
            low_priority=low_priority,
            option=str(self._targets[OPTION]),
            results=";".join(f"{name}={shown(value)}" for name, value in pairs),
            error=error,
        )

    def _checked(self, place: Place, name: str, value: Value) -> Value:
        """A target as it is used: whole nodes (halves up) or one of the options."""
        if name == OPTION:
            if not isinstance(value, str) or value.lower() not in _OPTIONS:
                raise FormulaError(place, f"{name} must be one of: {', '.join(_OPTIONS)}")
            return value.lower()
        try:
            wanted = number(value)
        except ValueError as problem:
            raise FormulaError(place, f"{name}: {problem}") from None
        if not math.isfinite(wanted) or not 0 <= math.floor(wanted + 0.5) <= self._surroundings.most_nodes:
            most = self._surroundings.most_nodes
            raise FormulaError(place, f"{name} must be between 0 and {most}, not {shown(wanted)}")
        return float(math.floor(wanted + 0.5))

    def _value(self, expression: Expression) -> Value:
        match expression:
            case Number(value=literal):
                return literal
            case Text(value=text):
                return text
            case Name():
                return self._named(expression)
            case Unary(operator=sign, operand=operand):
                value = self._value(operand)
                return self._guarded(expression.place, lambda: unary(sign, value))
            case Chain():
                return self._chain(expression)
            case Choice(condition=condition, yes=yes, no=no):
                return self._value(yes if self._is_true(condition) else no)
            case Invoke():
                return self._call(expression)
            case Method():
                return self._method(expression)
            case Member():
                return self._member(expression)

    def _named(self, expression: Name) -> Value:
        name = ALIASES.get(expression.name, expression.name)
        for known in (self._targets, self._variables, self._surroundings.metrics, CONSTANTS):
            if name in known:
                return known[name]
        raise undefined(expression.place, expression.name)

    def _chain(self, chain: Chain) -> Value:
        result = self._value(chain.first)
        for sign, place, operand in chain.rest:
            if sign in ("&&", "||"):
                left = self._guarded(place, lambda value=result: number(value))  # type: ignore[misc]
                is_settled = bool(left) is (sign == "||")
                truth = bool(left) if is_settled else self._is_true(operand)
                result = TRUE if truth else FALSE
                continue
            right = self._value(operand)
            result = self._guarded(place, lambda s=sign, a=result, b=right: binary(s, a, b))  # type: ignore[misc]
        return result

    def _is_true(self, expression: Expression) -> bool:
        value = self._value(expression)
        return bool(self._guarded(expression.place, lambda: number(value)))

    def _call(self, call: Invoke) -> Value:
        function = FUNCTIONS.get(call.function)
        if function is None:
            raise undefined(call.place, call.function)
        arguments = [self._value(argument) for argument in call.arguments]
        return self._guarded(call.place, lambda: function(arguments, self._sources))

    def _method(self, call: Method) -> Value:
        target = self._value(call.target)
        if not isinstance(target, Metric):
            raise FormulaError(call.place, f"{type_name(target)} has no method {call.method}")
        arguments = [plain(self._value(argument)) for argument in call.arguments]
        given: list[float | datetime | timedelta] = []
        for argument in arguments:
            if not isinstance(argument, float | datetime | timedelta):
                raise FormulaError(call.place, f"{call.method}: cannot take a {type_name(argument)}")
            given.append(argument)
        match call.method, given:
            case "GetSample", [_, *_]:
                return self._guarded(call.place, lambda: target.get_sample(given))
            case "GetSamplePercent", [_, *_]:
                return self._guarded(call.place, lambda: target.get_sample_percent(given))
            case "GetSamplePeriod", []:
                return SAMPLE_PERIOD
            case "Count", []:
                return float(len(target.samples))
            case "HistoryBeginTime", []:
                return target.history_begin()
            case (("GetSample" | "GetSamplePercent" | "GetSamplePeriod" | "Count" | "HistoryBeginTime"), _):
                raise FormulaError(call.place, f"{call.method}: wrong number of arguments")
        raise undefined(call.place, call.method)

    def _member(self, expression: Member) -> Value:
        target = self._value(expression.target)
        if not isinstance(target, datetime) or expression.member not in MEMBERS:
            raise FormulaError(expression.place, f"{type_name(target)} has no member {expression.member}")
        return float(MEMBERS[expression.member](target))

    @staticmethod
    def _guarded(place: Place, action: Callable[[], Value]) -> Value:
        try:
            return action()
        except ZeroDivisionError:
            raise FormulaError(place, "Division by zero") from None
        except (ValueError, OverflowError) as problem:
            raise FormulaError(place, str(problem)) from None

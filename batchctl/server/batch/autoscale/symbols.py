"""Which names a formula may use, and the check of a formula before it is accepted.

An unknown name is found without running the formula, because a pool's first samples may not be there yet.
"""

from collections.abc import Iterator

from batchctl.server.batch.autoscale.faults import FormulaError, Place
from batchctl.server.batch.autoscale.functions import CONSTANTS, FUNCTIONS, MEMBERS
from batchctl.server.batch.autoscale.parser import parse_formula
from batchctl.server.batch.autoscale.samples import METRICS
from batchctl.server.batch.autoscale.tree import (
    Chain,
    Choice,
    Expression,
    Invoke,
    Member,
    Method,
    Name,
    Statement,
    Unary,
)

DEDICATED, LOW_PRIORITY, OPTION = (
    "$TargetDedicatedNodes",
    "$TargetLowPriorityNodes",
    "$NodeDeallocationOption",
)
TARGETS = frozenset({DEDICATED, LOW_PRIORITY, OPTION})
ALIASES = {
    "$TargetDedicated": DEDICATED,
    "$TargetLowPriority": LOW_PRIORITY,
    "$CurrentDedicated": "$CurrentDedicatedNodes",
    "$CurrentLowPriority": "$CurrentLowPriorityNodes",
    "$NodeDeallocateOption": OPTION,
}
METHODS = frozenset({"GetSample", "GetSamplePercent", "GetSamplePeriod", "Count", "HistoryBeginTime"})


def undefined(place: Place, name: str) -> FormulaError:
    """A name that means nothing."""
    return FormulaError(place, f"Undefined symbol: {name}")


def check_formula(formula: str) -> list[Statement]:
    """The statements of a formula that uses known names only. Raises SyntaxFault, or FormulaError for such a name."""
    statements = parse_formula(formula)
    known = {*TARGETS, *ALIASES, *METRICS, *CONSTANTS}
    for statement in statements:
        for place, name in _unknown(statement.value, known):
            raise undefined(place, name)
        if statement.variable is not None:
            check_assignable(statement)
            known.add(statement.variable)
    return statements


def check_assignable(statement: Statement) -> None:
    """Raises FormulaError unless the statement's variable may be set: metrics and constants may not."""
    name = ALIASES.get(statement.variable or "", statement.variable)
    if name in METRICS or name in CONSTANTS:
        raise FormulaError(statement.place, f"Cannot assign to a read-only variable: {name}")


def _unknown(expression: Expression, known: set[str]) -> Iterator[tuple[Place, str]]:
    match expression:
        case Name(name=name) if name not in known:
            yield expression.place, name
        case Invoke(function=name) if name not in FUNCTIONS:
            yield expression.place, name
        case Method(method=name) if name not in METHODS:
            yield expression.place, name
        case Member(member=name) if name not in MEMBERS:
            yield expression.place, name
    for part in _parts(expression):
        yield from _unknown(part, known)


def _parts(expression: Expression) -> tuple[Expression, ...]:
    match expression:
        case Unary(operand=operand):
            return (operand,)
        case Chain(first=first, rest=rest):
            return (first, *(part for _, _, part in rest))
        case Choice(condition=condition, yes=yes, no=no):
            return (condition, yes, no)
        case Invoke(arguments=arguments):
            return arguments
        case Method(target=target, arguments=arguments):
            return (target, *arguments)
        case Member(target=target):
            return (target,)
        case _:
            return ()

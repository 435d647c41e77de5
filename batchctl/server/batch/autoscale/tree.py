"""What a formula says, as values: statements of expressions. Every part knows its place, for messages."""

from dataclasses import dataclass

from batchctl.server.batch.autoscale.faults import Place


@dataclass(frozen=True, kw_only=True, slots=True)
class Number:
    """A literal double."""

    place: Place
    value: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Text:
    """A literal string."""

    place: Place
    value: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Name:
    """A variable or a constant, with its dollar sign if it was written with one."""

    place: Place
    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Unary:
    """`-` or `!` before an expression."""

    place: Place
    operator: str
    operand: "Expression"


@dataclass(frozen=True, kw_only=True, slots=True)
class Chain:
    """Operators of one rank from left to right; flat, so that a long sum is no deep tree."""

    place: Place
    first: "Expression"
    rest: tuple[tuple[str, Place, "Expression"], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """`condition ? yes : no`."""

    place: Place
    condition: "Expression"
    yes: "Expression"
    no: "Expression"


@dataclass(frozen=True, kw_only=True, slots=True)
class Invoke:
    """A function's call."""

    place: Place
    function: str
    arguments: tuple["Expression", ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Method:
    """A call on an object: `$PendingTasks.GetSample(…)`."""

    place: Place
    target: "Expression"
    method: str
    arguments: tuple["Expression", ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """A part of an object: `$now.hour`."""

    place: Place
    target: "Expression"
    member: str


Expression = Number | Text | Name | Unary | Chain | Choice | Invoke | Method | Member


@dataclass(frozen=True, kw_only=True, slots=True)
class Statement:
    """`variable = value`, or with no variable just an expression (`stop()`)."""

    place: Place
    variable: str | None
    value: Expression

"""What is wrong with a formula, and where: the text that the service shows to users."""

from typing import NamedTuple


class Place(NamedTuple):
    """A position in a formula; both numbers count from 1."""

    line: int
    column: int


class FormulaError(Exception):
    """A formula cannot be evaluated. `str()` is `Line 1, Col 1: Undefined symbol: $x`, as recorded from the service."""

    def __init__(self, place: Place, message: str) -> None:
        super().__init__(f"Line {place.line}, Col {place.column}: {message}")


class SyntaxFault(FormulaError):
    """The text is no formula at all."""

"""The `$filter` language of list queries: a small parser and an evaluator.

Source: Azure Batch docs, "Create queries to list Batch resources efficiently": `eq ne gt ge lt le`,
`startswith(prop, 'x')`, `and or not`, parentheses, nested `executionInfo/exitCode`, `DateTime'…'`.
Property names are case-sensitive, values are not. Pure: must not know the store or HTTP.
"""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from batchctl.server.batch.fields import property_type
from batchctl.server.batch.wire import Doc, instant_text, parse_instant

Value = str | float | bool | None


class FilterError(ValueError):
    """The text is not a filter over this kind of resource; the message says why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Compare:
    """`path operator value`; `operator` is also `startswith`."""

    path: tuple[str, ...]
    operator: str
    value: Value


@dataclass(frozen=True, kw_only=True, slots=True)
class Combine:
    """`and` / `or` of two expressions, or `not` of one."""

    operator: str
    parts: tuple["Expression", ...]


Expression = Compare | Combine

_MOST_TOKENS = 500  # keeps the recursive descent far from the interpreter's limit

_TOKEN = re.compile(
    r"\s*(?:(?P<instant>[Dd]ate[Tt]ime'[^']*')|(?P<string>'(?:[^']|'')*')|(?P<number>-?\d+(?:\.\d+)?)(?![\w])"
    r"|(?P<name>[A-Za-z_$][\w.]*(?:/[A-Za-z_$][\w.]*)*)|(?P<mark>[(),]))"
)
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "gt": operator.gt,
    "ge": operator.ge,
    "lt": operator.lt,
    "le": operator.le,
    "startswith": lambda text, start: isinstance(text, str) and text.startswith(start),
}
_VALUES: Mapping[str, tuple[type, ...]] = {
    "int": (int, float), "float": (int, float), "bool": (bool,), "str": (str,), "datetime": (str,), "duration": (str,),
    "E": (str,),
}  # fmt: skip
"""What a property of a type, in the field table's notation, is compared with; any other type with null alone."""


def parse_filter(text: str, model: str) -> Expression:
    """The expression `text` says, over properties of `model` (a name in the field table). Raises FilterError."""
    return _Parser(_tokens(text), model).whole()


def matches(expression: Expression, document: Doc) -> bool:
    """Is `document` (a wire document) selected? A property it lacks compares as null."""
    if isinstance(expression, Combine):
        if expression.operator == "not":
            return not matches(expression.parts[0], document)
        return (any if expression.operator == "or" else all)(
            matches(part, document) for part in expression.parts
        )
    found: Any = document
    for name in expression.path:
        found = found.get(name) if isinstance(found, dict) else None
    if isinstance(found, str):
        found = found.lower()
    wanted = expression.value
    if found is None or wanted is None:
        return expression.operator in ("eq", "ne") and _OPERATORS[expression.operator](found, wanted)
    try:
        return _OPERATORS[expression.operator](found, wanted)
    except TypeError:
        return False


def required_value(expression: Expression | None, name: str, operator: str = "eq") -> str | None:
    """The text that property `name` must equal, or start with, for any match, so that an index can be used; else None."""
    if isinstance(expression, Combine) and expression.operator == "and":
        found = (required_value(part, name, operator) for part in expression.parts)
        return next((value for value in found if value is not None), None)
    if isinstance(expression, Compare) and (expression.path, expression.operator) == ((name,), operator):
        return expression.value if isinstance(expression.value, str) else None
    return None


def _tokens(text: str) -> list[tuple[str, str]]:
    tokens, position = [], 0
    text = text.strip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            raise FilterError(f"Syntax error at position {position} in '{text}'.")
        tokens.append((match.lastgroup, match[match.lastgroup]))
        position = match.end()
    if len(tokens) > _MOST_TOKENS:
        raise FilterError("The filter is too long.")
    return tokens


class _Parser:
    """Recursive descent: or < and < not < comparison."""

    def __init__(self, tokens: list[tuple[str, str]], model: str) -> None:
        self._tokens = tokens
        self._at = 0
        self._model = model

    def whole(self) -> Expression:
        expression = self._joined("or", lambda: self._joined("and", self._single))
        if self._at != len(self._tokens):
            raise FilterError(f"Unexpected '{self._tokens[self._at][1]}'.")
        return expression

    def _joined(self, word: str, part: Callable[[], Expression]) -> Expression:
        parts = [part()]
        while self._peek() == ("name", word):
            self._at += 1
            parts.append(part())
        return parts[0] if len(parts) == 1 else Combine(operator=word, parts=tuple(parts))

    def _single(self) -> Expression:
        kind, text = self._next()
        if (kind, text) == ("name", "not"):
            return Combine(operator="not", parts=(self._single(),))
        if (kind, text) == ("mark", "("):
            inner = self._joined("or", lambda: self._joined("and", self._single))
            self._expect(")")
            return inner
        if kind == "name" and text == "startswith" and self._peek() == ("mark", "("):
            self._expect("(")
            path = self._path(self._next())
            self._expect(",")
            comparison = self._comparison(path, "startswith")
            self._expect(")")
            return comparison
        path = self._path((kind, text))
        word = self._next()[1]
        if word not in _OPERATORS or word == "startswith":
            raise FilterError(f"The operator '{word}' is not supported.")
        return self._comparison(path, word)

    def _comparison(self, path: tuple[str, ...], word: str) -> Compare:
        value = self._value(self._next())
        kind = property_type(self._model, path) or ""
        if value is not None and type(value) not in _VALUES.get(kind.partition(":")[0], ()):
            raise FilterError(f"The property '{'/'.join(path)}' is not compared with a value of this type.")
        if word == "startswith" and not isinstance(value, str):
            raise FilterError("startswith needs a text.")
        return Compare(path=path, operator=word, value=value)

    def _path(self, token: tuple[str, str]) -> tuple[str, ...]:
        path = tuple(token[1].split("/"))
        if token[0] != "name" or property_type(self._model, path) is None:
            raise FilterError(f"The property '{token[1]}' is not supported in a filter.")
        return path

    def _value(self, token: tuple[str, str]) -> Value:
        kind, text = token
        if kind == "string":
            return text[1:-1].replace("''", "'").lower()
        try:
            if kind == "number":
                return float(text) if "." in text else int(text)
            if kind == "instant":
                return instant_text(parse_instant(text[text.index("'") + 1 : -1])).lower()
        except (
            ValueError,
            OverflowError,
        ) as problem:  # a date before all dates, a number of thousands of digits
            raise FilterError(str(problem)) from None
        if text in ("true", "false", "null"):
            return {"true": True, "false": False, "null": None}[text]
        raise FilterError(f"'{text}' is not a value.")

    def _peek(self) -> tuple[str, str] | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _next(self) -> tuple[str, str]:
        token = self._peek()
        if token is None:
            raise FilterError("The filter ends too early.")
        self._at += 1
        return token

    def _expect(self, mark: str) -> None:
        if self._next() != ("mark", mark):
            raise FilterError(f"Expected '{mark}'.")

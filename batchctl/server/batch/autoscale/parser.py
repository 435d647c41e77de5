"""From tokens to statements: recursive descent, loosest operator first.

Ranks: `?:`, `||`, `&&`, `== !=`, `< <= > >=`, `+ -`, `* /`, unary `- !`, then `.` and calls.
"""

from collections.abc import Callable

from batchctl.server.batch.autoscale.faults import SyntaxFault
from batchctl.server.batch.autoscale.tokens import Token, tokens_of
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

MOST_STATEMENTS = 100
_DEEPEST = 60  # keeps the recursion far from the interpreter's limit
_RANKS = (("||",), ("&&",), ("==", "!="), ("<", "<=", ">", ">="), ("+", "-"), ("*", "/"))


def parse_formula(formula: str) -> list[Statement]:
    """The statements of `formula`. Raises SyntaxFault; more than 100 statements are one too."""
    return _Parser(tokens_of(formula)).program()


class _Parser:
    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    def program(self) -> list[Statement]:
        statements: list[Statement] = []
        while self._peek().kind != "end":
            if self._accept(";"):
                continue
            statement = self._statement()
            statements.append(statement)
            if len(statements) > MOST_STATEMENTS:
                raise SyntaxFault(statement.place, f"The formula has more than {MOST_STATEMENTS} statements")
            if self._peek().kind != "end":
                self._expect(";")
        return statements

    def _statement(self) -> Statement:
        first = self._peek()
        if first.kind == "name" and self._tokens[self._at + 1][:2] == ("mark", "="):
            self._at += 2
            return Statement(place=first.place, variable=first.text, value=self._expression())
        return Statement(place=first.place, variable=None, value=self._expression())

    def _expression(self) -> Expression:
        self._enter()
        condition = self._ranked(0)
        if (mark := self._accept("?")) is not None:
            yes = self._expression()
            self._expect(":")
            condition = Choice(place=mark.place, condition=condition, yes=yes, no=self._expression())
        self._depth -= 1
        return condition

    def _ranked(self, rank: int) -> Expression:
        if rank == len(_RANKS):
            return self._unary()
        first = self._ranked(rank + 1)
        rest = []
        while (mark := self._accept(*_RANKS[rank])) is not None:
            rest.append((mark.text, mark.place, self._ranked(rank + 1)))
        return Chain(place=first.place, first=first, rest=tuple(rest)) if rest else first

    def _unary(self) -> Expression:
        mark = self._accept("-", "!")
        if mark is None:
            return self._postfix()
        self._enter()
        operand = self._unary()
        self._depth -= 1
        return Unary(place=mark.place, operator=mark.text, operand=operand)

    def _postfix(self) -> Expression:
        found = self._primary()
        links = 0
        while self._accept(".") is not None:
            links += 1
            if links > _DEEPEST:
                raise SyntaxFault(self._peek().place, "The formula is too deeply nested")
            name = self._named()
            if self._accept("(") is None:
                found = Member(place=name.place, target=found, member=name.text)
            else:
                found = Method(place=name.place, target=found, method=name.text, arguments=self._arguments())
        return found

    def _primary(self) -> Expression:
        token = self._next()
        make: dict[str, Callable[[], Expression]] = {
            "number": lambda: Number(place=token.place, value=float(token.text)),
            "string": lambda: Text(place=token.place, value=token.text[1:-1]),
            "name": lambda: self._name_or_call(token),
        }
        if token.kind in make:
            return make[token.kind]()
        if token.text == "(" and token.kind == "mark":
            inner = self._expression()
            self._expect(")")
            return inner
        raise SyntaxFault(token.place, f"Unexpected token: {token.text}")

    def _name_or_call(self, token: Token) -> Expression:
        if self._accept("(") is None:
            return Name(place=token.place, name=token.text)
        return Invoke(place=token.place, function=token.text, arguments=self._arguments())

    def _arguments(self) -> tuple[Expression, ...]:
        """What stands between the parentheses, of which the first has been read."""
        if self._accept(")") is not None:
            return ()
        found = [self._expression()]
        while self._accept(",") is not None:
            found.append(self._expression())
        self._expect(")")
        return tuple(found)

    def _named(self) -> Token:
        token = self._next()
        if token.kind != "name":
            raise SyntaxFault(token.place, f"Unexpected token: {token.text}")
        return token

    def _enter(self) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise SyntaxFault(self._peek().place, "The formula is too deeply nested")

    def _peek(self) -> Token:
        return self._tokens[self._at]

    def _next(self) -> Token:
        token = self._peek()
        if token.kind != "end":
            self._at += 1
        return token

    def _accept(self, *marks: str) -> Token | None:
        token = self._peek()
        if token.kind == "mark" and token.text in marks:
            self._at += 1
            return token
        return None

    def _expect(self, mark: str) -> None:
        token = self._next()
        if token.kind != "mark" or token.text != mark:
            raise SyntaxFault(token.place, f"Expected {mark} but found: {token.text}")

"""A formula's text as tokens with their places. Comments (`// …`, `/* … */`) and white space are dropped."""

import re
from typing import NamedTuple

from batchctl.server.batch.autoscale.faults import Place, SyntaxFault

_TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*|/\*.*?\*/)
    |(?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)
    |(?P<string>"[^"\n]*"|'[^'\n]*')
    |(?P<name>\$?[A-Za-z_]\w*)
    |(?P<mark>&&|\|\||<=|>=|==|!=|[-+*/!<>=?:;,.()])""",
    re.VERBOSE | re.DOTALL | re.ASCII,
)


class Token(NamedTuple):
    """`kind` is number, string, name, mark, or end (of the text)."""

    kind: str
    text: str
    place: Place


def tokens_of(formula: str) -> list[Token]:
    """The tokens of `formula`, the last one of kind `end`. Raises SyntaxFault at a character that fits nowhere."""
    found: list[Token] = []
    position, line, line_start = 0, 1, 0
    while position < len(formula):
        place = Place(line, position - line_start + 1)
        match = _TOKEN.match(formula, position)
        if match is None or match.lastgroup is None:
            raise SyntaxFault(place, f"Unexpected character: {formula[position]}")
        text = match.group()
        if match.lastgroup != "space":
            found.append(Token(match.lastgroup, text, place))
        if "\n" in text:
            line += text.count("\n")
            line_start = position + text.rindex("\n") + 1
        position = match.end()
    found.append(Token("end", "end of formula", Place(line, position - line_start + 1)))
    return found

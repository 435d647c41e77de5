"""Templates inside a jobspec: a Jinja2 sandbox where every name must exist.

Names: `params`, `scheduled_at`, `interval_start`, `interval_end`, `run`, and `item` in a fanned-out task; in a sourcemart also
`table`, and `collector` in a collector and its processors. Times are aware datetimes in UTC. Filters, beside Jinja2's own:
`date`, `iso`, `strftime(format)`, `in_timezone(name)`, `plus(days=, hours=)`, `quote` (one word of a command line).
"""

import re
import shlex
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from batchctl.schedule import zone

if TYPE_CHECKING:
    from jinja2.sandbox import ImmutableSandboxedEnvironment

NAMES = frozenset({"params", "scheduled_at", "interval_start", "interval_end", "run", "item"})


_SIMPLE = re.compile(r"\{\{\s*(?:params\.(\w+)|(?!params\b)(\w+))\s*(?:\|\s*(?:date|iso)\s*)?\}\}")
"""A name and perhaps a filter: most templates are no more, and are checked without Jinja2, which takes 20 ms to import."""


_QUOTES = frozenset("'\"\\")


class TemplateProblem(ValueError):
    """A template that cannot be read or rendered; the text says why."""


def is_template(text: str) -> bool:
    """Whether `text` has anything to render. Most strings do not, and then Jinja2 is not even imported."""
    return "{{" in text or "{%" in text or "{#" in text


@cache
def _environment() -> "ImmutableSandboxedEnvironment":
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True
    )
    environment.globals.clear()
    environment.filters.update(
        date=lambda moment: moment.strftime("%Y-%m-%d"),
        iso=iso,
        strftime=lambda moment, form: moment.strftime(form),
        in_timezone=lambda moment, name: moment.astimezone(zone(name)),
        quote=lambda value: shlex.quote(str(value)),
        plus=lambda moment, days=0, hours=0, minutes=0: (
            moment + timedelta(days=days, hours=hours, minutes=minutes)
        ),
    )
    return environment


def iso(moment: datetime) -> str:
    """`2026-01-31T06:00:00Z`."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment.utcoffset() == timedelta(0) else moment.isoformat()


@cache
def _compiled(text: str) -> Any:
    return _environment().from_string(text)


def render(text: str, names: Mapping[str, Any]) -> str:
    """`text` with its templates filled in. Raises TemplateProblem."""
    if not is_template(text):
        return text
    from jinja2 import TemplateError

    try:
        return str(_compiled(text).render(**names))
    except (
        TemplateError,
        TypeError,
        ValueError,
        AttributeError,
        ArithmeticError,
        MemoryError,
        LookupError,
    ) as error:
        raise TemplateProblem(f"{text!r}: {error}") from None


def command_problem(command: str) -> tuple[str, str] | None:
    """(what is wrong, what to write) for a command that cannot be split into words as Batch does, like a POSIX shell."""
    if not _QUOTES.intersection(command):
        return None
    try:
        shlex.split(command)
    except ValueError as error:
        return (
            f"cannot be split into words: {str(error).lower()}",
            "every quote needs its end; '\"' is one as it is",
        )
    return None


def render_all(value: Any, names: Mapping[str, Any]) -> Any:
    """`value` (plain JSON data) with every string in it rendered; keys stay as they are."""
    if isinstance(value, str):
        return render(value, names)
    if isinstance(value, Mapping):
        return {key: render_all(inner, names) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [render_all(inner, names) for inner in value]
    return value


def template_problems(
    text: str, parameters: set[str], names: frozenset[str] = NAMES
) -> Iterator[tuple[str, str | None, set[str]]]:
    """What is wrong with `text` before any run: (message, the unknown name, the names it could have been)."""
    if not is_template(_SIMPLE.sub("", text)):
        for parameter, name in _SIMPLE.findall(text):
            if name and name not in names:
                yield (
                    f"template: {name} is not a name here",
                    name,
                    set(names) | {f"params.{p}" for p in parameters},
                )
            elif parameter and parameter not in parameters:
                yield f"template: there is no parameter {parameter}", parameter, parameters
        return
    from jinja2 import TemplateSyntaxError, meta, nodes

    try:
        tree = _environment().parse(text)
        known = _environment().filters
        for node in tree.find_all(nodes.Filter):
            if node.name not in known:
                yield f"template: there is no filter {node.name}", node.name, set(known)
                return
        undeclared = meta.find_undeclared_variables(tree)
    except TemplateSyntaxError as error:
        yield f"template: {error.message}", None, set()
        return
    for name in sorted(undeclared - names):
        yield f"template: {name} is not a name here", name, set(names) | {f"params.{p}" for p in parameters}
    wanted: list[tuple[nodes.Expr, Any]] = [(at.node, at.attr) for at in tree.find_all(nodes.Getattr)]
    wanted += [(at.node, getattr(at.arg, "value", None)) for at in tree.find_all(nodes.Getitem)]
    for holder, name in wanted:
        is_params = isinstance(holder, nodes.Name) and holder.name == "params"
        if is_params and isinstance(name, str) and name not in parameters:
            yield f"template: there is no parameter {name}", name, parameters

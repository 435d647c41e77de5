"""The only printer: stdout is the answer, stderr is the story. Colour on a terminal, unless NO_COLOR is set."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

_COLOURS = {
    "succeeded": "32", "failed": "31", "running": "36", "cancelled": "33", "stopped": "33", "not run": "33",
    "create": "32", "update": "33", "replace": "35", "delete": "31", "error": "31;1", "hint": "36", "warning": "33",
}  # fmt: skip


_gone: set[str] = set()
"""The streams whose readers have left."""


def reader_is_gone() -> bool:
    """Whether nobody reads the answer any more: `batchctl logs … | head`."""
    return "stdout" in _gone


def answer(text: str) -> None:
    """A line of the answer."""
    with _reader_may_leave("stdout"):
        sys.stdout.write(text + "\n")


def answer_bytes(data: bytes) -> None:
    """Bytes of the answer, as they are."""
    with _reader_may_leave("stdout"):
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


def story(text: str) -> None:
    """A line about what is going on. Nobody need listen: what goes on does not depend on it."""
    with _reader_may_leave("stderr"):
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def finish() -> None:
    """Write what is still held back. Raises OSError if the answer cannot be written, to a full disk say."""
    for name in ("stdout", "stderr"):
        with _reader_may_leave(name):
            stream = getattr(sys, name)
            if stream is not None:
                stream.flush()


@contextmanager
def _reader_may_leave(name: str) -> Iterator[None]:
    """A reader who closes the pipe has seen enough: the command does its work and ends as it would have."""
    try:
        yield
    except BrokenPipeError:
        _gone.add(name)
        os.dup2(os.open(os.devnull, os.O_WRONLY), getattr(sys, name).fileno())
    except AttributeError:  # the stream was closed before we began: >&-
        _gone.add(name)


def utc(moment: datetime) -> str:
    """A moment as every answer writes it, to the second: `2026-01-31T06:00:00Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def is_terminal() -> bool:
    """Whether a person is looking at the story."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def painted(word: str, text: str | None = None, stream: Any = None) -> str:
    """`text` in the colour of `word`, where colour is shown."""
    shown = word if text is None else text
    stream = stream or sys.stdout
    if not stream.isatty() or os.environ.get("NO_COLOR") or word not in _COLOURS:
        return shown
    return f"\033[{_COLOURS[word]}m{shown}\033[0m"


def structured(value: Any, form: str) -> None:
    """The answer as JSON or YAML."""
    if form == "json":
        import orjson

        answer(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())
    else:
        import io

        from ruamel.yaml import YAML

        text = io.StringIO()
        yaml = YAML(typ="safe", pure=True)
        yaml.default_flow_style = False
        yaml.dump(_plain(value), text)
        answer(text.getvalue().rstrip())


def _plain(value: Any) -> Any:
    """`value` without subclasses of str, which YAML would tag."""
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return str(value) if isinstance(value, str) else value


def table(head: Sequence[str], rows: Iterable[Sequence[str]], write: Callable[[str], None] = answer) -> None:
    """Columns as kubectl prints them: aligned, no lines, the head in capitals."""
    lines = [[name.upper() for name in head], *[list(row) for row in rows]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    for number, line in enumerate(lines):
        cells = [
            painted(cell, cell.ljust(width)) if number else cell.ljust(width)
            for cell, width in zip(line, widths, strict=True)
        ]
        write("   ".join(cells).rstrip())


def warning(message: str, hint: str = "") -> None:
    """What is done all the same, and what to type if that is not meant."""
    story(f"{painted('warning', stream=sys.stderr)}: {message}")
    if hint:
        story(f"{painted('hint', stream=sys.stderr)}: {hint}")


def error(message: str, hint: str = "") -> None:
    """An error as every command tells it: what is wrong, and what to type next."""
    story(f"{painted('error', stream=sys.stderr)}: {message}")
    tell_hint(hint)


def tell_hint(hint: str) -> None:
    """What to type next, if there is anything."""
    if hint:
        story(f"{painted('hint', stream=sys.stderr)}: {hint}")

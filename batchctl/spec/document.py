"""YAML text -> plain values, and where each stood: YAML 1.2, so `12:00:00` and `2026-01-31` stay text and `no` is a word.

Knows nothing of jobspecs. Problems are collected, not raised one by one.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import ComposerError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from batchctl.errors import Problem

Path = tuple[str | int, ...]
"""A way through the document: `("tasks", 0, "image")`."""

MAX_BYTES = 1 << 20
_MAX_VALUES = 200_000
_TOO_DEEP = "nested too deeply"


@dataclass
class Document:
    """A parsed file: `value`, the (line, column) of every path in it, and what was wrong with it."""

    file: str
    value: Any = None
    places: dict[Path, tuple[int, int]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    wrong: set[Path] = field(default_factory=set)
    """The paths that have a problem already."""

    def problem(self, path: Path, message: str, hint: str = "") -> None:
        """Add a problem, at the place of `path` or of the nearest thing around it."""
        self.wrong.add(path)
        where = path
        while where and where not in self.places:
            where = where[:-1]
        line, column = self.places.get(where, (1, 1))
        self.problems.append(
            Problem(file=self.file, line=line, column=column, path=dotted(path), message=message, hint=hint)
        )


def dotted(path: Path) -> str:
    """`("tasks", 0, "image")` -> `tasks[0].image`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text


def parse_yaml(data: bytes, file: str) -> Document:
    """The one document in `data`; syntax errors, duplicate keys and values YAML 1.2 has no plain form for become problems."""
    document = Document(file)
    if len(data) > MAX_BYTES:
        document.problem(
            (), f"{len(data):,} bytes; a jobspec has at most {MAX_BYTES:,}", "large data belongs in the lake"
        )
        return document
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        document.problem(
            (), f"not a text file: byte {error.start} is not UTF-8", "a jobspec is YAML in UTF-8"
        )
        return document
    yaml = YAML(typ="safe", pure=True)
    try:
        root = yaml.compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        hint = _yaml_hint(error, text)
        message = " ".join(part for part in (error.context, error.problem) if part)
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        document.problems.append(
            Problem(file=file, line=line, column=column, message=message or "not valid YAML", hint=hint)
        )
        return document
    except RecursionError:
        document.problem((), _TOO_DEEP)
        return document
    except YAMLError as error:  # a control character: the reader's error has no mark
        document.problem((), f"not valid YAML: {str(error).splitlines()[0]}", "a jobspec is YAML in UTF-8")
        return document
    if root is None:
        document.problem((), "the file is empty", "batchctl init writes one to begin with")
        return document
    try:
        document.value = _Reader(document, yaml).value(root, (), ())
    except RecursionError:
        document.problem((), _TOO_DEEP)
    return document


def _yaml_hint(error: MarkedYAMLError, text: str) -> str:
    mark, begun = error.problem_mark, error.context_mark
    if _has_tab(text, mark.line if mark else 0):
        return "indent with spaces, YAML does not allow tabs"
    if isinstance(error, ComposerError) and begun is not None and mark is not None and begun.line < mark.line:
        return "one file is one jobspec: remove what follows the second ---"
    if begun is not None:
        return f"what began on line {begun.line + 1} is not closed, or not indented like its neighbours"
    return "a text that begins with a sign, or has ': ' in it, needs quotes"


def _has_tab(text: str, line: int) -> bool:
    lines = text.splitlines()
    return any("\t" in one[: len(one) - len(one.lstrip())] for one in lines[max(0, line - 1) : line + 1])


class _Reader:
    """Walks the node graph once, filling the document's places."""

    def __init__(self, document: Document, yaml: YAML) -> None:
        self.document = document
        self.yaml = yaml
        self.count = 0

    def value(self, node: Node, path: Path, above: tuple[int, ...]) -> Any:
        self.count += 1
        if self.count > _MAX_VALUES:
            if self.count == _MAX_VALUES + 1:
                self.document.problem(
                    path, f"more than {_MAX_VALUES:,} values", "are there aliases inside aliases?"
                )
            return None
        self.document.places.setdefault(path, (node.start_mark.line + 1, node.start_mark.column + 1))
        if id(node) in above:
            self.document.problem(path, "an alias that contains itself")
            return None
        if isinstance(node, MappingNode):
            return self.mapping(node, path, (*above, id(node)))
        if isinstance(node, SequenceNode):
            return [self.value(child, (*path, i), (*above, id(node))) for i, child in enumerate(node.value)]
        return self.scalar(node, path)

    def scalar(self, node: Node, path: Path) -> Any:
        tag = str(node.tag)
        kind = tag.removeprefix("tag:yaml.org,2002:")
        if kind in ("str", "timestamp", "value"):
            return node.value
        if kind in ("int", "float", "bool", "null"):
            return self.yaml.constructor.construct_object(node)
        self.document.problem(path, f"the tag {tag} means nothing here", "remove the tag")
        return node.value

    def mapping(self, node: MappingNode, path: Path, above: tuple[int, ...]) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        own: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line, column = key_node.start_mark.line + 1, key_node.start_mark.column + 1
            if str(key_node.tag) == "tag:yaml.org,2002:merge":
                for base in self._bases(value_node):
                    merged = (
                        {**self.mapping(base, path, above), **merged} if id(base) not in above else merged
                    )
                continue
            if not isinstance(key_node, ScalarNode):
                self.document.places[(*path, "?")] = (line, column)
                self.document.problem((*path, "?"), "a key must be text")
                continue
            key = str(key_node.value)
            if key in own:
                self.document.places[(*path, key)] = (line, column)
                self.document.problem((*path, key), "this key is there already", "remove one of the two")
            self.document.places[(*path, key)] = (line, column)
            own[key] = self.value(value_node, (*path, key), above)
        return {**merged, **own}

    def _bases(self, node: Node) -> Iterator[MappingNode]:
        for base in node.value if isinstance(node, SequenceNode) else (node,):
            if isinstance(base, MappingNode):
                yield base

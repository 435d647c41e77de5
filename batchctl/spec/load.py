"""A file -> a Jobspec, or every problem in it at once, each with its place.

The order: read, parse, validate the models, check the references; then, if anything is wrong, one SpecError with all of it.
"""

import json
import types
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from batchctl.errors import Problem, SpecError
from batchctl.spec.document import MAX_BYTES, Document, Path, parse_yaml
from batchctl.spec.jobspec import Jobspec
from batchctl.spec.references import check_references, nearest
from batchctl.spec.sourcemart_references import check_sourcemart

SUFFIXES = (".yaml", ".yml", ".json")


def load(path: FilePath) -> Jobspec:
    """The jobspec in the file `path`. Raises SpecError with every problem found."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        size = path.stat().st_size
    except OSError as error:
        reasons = {
            FileNotFoundError: ("there is no such file", _neighbours(path)),
            PermissionError: ("not allowed to read it", f"chmod u+r {path}"),
            IsADirectoryError: ("this is a folder", _neighbours(path / "x")),
        }
        message, hint = reasons.get(type(error), (error.strerror or str(error), ""))
        raise SpecError([Problem(file=str(path), message=message, hint=hint)]) from None
    if size > MAX_BYTES:
        message = f"{size:,} bytes; a jobspec has at most {MAX_BYTES:,}"
        raise SpecError([Problem(file=str(path), message=message, hint="large data belongs in the lake")])
    return loads(data, str(path))


def loads(data: bytes, file: str = "<text>") -> Jobspec:
    """The jobspec in the YAML text `data`; `file` is its name in messages. Raises SpecError."""
    document = parse_yaml(data, file)
    jobspec = None
    if document.value is not None or not document.problems:
        jobspec = _validated(document)
        check_references(document)
        check_sourcemart(document)
    if document.problems or jobspec is None:
        raise SpecError(sorted(set(document.problems)))
    return jobspec


def _neighbours(path: FilePath) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f"there is no folder {folder}"
    found = sorted(p.name for p in folder.iterdir() if p.suffix in SUFFIXES)
    return nearest(path.name, found) if found else "batchctl init writes one"


def _validated(document: Document) -> Jobspec | None:
    if not isinstance(document.value, dict):
        document.problem((), "a jobspec is a mapping: name: …, pool: …, tasks: …", "batchctl init writes one")
        return None
    try:
        return Jobspec.model_validate_json(json.dumps(document.value, ensure_ascii=False))
    except RecursionError:
        document.problem((), "nested too deeply")
    except ValidationError as error:
        found = [
            (_path_in(document.value, one["loc"], one["type"] == "missing"), one)
            for one in error.errors(include_url=False, include_input=False)
        ]
        told = set(document.wrong)
        for path, one in found:
            deeper = any(other[: len(path)] == path and len(other) > len(path) for other, _ in found)
            if path in told or (deeper and one["type"].endswith("_type")):
                continue  # it has been told, by another branch of a union or before
            told.add(path)
            context: Mapping[str, Any] = one.get("ctx", {})
            if one["type"] == "extra_forbidden":
                word = str(one["loc"][-1])
                document.problem(path, "there is no such field", nearest(word, _fields_at(one["loc"][:-1])))
            elif one["type"] == "missing":
                document.problem(path, "this field is missing", f"add {one['loc'][-1]}: …")
            else:
                message = _type_message(one["type"], _at(document.value, path))
                hint = _EXAMPLES[one["type"]] if message else str(context.get("hint", ""))
                document.problem(path, message or _plain_message(one["msg"]), hint)
    return None


_KINDS = {
    "int_type": "a whole number", "float_type": "a number", "bool_type": "true or false", "string_type": "text",
    "list_type": "a list", "tuple_type": "a list", "dict_type": "a mapping", "model_type": "a mapping",
}  # fmt: skip
_EXAMPLES = {
    "int_type": "2, without quotes", "float_type": "0.5, without quotes", "bool_type": "true or false, without quotes",
    "string_type": "a number or a word like true is text in quotes: \"2\"", "list_type": "[a, b]", "tuple_type": "[a, b]",
    "dict_type": "{name: value}", "model_type": "{name: value}",
}  # fmt: skip
_GIVEN = {
    str: "text",
    int: "a number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "a mapping",
}


def _type_message(kind: str, given: Any) -> str:
    """`must be a whole number, not text`; empty if `kind` is not an error of type. What was given is never repeated:
    it may be a secret in the wrong place."""
    wanted = _KINDS.get(kind)
    return f"must be {wanted}, not {_GIVEN.get(type(given), 'nothing')}" if wanted else ""


def _at(value: Any, path: Path) -> Any:
    for step in path:
        value = value[step]
    return value


def _plain_message(message: str) -> str:
    text = message.removeprefix("Input should be")
    return f"must be{text}" if text != message else message[:1].lower() + message[1:]


def _path_in(value: Any, location: tuple[int | str, ...], missing: bool) -> Path:
    """`location` as pydantic tells it, less the steps that name a branch of a union and not a place in the data.

    With `missing`, its last step is a key that is not there.
    """
    path: list[int | str] = []
    last = len(location) - 1
    for i, step in enumerate(location):
        if isinstance(value, dict) and isinstance(step, str):
            if step in value:
                value = value[step]
            elif i != last or not missing:
                continue
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            continue
        path.append(step)
    return tuple(path)


def _fields_at(location: tuple[int | str, ...]) -> list[str]:
    """The fields that the model at `location` has, as they are written."""
    kinds: list[Any] = [Jobspec]
    for step in location:
        following: list[Any] = []
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                named = {f.alias or name: f.annotation for name, f in kind.model_fields.items()}
                following += [named[step]] if step in named else [kind] if step == kind.__name__ else []
            elif get_origin(kind) in (dict, tuple):
                following += get_args(kind)
        kinds = [inner for kind in following for inner in _branches(kind)] or kinds
    models = [k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)]
    return [f.alias or name for model in models for name, f in model.model_fields.items()]


def _branches(kind: Any) -> list[Any]:
    """The types that `kind` may be: the branches of a union, without annotations."""
    if get_origin(kind) is Annotated:
        return _branches(get_args(kind)[0])
    if isinstance(kind, types.UnionType) or get_origin(kind) is Union:
        return [inner for arg in get_args(kind) for inner in _branches(arg)]
    return [kind]

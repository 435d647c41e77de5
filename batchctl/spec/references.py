"""What refers to what inside a jobspec: every name that is used must be defined, and tasks must not wait for each other.

Works on the plain data, not on the models, so that its problems are found even when another part does not validate.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import pairwise
from typing import Any

from batchctl.spec.document import Document, Path
from batchctl.spec.fan_out import item_labels, items
from batchctl.spec.sourcemart import RUN_PARAMETERS
from batchctl.spec.templates import NAMES, command_problem, is_template, template_problems
from batchctl.spec.urls import url_problem, zone_problem

CONDUCTOR = "conductor"
"""Id of the job manager task of a scheduled run."""

_MOST_CYCLES = 10


def nearest(word: str, known: Any) -> str:
    """A hint that names what was probably meant, else what there is."""
    names = sorted(str(k) for k in known)
    close = get_close_matches(word, names, n=1)
    if close:
        return f"did you mean {close[0]}?"
    return f"known: {', '.join(names)}" if 0 < len(names) <= 12 else ""


@dataclass(frozen=True, kw_only=True)
class Written:
    """What a task does, as it is written: plain data that may be wrong in any way."""

    path: Path
    data: Mapping[str, Any]
    names: frozenset[str]
    """The names that its templates may use, `item` included where there is one."""
    lone: str = "item exists only in a task with for_each"
    """The hint where `item` is used and is not among the names."""


@dataclass(frozen=True, kw_only=True)
class WrittenId:
    """The id of a task, and what makes it."""

    id: str
    path: Path
    """Where to tell of it."""
    owner: str
    """What has this id, in words."""
    for_each: Any = None
    for_each_path: Path = ()


EVERYWHERE = NAMES - {"item"}


def check_references(document: Document) -> None:
    """Add to `document` a problem for each name that leads nowhere."""
    data = document.value if isinstance(document.value, dict) else {}
    for name in dict_at(data, "parameters"):
        if not str(name).isidentifier():
            document.problem(
                ("parameters", name), f"{name!r} cannot be written as params.NAME", "letters, digits and _"
            )
    tasks = dicts_at(data, "tasks")
    check_ids(
        document,
        [
            WrittenId(
                id=task["id"],
                path=("tasks", i, "id"),
                owner=f"tasks[{i}]",
                for_each=task.get("for_each"),
                for_each_path=("tasks", i, "for_each"),
            )
            for i, task in tasks
            if isinstance(task.get("id"), str)
        ],
    )
    _check_dependencies(document, tasks)
    for path, text in strings(data.get("environment"), ("environment",)):
        _check_template(document, path, text, EVERYWHERE, "item exists only in a task with for_each")
    check_work(
        document,
        [
            Written(
                path=("tasks", i),
                data=task,
                names=NAMES if task.get("for_each") is not None else EVERYWHERE,
            )
            for i, task in tasks
        ],
    )
    if isinstance(data.get("schedule"), dict):
        for name, parameter in dict_at(data, "parameters").items():
            if isinstance(parameter, dict) and parameter.get("default") is None:
                document.problem(
                    ("parameters", name),
                    "a scheduled pipeline needs a default for every parameter",
                    "add default: …",
                )


def check_ids(document: Document, written: Iterable[WrittenId]) -> None:
    """Ids are unique without regard to case, as in Batch; so are those that a for_each makes."""
    seen: dict[str, str] = {}
    for one in written:
        made = [one.id]
        if isinstance(one.for_each, list | dict | int) and not isinstance(one.for_each, bool):
            try:
                made += [f"{one.id}-{label}" for label in item_labels(items(one.for_each))]
            except ValueError as error:
                document.problem(one.for_each_path, str(error))
        if one.id.lower() == CONDUCTOR:
            document.problem(
                one.path, f"{one.id} is the id of the task that adds the others", "choose another id"
            )
        for id in dict.fromkeys(made):
            if len(id) > 64:
                document.problem(one.path, f"{id} has {len(id)} characters; Batch allows 64", "shorten it")
                break
            if id.lower() in seen:
                document.problem(one.path, f"{id} is the id of {seen[id.lower()]} already", "ids are unique")
                break
        for id in dict.fromkeys(made):
            seen.setdefault(id.lower(), one.owner)


def check_work(document: Document, written: Iterable[Written]) -> None:
    """Add a problem for each image, secret, slot, template and URL in `written` that cannot be."""
    data = document.value
    for one in written:
        _check_command(document, data, one)
        _check_slots(document, data, one)
        _check_names(document, data, one)
        for key in ("command", "with", "environment", "for_each"):
            names = one.names - {"item"} if key == "for_each" else one.names
            for path, text in strings(one.data.get(key), (*one.path, key)):
                _check_template(document, path, text, names, one.lone)
        for path, text in strings(one.data.get("with"), (*one.path, "with")):
            if (found := url_problem(text) if path[-1] == "url" else zone_problem(text)) is not None:
                document.problem(path, *found)


def _check_command(document: Document, data: dict[str, Any], one: Written) -> None:
    """It can be split into words; only an image of others has a command of its own."""
    written = one.data.get("command")
    if isinstance(written, str) and not is_template(written) and (found := command_problem(written)):
        document.problem((*one.path, "command"), *found)
    image = dict_at(data, "images").get(str(one.data.get("image")))
    if one.data.get("command") or (isinstance(image, dict) and image.get("stage_run") is False):
        return
    if "command" not in one.data:
        document.problem((*one.path, "command"), "this field is missing", "command: etl extract")
    elif one.data["command"] == "":
        document.problem((*one.path, "command"), "there is no command", "command: etl extract")


def _check_slots(document: Document, data: dict[str, Any], one: Written) -> None:
    pool = dict_at(data, "pool")
    there, needed = pool.get("task_slots_per_node", 1), one.data.get("required_slots", 1)
    if isinstance(needed, int) and isinstance(there, int) and "id" not in pool and needed > there:
        document.problem(
            (*one.path, "required_slots"),
            f"a node has {there}, so this task would wait for ever",
            "pool.task_slots_per_node",
        )


def _check_names(document: Document, data: dict[str, Any], one: Written) -> None:
    images, secrets = dict_at(data, "images"), dict_at(data, "secrets")
    image = one.data.get("image")
    if isinstance(image, str) and image not in images:
        document.problem(
            (*one.path, "image"),
            f"there is no image {image}",
            nearest(image, images) or "add it under images:",
        )
    named = images.get(image) if isinstance(image, str) else None
    if isinstance(named, dict) and named.get("stage_run") is False and list_at(one.data, "secrets"):
        document.problem(
            (*one.path, "secrets"),
            f"the image {image} has no stage-run, which brings secrets",
            "build an image from it that has stage-run",
        )
    for j, secret in enumerate(list_at(one.data, "secrets")):
        if isinstance(secret, str) and secret not in secrets:
            document.problem(
                (*one.path, "secrets", j),
                f"there is no secret {secret}",
                nearest(secret, secrets) or "add it under secrets:",
            )


def _check_template(document: Document, path: Path, text: str, names: frozenset[str], lone: str) -> None:
    if not is_template(text):
        return
    parameters = set(dict_at(document.value, "parameters"))
    if "sourcemart" in document.value:
        parameters |= set(RUN_PARAMETERS)
    for message, word, known in template_problems(text, parameters, names):
        hint = lone if word == "item" else nearest(word, known) if word else ""
        document.problem(path, message, hint if known or not word else "add it under parameters:")


def _check_dependencies(document: Document, tasks: list[tuple[int, dict[str, Any]]]) -> None:
    by_id = {task["id"]: task for _, task in tasks if isinstance(task.get("id"), str)}
    edges: dict[str, list[str]] = {name: [] for name in by_id}
    for i, task in tasks:
        for j, dependency in enumerate(list_at(task, "depends_on")):
            per_item = isinstance(dependency, dict) and dependency.get("per") == "item"
            other = dependency.get("task") if isinstance(dependency, dict) else dependency
            if not isinstance(other, str):
                continue
            path: Path = ("tasks", i, "depends_on", j)
            if other not in by_id:
                document.problem(path, f"there is no task {other}", nearest(other, by_id))
                continue
            if isinstance(task.get("id"), str):
                edges[task["id"]].append(other)
            if per_item and (
                task.get("for_each") is None or task.get("for_each") != by_id[other].get("for_each")
            ):
                document.problem(
                    path, f"per: item needs the same for_each here and in {other}", "or depend on all of it"
                )
    for _ in range(_MOST_CYCLES):
        found = cycle(edges)
        if not found:
            break
        for one, other in pairwise(found):
            edges[one].remove(other)
        at = next(i for i, task in tasks if task.get("id") == found[0])
        document.problem(
            ("tasks", at, "depends_on"),
            f"tasks wait for each other: {' -> '.join(found)}",
            "remove one of these",
        )


def cycle(edges: Mapping[str, list[str]]) -> list[str]:
    """One cycle of the graph, its first node repeated at the end; empty if there is none."""
    done: set[str] = set()
    for start in edges:
        trail: list[str] = []
        stack = [(start, iter(edges[start]))] if start not in done else []
        while stack:
            node, rest = stack[-1]
            if not trail or trail[-1] != node:
                trail.append(node)
            following = next((n for n in rest if n not in done), None)
            if following is None:
                done.add(node)
                trail.pop()
                stack.pop()
            elif following in trail:
                return [*trail[trail.index(following) :], following]
            else:
                stack.append((following, iter(edges[following])))
    return []


def strings(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    """Every text in the plain data `value`, which is at `path`, and where it is."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from strings(inner, (*path, key))
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from strings(inner, (*path, i))


def dict_at(data: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The mapping at `key`; an empty one if there is none."""
    found = data.get(key)
    return found if isinstance(found, dict) else {}


def list_at(data: Mapping[str, Any], key: str) -> list[Any]:
    """The list at `key`; an empty one if there is none."""
    found = data.get(key)
    return found if isinstance(found, list) else []


def dicts_at(data: Mapping[str, Any], key: str) -> list[tuple[int, dict[str, Any]]]:
    """The mappings in the list at `key`, each with its number in the list."""
    return [(i, each) for i, each in enumerate(list_at(data, key)) if isinstance(each, dict)]

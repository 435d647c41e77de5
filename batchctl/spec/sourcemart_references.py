"""What refers to what inside a sourcemart: every table and processor that is named must be there, none may feed itself.

Works on the plain data, as `references` does; what a collector, processor or refiner does is checked as that of a task is.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from batchctl.spec.document import Document, Path
from batchctl.spec.parameter import ParameterType
from batchctl.spec.references import (
    EVERYWHERE,
    Written,
    WrittenId,
    check_ids,
    check_work,
    cycle,
    dict_at,
    dicts_at,
    list_at,
    nearest,
)
from batchctl.spec.sourcemart import (
    ALL_TABLES,
    RUN_PARAMETERS,
    TABLES,
    collect_id,
    process_id,
    refine_id,
)

Tables = list[tuple[int, dict[str, Any]]]
"""(its number, itself) of each mapping in a list."""

_MART: Path = ("sourcemart",)


def check_sourcemart(document: Document) -> None:
    """Add to `document` a problem for each thing in its sourcemart that cannot be; also if it has no tasks in any form."""
    data = document.value if isinstance(document.value, dict) else None
    if data is None:
        return
    if data.get("sourcemart") is None:
        if "tasks" not in data:
            document.problem(("tasks",), "this field is missing", "add tasks: … or sourcemart: …")
        return
    if "tasks" in data:
        document.problem(
            ("tasks",),
            "a pipeline has tasks or a sourcemart, not both",
            "what the task does, a refiner of a table can do",
        )
    mart = dict_at(data, "sourcemart")
    tables = dicts_at(mart, "tables")
    names = _names(document, tables, (*_MART, "tables"), "table")
    for i, table in tables:
        for kind in ("collectors", "refiners"):
            path = (*_MART, "tables", i, kind)
            _names(document, dicts_at(table, kind), path, f"{kind[:-1]} of this table")
    _check_flow(document, tables, names)
    _check_processors(document, dict_at(mart, "processors"), tables)
    _check_parameters(document, dict_at(data, "parameters"), names)
    check_ids(document, _ids(document, tables))
    check_work(document, _written(mart, tables))


def _names(document: Document, found: Tables, path: Path, noun: str) -> set[str]:
    """The names in a list of things; two that differ in case only are one, as ids are in Batch."""
    seen: set[str] = set()
    spelt: dict[str, str] = {}
    for i, each in found:
        name = each.get("name")
        if not isinstance(name, str):
            continue
        first = spelt.setdefault(name.lower(), name)
        if name in seen or first != name:
            document.problem(
                (*path, i, "name"),
                f"there is a {noun} {first} already",
                "names are unique, whatever their case",
            )
        else:
            seen.add(name)
    return seen


def _check_flow(document: Document, tables: Tables, names: set[str]) -> None:
    """Upstreams and downstreams are there, no table is refined from itself, and each is made from something."""
    waits: dict[str, list[str]] = {
        name: [] for _, table in tables if isinstance(name := table.get("name"), str)
    }
    said: dict[tuple[str, str], Path] = {}
    for i, table in tables:
        name = table.get("name")
        for kind in ("upstreams", "downstreams"):
            for j, other in enumerate(list_at(table, kind)):
                path = (*_MART, "tables", i, kind, j)
                if not isinstance(other, str):
                    continue
                if other not in names:
                    document.problem(path, f"there is no table {other}", nearest(other, names))
                elif isinstance(name, str) and name in names:
                    lower, upper = (name, other) if kind == "upstreams" else (other, name)
                    waits[lower].append(upper)
                    said.setdefault((lower, upper), path)
    round_trip = cycle(waits)
    if round_trip:
        document.problem(
            said[round_trip[0], round_trip[1]],
            f"tables are refined from each other: {' -> '.join(round_trip)}",
            "remove one of these",
        )
    for i, table in tables:
        name = table.get("name")
        fed = "collectors" in table or list_at(table, "upstreams") or waits.get(str(name))
        if isinstance(name, str) and not fed:
            document.problem(
                (*_MART, "tables", i),
                f"nothing feeds the table {name}",
                "add collectors: …, or upstreams: … for a table that is made from others",
            )


def _check_processors(document: Document, processors: dict[str, Any], tables: Tables) -> None:
    seen: dict[str, str] = {}
    for name in processors:
        first = seen.setdefault(name.lower(), name)
        if first != name:
            document.problem(
                (*_MART, "processors", name),
                f"there is a processor {first} already",
                "names are unique, whatever their case",
            )
    used: set[str] = set()
    for path, collector in _collectors(tables):
        chain = list_at(collector, "processors")
        for j, name in enumerate(chain):
            if not isinstance(name, str):
                continue
            used.add(name)
            if name not in processors:
                hint = nearest(name, processors) or "add it under sourcemart.processors:"
                document.problem((*path, "processors", j), f"there is no processor {name}", hint)
            elif name in chain[:j]:
                document.problem(
                    (*path, "processors", j), f"{name} is in this list already", "remove one of the two"
                )
    for name in processors:
        if name not in used:
            document.problem(
                (*_MART, "processors", name),
                f"no collector uses the processor {name}",
                "name it in a collector's processors:, or remove it",
            )


def _check_parameters(document: Document, declared: dict[str, Any], names: set[str]) -> None:
    """A parameter that every sourcemart has may be declared with another default, not as something else."""
    for name, ours in RUN_PARAMETERS.items():
        parameter = declared.get(name)
        if not isinstance(parameter, dict):
            continue
        given = parameter.get("type", ParameterType.STRING.value)
        if given != ours.type.value:
            document.problem(
                ("parameters", name),
                f"every sourcemart has this parameter, and its type is {ours.type}, not {given}",
                f"type: {ours.type}",
            )
    tables = dict_at(declared, TABLES)
    wanted: list[tuple[Path, Any]] = [(("parameters", TABLES, "default"), tables.get("default"))]
    wanted += [
        (("parameters", TABLES, "choices", i), each) for i, each in enumerate(list_at(tables, "choices"))
    ]
    for path, text in wanted:
        if isinstance(text, str) and text.strip() != ALL_TABLES:
            for table in text.split(","):
                if table.strip() not in names:
                    said = table.strip() or "without a name"
                    document.problem(path, f"there is no table {said}", nearest(said, names))


def _collectors(tables: Tables) -> Iterator[tuple[Path, dict[str, Any]]]:
    """(its path, itself) of each collector."""
    for i, table in tables:
        for j, collector in dicts_at(table, "collectors"):
            yield (*_MART, "tables", i, "collectors", j), collector


def _ids(document: Document, tables: Tables) -> Iterator[WrittenId]:
    """The ids of the tasks that all of it becomes, but for those of a name that is wrong already."""
    for i, table in tables:
        path = (*_MART, "tables", i)
        if not isinstance(table.get("name"), str) or (*path, "name") in document.wrong:
            continue
        for kind in ("collectors", "refiners"):
            for j, each in dicts_at(table, kind):
                here = (*path, kind, j)
                if isinstance(each.get("name"), str) and (*here, "name") not in document.wrong:
                    yield from _ids_of(table["name"], each, kind, here)


def _ids_of(table: str, each: Mapping[str, Any], kind: str, path: Path) -> Iterator[WrittenId]:
    owner = f"sourcemart.tables[{path[2]}].{kind}[{path[4]}]"
    made = collect_id(table, each["name"]) if kind == "collectors" else refine_id(table, each["name"])
    ids = [(made, (*path, "name"))]
    seen: set[str] = set()
    for k, processor in enumerate(list_at(each, "processors") if kind == "collectors" else []):
        if isinstance(processor, str) and processor.lower() not in seen:
            seen.add(processor.lower())
            ids.append((process_id(processor, table, each["name"]), (*path, "processors", k)))
    for id, where in ids:
        yield WrittenId(
            id=id,
            path=where,
            owner=owner,
            for_each=each.get("for_each"),
            for_each_path=(*path, "for_each"),
        )


def _written(mart: Mapping[str, Any], tables: Tables) -> Iterator[Written]:
    for i, table in tables:
        for kind, names in (("collectors", {"table", "collector"}), ("refiners", {"table"})):
            for j, each in dicts_at(table, kind):
                item = {"item"} if each.get("for_each") is not None else set()
                yield Written(
                    path=(*_MART, "tables", i, kind, j),
                    data=each,
                    names=EVERYWHERE | names | item,
                    lone=f"item exists only in a {kind[:-1]} with for_each",
                )
    alone = {
        name
        for _, collector in _collectors(tables)
        if collector.get("for_each") is None
        for name in list_at(collector, "processors")
        if isinstance(name, str)
    }
    for name, processor in dict_at(mart, "processors").items():
        item = set() if name in alone else {"item"}
        if isinstance(processor, dict):
            yield Written(
                path=(*_MART, "processors", name),
                data=processor,
                names=EVERYWHERE | {"table", "collector"} | item,
                lone="item exists only where every collector that uses the processor has for_each",
            )

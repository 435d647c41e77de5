"""A jobspec -> the stages of its task graph, for its tables as for its tasks. Pure.

A run of a sourcemart is about the tables it names. Each table that takes part does so by its roles: it is chosen, it is upstream
of one that is (a chosen table is refined from it, perhaps through others), or it is downstream of one.

| role       | collectors and their processors        | refiners                           |
|------------|----------------------------------------|------------------------------------|
| chosen     | run                                    | run                                |
| upstream   | run, unless `skip_upstreams_refiners`  | run, unless `skip_upstreams_refiners` |
| downstream | run, unless `skip_downstreams_collectors` | run                             |

What nobody refines is not collected: that is why a skipped upstream table is left alone altogether. A table of several roles
does what any of them asks for. Other tables are left as they are, also those that a downstream table is refined from, too.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from batchctl.errors import UsageError
from batchctl.spec import Jobspec, Per, Task
from batchctl.spec.parameter import Value
from batchctl.spec.references import nearest
from batchctl.spec.sourcemart import (
    ALL_TABLES,
    SKIP_DOWNSTREAMS_COLLECTORS,
    SKIP_UPSTREAMS_REFINERS,
    TABLES,
    Collector,
    Sourcemart,
    Table,
    collect_id,
    process_id,
    refine_id,
)
from batchctl.spec.task import Dependency
from batchctl.spec.work import Work


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A task of the ordinary graph."""

    task: Task
    names: Mapping[str, str] = field(default_factory=dict)
    """What its templates know beside the names of the run: the `table`, and of a collector and its processors the `collector`."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Names of tables, by what a run does with them."""

    collected: frozenset[str]
    refined: frozenset[str]


def stages(spec: Jobspec, values: Mapping[str, Value] | None = None) -> tuple[Stage, ...]:
    """The stages of the run that has these parameter `values`; without any, of a run of everything.

    A collector's processors follow it one by one, for each item of a fan-out by itself. The first refiner of a table waits for
    its raw data and for the last refiners of its upstreams, every other one for the refiner before it.
    Raises UsageError for tables that are not there, and for skips that skip nothing because every table is chosen.
    """
    mart = spec.sourcemart
    if mart is None:
        return tuple(Stage(task=task) for task in spec.tasks)
    upstreams = upstreams_of(mart)
    chosen = choice(mart, values or {})
    done = {
        table.name: refine_id(table.name, table.refiners[-1].name)
        for table in mart.tables
        if table.name in chosen.refined
    }
    found: list[Stage] = []
    for table in mart.tables:
        if table.name in chosen.refined:
            raw: list[str] = []
            for collector in table.collectors if table.name in chosen.collected else ():
                found += _collector_stages(mart, table, collector)
                raw.append(found[-1].task.id)
            found += _refiner_stages(
                table, raw + [done[name] for name in upstreams[table.name] if name in done]
            )
    return tuple(found)


def upstreams_of(mart: Sourcemart) -> dict[str, tuple[str, ...]]:
    """Table -> the tables it is refined from, by its own word or by theirs, in the order of the jobspec."""
    said = {table.name: set(table.upstreams) for table in mart.tables}
    for table in mart.tables:
        for below in table.downstreams:
            said[below].add(table.name)
    place = {table.name: i for i, table in enumerate(mart.tables)}
    return {name: tuple(sorted(above, key=place.__getitem__)) for name, above in said.items()}


def choice(mart: Sourcemart, values: Mapping[str, Value]) -> Choice:
    """The tables that a run with these parameter `values` is about. Raises UsageError as `stages` does."""
    upstreams = upstreams_of(mart)
    there = frozenset(upstreams)
    skip_upstreams = bool(values.get(SKIP_UPSTREAMS_REFINERS))
    skip_downstreams = bool(values.get(SKIP_DOWNSTREAMS_COLLECTORS))
    text = str(values.get(TABLES, ALL_TABLES)).strip()
    if text == ALL_TABLES:
        if skip_upstreams or skip_downstreams:
            name = SKIP_UPSTREAMS_REFINERS if skip_upstreams else SKIP_DOWNSTREAMS_COLLECTORS
            raise UsageError(
                f"-p {name}: every table is chosen, so there is nothing to skip",
                hint=f"-p {TABLES}={next(iter(upstreams))}, or -p {name}=false",
            )
        return Choice(collected=there, refined=there)
    chosen = frozenset(name.strip() for name in text.split(","))
    unknown = sorted(chosen - there)
    if unknown:
        raise UsageError(
            "\n".join(f"-p {TABLES}: there is no table {name or 'without a name'}" for name in unknown),
            hint=nearest(unknown[0], there),
        )
    downstreams: dict[str, list[str]] = {name: [] for name in upstreams}
    for name, above in upstreams.items():
        for other in above:
            downstreams[other].append(name)
    below = _reached(chosen, downstreams)
    wanted = frozenset() if skip_upstreams else _reached(chosen, upstreams)
    refined = chosen | wanted | below
    return Choice(collected=chosen | wanted if skip_downstreams else refined, refined=refined)


def _reached(starts: frozenset[str], steps: Mapping[str, Sequence[str]]) -> frozenset[str]:
    """What one or more steps lead to from `starts`."""
    found: set[str] = set()
    ahead = list(starts)
    while ahead:
        for name in steps[ahead.pop()]:
            if name not in found:
                found.add(name)
                ahead.append(name)
    return frozenset(found)


def _collector_stages(mart: Sourcemart, table: Table, collector: Collector) -> Iterator[Stage]:
    """The collector, then its processors: of a fan-out, each for every item of the collector by itself."""
    names = {"table": table.name, "collector": collector.name}
    id = collect_id(table.name, collector.name)
    yield Stage(task=_task(collector, id, (), collector.for_each), names=names)
    per = Per.ALL if collector.for_each is None else Per.ITEM
    for name in collector.processors:
        before, id = id, process_id(name, table.name, collector.name)
        waits = (Dependency(task=before, per=per),)
        yield Stage(task=_task(mart.processors[name], id, waits, collector.for_each), names=names)


def _refiner_stages(table: Table, waits: Sequence[str]) -> Iterator[Stage]:
    for refiner in table.refiners:
        id = refine_id(table.name, refiner.name)
        yield Stage(task=_task(refiner, id, tuple(waits), refiner.for_each), names={"table": table.name})
        waits = [id]


def _task(work: Work, id: str, waits: tuple[str | Dependency, ...], for_each: object) -> Task:
    said = {described.alias or name: getattr(work, name) for name, described in Work.model_fields.items()}
    return Task.model_validate({**said, "id": id, "depends_on": waits, "for_each": for_each})

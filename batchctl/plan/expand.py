"""One run of a pipeline: parameters and a moment in, the wire bodies of a job and its tasks out.

The CLI calls this for `run`, and the conductor calls the same function for a scheduled firing. Pure: no clock, no network.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from graphlib import TopologicalSorter
from typing import Any

import orjson

from batchctl.errors import Refused, UsageError
from batchctl.plan.bodies import job_body, task_body
from batchctl.plan.pipeline import Pipeline
from batchctl.plan.sourcemart import Stage, choice, stages
from batchctl.schedule import previous
from batchctl.spec import Jobspec, Per, Task
from batchctl.spec.fan_out import item_labels, items
from batchctl.spec.parameter import Value
from batchctl.spec.references import nearest
from batchctl.spec.templates import TemplateProblem, command_problem, iso, render, render_all
from batchctl.spec.urls import ZONES, zone_problem

MAX_DEPENDENCY_CHARACTERS = 64_000
"""Batch REST 2025-06-01, BatchTaskDependencies.taskIds: the total length of all task ids."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run, ready to be submitted."""

    id: str
    job: dict[str, Any]
    """Wire body of the job; it does not end by itself until it is told to (see `workflows.submit`)."""
    tasks: tuple[dict[str, Any], ...]
    """Wire bodies of its tasks, dependencies before dependants."""


def run_id(name: str, created: datetime, suffix: str) -> str:
    """`weather-20260131T060000Z-k3x9`: sorts by time within a pipeline; at most 64 characters."""
    return f"{name}-{created:%Y%m%dT%H%M%SZ}-{suffix}"


def parameter_values(spec: Jobspec, given: Mapping[str, str]) -> dict[str, Value]:
    """Every parameter's value for a run: `given` (texts of `-p`) over the defaults. Raises UsageError with all problems; also for
    tables that are not there, in a sourcemart."""
    declared = spec.run_parameters
    problems = []
    values: dict[str, Value] = {}
    for name in given:
        if name not in declared:
            hint = nearest(name, declared)
            problems.append(f"-p {name}: there is no such parameter" + (f" ({hint})" if hint else ""))
    for name, parameter in declared.items():
        try:
            if name in given:
                values[name] = parameter.accept(given[name])
            elif parameter.default is not None:
                values[name] = parameter.accept(parameter.default)
            else:
                problems.append(f"-p {name}: this parameter has no default, so it must be given")
        except ValueError as error:
            problems.append(f"-p {name}: {error}")
    if problems:
        raise UsageError("\n".join(problems), hint="-p name=value, once for each")
    if spec.sourcemart is not None:
        choice(spec.sourcemart, values)
    return values


def interval(spec: Jobspec, scheduled_at: datetime) -> tuple[datetime, datetime]:
    """The data interval of an occurrence: from the one before it. Without a schedule: the day before `scheduled_at`."""
    schedule = spec.schedule
    if schedule is None:
        return scheduled_at - timedelta(days=1), scheduled_at
    before = previous(schedule.line, schedule.zone, schedule.dst_rule, scheduled_at - timedelta(seconds=1))
    return before, scheduled_at


def expand(pipeline: Pipeline, given: Mapping[str, str], scheduled_at: datetime, *, run: str) -> Run:
    """The job and tasks of the run `run` for the occurrence `scheduled_at` (aware, UTC).

    Raises UsageError for wrong parameters and Refused for a run that Batch could not hold.
    """
    names = template_names(pipeline.spec, given, scheduled_at, run=run)
    context = {
        "BATCHCTL_PIPELINE": pipeline.spec.name,
        "BATCHCTL_RUN": run,
        "BATCHCTL_SCHEDULED_AT": iso(scheduled_at),
        "BATCHCTL_INTERVAL_START": iso(names["interval_start"]),
        "BATCHCTL_INTERVAL_END": iso(names["interval_end"]),
        "BATCHCTL_RUNS_URL": pipeline.site.runs_url,
    }
    found = stages(pipeline.spec, names["params"])
    fanned = fan_outs(found, names)
    with _template_problems_told():
        tasks = tuple(_tasks(pipeline, found, fanned, names, context))
    return Run(id=run, job=job_body(pipeline, run, scheduled_at, given, len(tasks)), tasks=tasks)


def template_names(
    spec: Jobspec, given: Mapping[str, str], scheduled_at: datetime, *, run: str
) -> dict[str, Any]:
    """What the templates of every task of a run may use: its parameters' values, its moments and its id. Raises UsageError."""
    start, end = interval(spec, scheduled_at)
    return {
        "params": parameter_values(spec, given),
        "scheduled_at": scheduled_at,
        "interval_start": start,
        "interval_end": end,
        "run": run,
    }


FanOuts = Mapping[str, list[tuple[str, Any]]]
"""Id of a stage's task -> (label, item) of each task that it becomes; the label is empty if it is not fanned out."""


def fan_outs(found: Sequence[Stage], names: Mapping[str, Any]) -> FanOuts:
    """What each stage becomes. `names` are `template_names`. Raises UsageError for a fan-out that is none."""
    with _template_problems_told():
        return {stage.task.id: list(_fanned(stage.task, {**names, **stage.names})) for stage in found}


@contextmanager
def _template_problems_told() -> Iterator[None]:
    try:
        yield
    except TemplateProblem as error:
        raise UsageError(
            f"template {error}", hint="parameters are params.NAME, given with -p NAME=value"
        ) from None


def _tasks(
    pipeline: Pipeline,
    found: Sequence[Stage],
    fanned: FanOuts,
    names: Mapping[str, Any],
    context: Mapping[str, str],
) -> Iterator[dict[str, Any]]:
    shared = render_all(pipeline.spec.environment, names)
    for stage in _in_order(found):
        task = stage.task
        everything = _ids_waited_for(task, fanned)
        for label, item in fanned[task.id]:
            scope = {**names, **stage.names} | ({} if task.for_each is None else {"item": item})
            waits = everything + [
                f"{d.task}-{label}" if label else d.task for d in task.dependencies if d.per is Per.ITEM
            ]
            if sum(map(len, waits)) > MAX_DEPENDENCY_CHARACTERS:
                raise Refused(
                    f"{task.id} waits for {len(waits):,} tasks, and their ids together are over "
                    f"{MAX_DEPENDENCY_CHARACTERS:,} characters, the most that Batch can hold",
                    hint="shorten the ids, use per: item, or put a task between that joins a part of them",
                )
            yield task_body(
                pipeline,
                task,
                id=f"{task.id}-{label}" if label else task.id,
                command=_command(task, scope),
                config=_with_zones(render_all(task.with_, scope), pipeline.site.zones, task.id),
                environment={**context, **shared, **render_all(task.environment, scope)},
                depends_on=waits,
                run=names["run"],
            )


def _command(task: Task, scope: Mapping[str, Any]) -> str:
    """The command, rendered. Raises UsageError if a value has made it one that cannot be split into words."""
    rendered = render(task.command, scope)
    if rendered != task.command and (found := command_problem(rendered)):
        raise UsageError(
            f"{task.id}: command: {rendered!r} {found[0]}",
            hint="{{ params.NAME | quote }} makes one word of any value",
        )
    return rendered


def _fanned(task: Task, names: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """(label, item) of each task that `task` becomes; one with an empty label if it is not fanned out."""
    if task.for_each is None:
        yield "", None
        return
    wanted = task.for_each
    try:
        if isinstance(wanted, str):
            text = render(wanted, names)
            try:
                wanted = orjson.loads(text)
            except orjson.JSONDecodeError:
                raise ValueError(f"{text!r} is not a JSON list, object or number") from None
        found = items(render_all(wanted, names))
    except ValueError as error:
        if isinstance(error, TemplateProblem):
            raise
        raise UsageError(
            f"{task.id}: for_each: {error}", hint='a template must give JSON: ["a", "b"] or 500'
        ) from None
    labels = item_labels(found)
    for label, item in zip(labels, found, strict=True):
        if len(task.id) + 1 + len(label) > 64:
            raise UsageError(
                f"{task.id}-{label} has over 64 characters, the most that Batch allows", hint="shorten the id"
            )
        yield label, item


def _ids_waited_for(task: Task, fanned: FanOuts) -> list[str]:
    return [
        f"{dependency.task}-{label}" if label else dependency.task
        for dependency in task.dependencies
        if dependency.per is Per.ALL
        for label, _ in fanned[dependency.task]
    ]


def _in_order(found: Sequence[Stage]) -> list[Stage]:
    """Dependencies first. The loader has made sure that there is no cycle."""
    by_id = {stage.task.id: stage for stage in found}
    order = TopologicalSorter(
        {id: [d.task for d in stage.task.dependencies] for id, stage in by_id.items()}
    ).static_order()
    return [by_id[id] for id in order]


def _with_zones(value: Any, zones: Mapping[str, str], task: str) -> Any:
    """`value` with every text `zone://rest` made the URL it stands for. Raises UsageError for one that would leave its zone."""
    if isinstance(value, str):
        zone, separator, rest = value.partition("://")
        if separator and zone in ZONES:
            if (found := zone_problem(value)) is not None:
                raise UsageError(f"{task}: {found[0]}", hint=found[1])
            if zone not in zones:
                raise Refused(
                    f"{task}: {value} does not exist on this target",
                    hint="copy the file to raw:// first"
                    if zone == "jobspec"
                    else f"set the zone {zone} in batchctl.toml",
                )
            return zones[zone] + rest
        return value
    if isinstance(value, Mapping):
        return {key: _with_zones(inner, zones, task) for key, inner in value.items()}
    if isinstance(value, list):
        return [_with_zones(inner, zones, task) for inner in value]
    return value

"""The task graph of a run as Mermaid text, which GitHub and many editors draw. Pure; says nothing of a target."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from batchctl.plan.expand import fan_outs, template_names
from batchctl.plan.sourcemart import Stage, stages
from batchctl.spec import Jobspec, Per


def graph(spec: Jobspec, given: Mapping[str, str], scheduled_at: datetime, *, run: str) -> str:
    """The flowchart of one run: `given` are the texts of `-p`, `run` is what templates see as its id. Ends without a newline.

    Raises UsageError for wrong parameters and templates, as `expand` does.
    """
    names = template_names(spec, given, scheduled_at, run=run)
    found = stages(spec, names["params"])
    return flowchart(found, {id: len(made) for id, made in fan_outs(found, names).items()})


def flowchart(found: Sequence[Stage], counts: Mapping[str, int]) -> str:
    """A Mermaid flowchart, left to right: a node for each stage, with its count if it is fanned out; an edge to each stage that
    waits for it, dotted where each item waits for the same item only. The stages of one table stand in a frame."""
    return "\n".join(["flowchart LR", *(f"  {line}" for line in _lines(found, counts))])


def _lines(found: Sequence[Stage], counts: Mapping[str, int]) -> Iterator[str]:
    # Numbers, not names: `end` and other words mean something to Mermaid.
    nodes = {stage.task.id: f"t{i}" for i, stage in enumerate(found)}
    frames: dict[str, list[str]] = {}
    for stage in found:
        id, task = stage.task.id, stage.task
        label = _escaped(id) + (f" × {counts[id]:,}" if task.for_each is not None else "")
        frames.setdefault(stage.names.get("table", ""), []).append(f'{nodes[id]}["{label}"]')
    for i, (table, inside) in enumerate(frames.items()):
        if not table:
            yield from inside
            continue
        yield f'subgraph g{i}["{_escaped(table)}"]'
        yield from (f"  {line}" for line in inside)
        yield "end"
    for stage in found:
        for dependency in stage.task.dependencies:
            arrow = "-.->" if dependency.per is Per.ITEM else "-->"
            yield f"{nodes[dependency.task]} {arrow} {nodes[stage.task.id]}"


def _escaped(text: str) -> str:
    """`text` between quotes in Mermaid: every character that may mean something there is written as its number."""
    return re.sub(r"[^\w -]", lambda found: f"#{ord(found[0])};", text)

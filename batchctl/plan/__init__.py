"""WHAT WOULD HAPPEN: compile, expand, diff, order, safety, render. Pure functions over values: no network, no clock.

desired = compile_pipeline(pipeline, now=now)
plan = make_plan(pipeline, observed, now=now)      # print it, save it, compare it, or apply it
run = expand(pipeline, parameters, scheduled_at, run=run_id(...))
"""

from datetime import datetime

from batchctl.plan.change import Action, Change, Kind, Plan
from batchctl.plan.compile import Desired, compile_pipeline
from batchctl.plan.diff import Observed, diff, run_changes
from batchctl.plan.expand import Run, expand, run_id
from batchctl.plan.graph import graph
from batchctl.plan.pipeline import Pipeline
from batchctl.plan.render import NO_CHANGES, render
from batchctl.plan.safety import refuse_unsafe, warnings
from batchctl.plan.site import Site

__all__ = [
    "NO_CHANGES", "Action", "Change", "Desired", "Kind", "Observed", "Pipeline", "Plan", "Run", "Site", "compile_pipeline",
    "diff", "expand", "graph", "make_plan", "refuse_unsafe", "render", "run_changes", "run_id",
]  # fmt: skip


def make_plan(pipeline: Pipeline, observed: Observed, *, now: datetime) -> Plan:
    """What would be done, at `now`, to make `observed` what the pipeline asks for."""
    desired = compile_pipeline(pipeline, now=now, taken=observed.ended)
    return Plan(
        changes=diff(pipeline, desired, observed, now=now), warnings=tuple(warnings(pipeline, desired))
    )

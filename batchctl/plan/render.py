"""A plan as people read it: one line a change, its reasons below, a count at the end."""

from collections import Counter
from collections.abc import Iterator

from batchctl.plan.change import Action, Change, Kind, Plan

NO_CHANGES = "No changes."

_SIGNS = {Action.CREATE: "+", Action.UPDATE: "~", Action.REPLACE: "-/+", Action.DELETE: "-"}
_DONE = {
    Action.CREATE: "created",
    Action.UPDATE: "updated",
    Action.REPLACE: "replaced",
    Action.DELETE: "ended",
}
_SHOWN_TASKS = 20


def render(plan: Plan, *, done: bool = False) -> str:
    """The plan as text, without colour; ends without a newline. `done`: it has been carried out."""
    return "\n".join(_lines(plan, done))


def _lines(plan: Plan, done: bool) -> Iterator[str]:
    for warning in plan.warnings:
        yield f"warning: {warning}"
    if plan.warnings:
        yield ""
    if not plan.changes:
        yield NO_CHANGES
        return
    hidden = 0
    tasks = 0
    for change in plan.changes:
        if change.kind is Kind.TASK:
            tasks += 1
            if tasks > _SHOWN_TASKS:
                hidden += 1
                continue
        yield from _change(change)
    if hidden:
        yield f"    and {hidden:,} more tasks"
    yield ""
    counts = Counter(change.action for change in plan.changes)
    if done:
        yield "Applied: " + ", ".join(f"{counts[action]} {_DONE[action]}" for action in Action) + "."
    else:
        yield "Plan: " + ", ".join(f"{counts[action]} to {action}" for action in Action) + "."


def _change(change: Change) -> Iterator[str]:
    yield f"{_SIGNS[change.action]:>3} {change.kind} {change.id}"
    for reason in change.why:
        yield f"      {reason}"

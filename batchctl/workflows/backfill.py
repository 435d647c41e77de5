"""`backfill`: runs for occurrences of the past, some at a time; when one ends, the next begins.

All that is needed to go on after an interruption is on the target: a slot's run has always the same id.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from batchctl.errors import RunFailed
from batchctl.plan import Pipeline, expand
from batchctl.plan.backfill import Reprocess, Slot
from batchctl.plan.bodies import SUBMISSION_INTERRUPTED
from batchctl.plan.pipeline import (
    METADATA_PARAMETERS,
    METADATA_RUN,
    METADATA_SCHEDULED_AT,
    METADATA_SKIPPED,
    metadata_of,
)
from batchctl.report import RunState, judge_counts
from batchctl.spec.templates import iso
from batchctl.targets.batch import Batch
from batchctl.workflows.run import remove_run_pool, start_run

_FIRST_WAIT, _LONGEST_WAIT = 0.1, 5.0


@dataclass(frozen=True, kw_only=True)
class Filled:
    """A slot and what became of it."""

    slot: Slot
    attempts: int
    """How many runs it has had."""
    run: str = ""
    """Its last run."""
    state: RunState | None = None
    """How that stands; None if there was none."""
    is_half_submitted: bool = False
    """Whether that run still lacks tasks: its submission was killed."""

    def wants_run(self, reprocess: Reprocess) -> bool:
        """Whether it needs another run."""
        if self.state is None or self.is_half_submitted:
            return True
        failed = self.state in (RunState.FAILED, RunState.CANCELLED, RunState.SKIPPED)
        return self.state is not RunState.RUNNING and (
            reprocess is Reprocess.ALL or (failed and reprocess is Reprocess.FAILED)
        )


def survey(batch: Batch, pipeline: Pipeline, slots: Sequence[Slot]) -> list[Filled]:
    """How each slot stands now."""
    jobs: dict[str, list[dict[str, Any]]] = {}
    for job in sorted(batch.jobs(pipeline.spec.name), key=lambda job: str(job["creationTime"])):
        told = metadata_of(job)
        if METADATA_RUN not in told:
            given = orjson.loads(told.get(METADATA_PARAMETERS, "{}"))
            jobs.setdefault(_key(told.get(METADATA_SCHEDULED_AT, ""), given), []).append(job)
            jobs.setdefault(_key("", given), []).append(job)
    return [
        _filled(
            batch, slot, jobs.get(_key("" if slot.by_parameters else iso(slot.scheduled_at), slot.given), [])
        )
        for slot in slots
    ]


def _key(scheduled_at: str, given: Mapping[str, str]) -> str:
    return orjson.dumps([scheduled_at, dict(given)], option=orjson.OPT_SORT_KEYS).decode()


def _filled(batch: Batch, slot: Slot, jobs: Sequence[dict[str, Any]]) -> Filled:
    counted = [job for job in jobs if METADATA_SKIPPED not in metadata_of(job)] or list(jobs)
    own = sum(1 for job in jobs if "-b" in job["id"])
    if not counted:
        return Filled(slot=slot, attempts=own)
    last = counted[-1]
    reason = (last.get("executionInfo") or {}).get("terminateReason")
    if reason == SUBMISSION_INTERRUPTED:
        return Filled(slot=slot, attempts=own)
    state = judge_counts(last, batch.task_counts(last["id"]))
    half = (
        state is RunState.RUNNING
        and last.get("onAllTasksComplete") == "noaction"
        and "jobManagerTask" not in last
    )
    return Filled(slot=slot, attempts=own, run=str(last["id"]), state=state, is_half_submitted=half)


def backfill(
    batch: Batch,
    pipeline: Pipeline,
    found: Sequence[Filled],
    *,
    reprocess: Reprocess,
    max_active: int,
    sleep: Callable[[float], None],
    story: Callable[[str], None],
) -> list[Filled]:
    """Give every slot that needs one a run, at most `max_active` going at once; how all stand at the end."""
    waiting = deque(one for one in found if one.wants_run(reprocess))
    kept = [one for one in found if not one.wants_run(reprocess)]
    active = [one for one in kept if one.state is RunState.RUNNING]
    done = [one for one in kept if one.state is not RunState.RUNNING]
    wait = _FIRST_WAIT
    while waiting or active:
        while waiting and len(active) < max_active:
            active.append(_start(batch, pipeline, waiting.popleft(), story))
            wait = _FIRST_WAIT
        going = []
        for one in active:
            now_state = judge_counts(batch.job(one.run), batch.task_counts(one.run))
            if now_state is RunState.RUNNING:
                going.append(one)
                continue
            story(f"{one.run} {now_state}")
            remove_run_pool(batch, one.run)
            done.append(replace(one, state=now_state))
        if len(going) == len(active) and (len(active) >= max_active or not waiting):
            sleep(wait)
            wait = min(wait * 1.3, _LONGEST_WAIT)
        active = going
    order = {id(one.slot): i for i, one in enumerate(found)}
    return sorted(done, key=lambda one: order[id(one.slot)])


def _start(batch: Batch, pipeline: Pipeline, one: Filled, story: Callable[[str], None]) -> Filled:
    attempt = one.attempts + 1
    run = one.run if one.is_half_submitted else one.slot.run_id(pipeline.spec.name, attempt)
    story(f"{run} {'goes on' if one.is_half_submitted else 'begins'}")
    try:
        start_run(batch, pipeline, expand(pipeline, one.slot.given, one.slot.scheduled_at, run=run))
    except (
        RunFailed
    ) as error:  # a task failed while others were being added: the run is there, and is judged below
        story(error.message)
    return replace(one, run=run, attempts=attempt, state=RunState.RUNNING, is_half_submitted=False)

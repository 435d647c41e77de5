"""How far a source has been read: a value that advances by generations. Pure: a state in, a state out.

    planned (by a run's first stage) -> claimed (by its load, before the commit) -> advanced (after the commit)

A plan binds nobody. A claim does: whoever comes next finishes the batch that was claimed, under the load id that it
was claimed with, so a load that was committed and not recorded is found to be committed, and only recorded.
"""

import hashlib
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any

import orjson

from batchctl_etl.errors import WorkFailed

FORMAT = 1


class Kind(StrEnum):
    """What the value is: the greatest of a column (as text), names of files, or the validators of a URL."""

    COLUMN = "column"
    FILES = "files"
    ETAG = "etag"


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What is read between one value and the next.

    column: rows after `after` (`None`: from the beginning) up to `until`. files: `files`. etag: what had `validators`.
    """

    after: str | None = None
    until: str | None = None
    files: tuple[str, ...] = ()
    validators: dict[str, str] = field(default_factory=dict)
    is_empty: bool = False


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A batch that the run `run` loads, or has loaded, as `load_id`."""

    run: str
    load_id: str
    batch: Batch


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A batch that a run has read. `load_id`: somebody has begun to load it. `instead_of`: the load id of the claim
    that the batch may take the place of."""

    batch: Batch
    load_id: str | None = None
    instead_of: str | None = None


@dataclass(frozen=True, kw_only=True)
class Watermark:
    """The state. `generation` grows with each change of the value; `last` is the claim that made it."""

    kind: Kind
    of: str
    """The column or URL, for messages."""
    generation: int = 0
    value: Any = None
    last: Claim | None = None
    claim: Claim | None = None
    plans: dict[str, Plan] = field(default_factory=dict)


def read_watermark(content: Any, *, url: str) -> Watermark | None:
    """The state in a document; `None` if there is none. Raises `WorkFailed` for anything else."""
    if content is None:
        return None
    try:
        if content["format"] != FORMAT:
            raise ValueError(f"format {content['format']}")
        return Watermark(
            kind=Kind(content["kind"]),
            of=str(content["of"]),
            generation=int(content["generation"]),
            value=content["value"],
            last=_claim(content["last"]),
            claim=_claim(content["claim"]),
            plans={
                run: Plan(batch=_batch(plan["batch"]), load_id=plan["load_id"], instead_of=plan["instead_of"])
                for run, plan in content["plans"].items()
            },
        )
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise WorkFailed(
            url, f"it is no watermark of ours ({error})", "move it away, or restore it"
        ) from error


def as_content(state: Watermark) -> dict[str, Any]:
    """The inverse of `read_watermark`."""
    return {"format": FORMAT} | asdict(state)


def _batch(content: dict[str, Any]) -> Batch:
    return Batch(**(content | {"files": tuple(content["files"])}))


def _claim(content: dict[str, Any] | None) -> Claim | None:
    return None if content is None else Claim(**(content | {"batch": _batch(content["batch"])}))


def check_kind(state: Watermark, kind: Kind, of: str, *, url: str) -> None:
    """Raises `WorkFailed` if the state is another source's."""
    if (state.kind, state.of) != (kind, of):
        what = f"it is the watermark of {state.kind.value} {state.of!r}, not of {kind.value} {of!r}"
        raise WorkFailed(url, what, "name another state, or begin anew: etl state reset")


@dataclass(frozen=True, kw_only=True)
class Fixed:
    """A batch that is not to be chosen any more. `again`: it was loaded, recorded, and is only repeated."""

    plan: Plan
    again: bool = False


def fixed_batch(state: Watermark, run: str | None) -> Fixed | None:
    """What the run `run` (`None`: by hand) must read, if that was decided before; else it reads what is new."""
    if state.claim is not None and state.kind is not Kind.ETAG:
        return Fixed(plan=Plan(batch=state.claim.batch, load_id=state.claim.load_id))
    if run is not None and run in state.plans and state.kind is not Kind.ETAG:
        return Fixed(plan=state.plans[run])
    if run is not None and state.last is not None and state.last.run == run:
        return Fixed(plan=Plan(batch=state.last.batch, load_id=state.last.load_id), again=True)
    return None


def etag_plan(state: Watermark, batch: Batch) -> Plan:
    """The plan of what a server has now: that of the claim, if it is the same, else in its place."""
    if state.claim is None:
        return Plan(batch=batch)
    if state.claim.batch.validators == batch.validators and batch.validators:
        return Plan(batch=batch, load_id=state.claim.load_id)
    return Plan(batch=batch, instead_of=state.claim.load_id)


def planned(state: Watermark, run: str, plan: Plan) -> Watermark:
    """With the plan of a run."""
    return replace(state, plans=state.plans | {run: plan})


def batch_load_id(load_id: str, batch: Batch) -> str:
    """The load id of one batch: two of the same task, as after a file that changed in between, have two."""
    return f"{load_id}@{hashlib.sha256(orjson.dumps(batch)).hexdigest()[:12]}"


def check_generation(state: Watermark, generation: int, *, url: str) -> None:
    """Raises `WorkFailed` if somebody has advanced the state since it was in `generation`."""
    if state.generation != generation:
        by = f"run {state.last.run}" if state.last else "etl state reset"
        what = f"{by} has advanced it since this run read its source"
        raise WorkFailed(url, what, "nothing was written: run the pipeline again")


def claimed(state: Watermark, plan: Plan, *, generation: int, run: str, load_id: str, url: str) -> Watermark:
    """With the claim to load `plan`, which was made in `generation`. Raises `WorkFailed` for the loser of two."""
    check_generation(state, generation, url=url)
    wanted = Claim(run=run, load_id=plan.load_id or batch_load_id(load_id, plan.batch), batch=plan.batch)
    found = state.claim
    if found is not None and found.load_id not in {wanted.load_id, plan.instead_of}:
        what = f"run {found.run} is loading from the same place, or was killed while it did"
        raise WorkFailed(url, what, "nothing was loaded: when that run has ended, run the pipeline again")
    return replace(state, claim=wanted if found is None or found.load_id != wanted.load_id else found)


def advanced(state: Watermark, claim: Claim, *, generation: int, url: str) -> Watermark | None:
    """After the commit of `claim`: the next generation; `None` if another has recorded that very batch.

    Raises `WorkFailed` if the state is no longer the one that was claimed.
    """
    if state.claim is not None and state.generation == generation and state.claim.load_id == claim.load_id:
        return replace(
            state,
            generation=generation + 1,
            value=_value_after(state, claim.batch),
            last=claim,
            claim=None,
            plans={},
        )
    if state.generation == generation + 1 and state.last and state.last.load_id == claim.load_id:
        return None
    what = f"it was changed while {claim.load_id} was loaded, which is committed"
    raise WorkFailed(url, what, "look at it: etl state show")


def _value_after(state: Watermark, batch: Batch) -> Any:
    if state.kind is Kind.COLUMN:
        return batch.until
    if state.kind is Kind.ETAG:
        return batch.validators
    return sorted({*(state.value or ()), *batch.files})


def reset(state: Watermark, value: Any = None) -> Watermark:
    """Begun anew, or from `value`; plans and claims of before are worth nothing any more."""
    return Watermark(kind=state.kind, of=state.of, generation=state.generation + 1, value=value)

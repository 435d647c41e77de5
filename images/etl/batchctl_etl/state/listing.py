"""How far a source has been read, for people and programs; and beginning anew."""

from typing import Any

from batchctl_etl.errors import WorkFailed
from batchctl_etl.state.changing import change_document
from batchctl_etl.state.watermark import Claim, Kind, Watermark, as_content, read_watermark, reset
from batchctl_etl.storage.documents import Document, read_document


def state_lines(url: str) -> list[str]:
    """The watermark in `url`, one thing in a line. Raises `WorkFailed`."""
    state = _found(url)
    lines = [f"{state.kind.value} {state.of}", f"generation {state.generation}"]
    if state.kind is Kind.FILES:
        lines += [
            f"seen: {len(state.value or ())} files",
            *(f"  {name}" for name in (state.value or ())[-10:]),
        ]
    else:
        lines.append(f"value: {_shown(state.value)}")
    lines += [f"last loaded: {_claim(state.last)}"] if state.last else []
    lines += [f"being loaded, or not finished: {_claim(state.claim)}"] if state.claim else []
    return lines + [f"read by run {run}, not loaded" for run in state.plans]


def state_json(url: str) -> dict[str, Any]:
    """The same as data. Raises `WorkFailed`."""
    return as_content(_found(url))


def reset_state(url: str, value: str | None) -> str:
    """Begin anew, or after `value` (of a column). What is said of it. Raises `WorkFailed`."""

    def changed(found: Document) -> tuple[Any, Watermark]:
        state = read_watermark(found.content, url=url)
        if state is None:
            raise WorkFailed(url, "there is no watermark", "check the URL; a first run makes it")
        if value is not None and state.kind is not Kind.COLUMN:
            raise WorkFailed(
                url, f"it is of {state.kind.value}, which has no value to begin at", "leave out --to"
            )
        return as_content(reset(state, value)), state

    before = change_document(url, changed)
    after = "the beginning" if value is None else value
    unfinished = f"; {_claim(before.claim)} was not finished, or not recorded" if before.claim else ""
    return f"{url}: the next run reads from {after}; it was at {_shown(before.value)}{unfinished}"


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {text}" for key, text in value.items())
    return (
        "the beginning" if value is None else f"{len(value)} files" if isinstance(value, list) else str(value)
    )


def _claim(claim: Claim) -> str:
    batch = claim.batch
    what = f"{len(batch.files)} files" if batch.files else batch.until or _shown(batch.validators)
    return f"{claim.load_id} ({what})"


def _found(url: str) -> Watermark:
    found = read_watermark(read_document(url).content, url=url)
    if found is None:
        raise WorkFailed(url, "there is no watermark", "check the URL; a first run makes it")
    return found

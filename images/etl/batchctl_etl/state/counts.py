"""How many rows the committed runs of a stage had: what a check of `row_count` compares with."""

from datetime import datetime
from typing import Any

from batchctl_etl.errors import WorkFailed
from batchctl_etl.state.changing import change_document
from batchctl_etl.storage.documents import Document, read_document

KEPT = 100


def counts_before(url: str, *, load_id: str) -> list[int]:
    """Rows of the runs in `url`, the latest first, without those of `load_id` itself. Raises `WorkFailed`."""
    return [item["rows"] for item in _entries(read_document(url)) if item["load_id"] != load_id]


def remember_count(url: str, *, load_id: str, rows: int, at: datetime) -> None:
    """Add the count of a load that is committed; a second attempt replaces the first. Raises `WorkFailed`."""

    def added(found: Document) -> tuple[Any, None]:
        entry = {"load_id": load_id, "rows": rows, "at": at.isoformat()}
        entries = _entries(found)
        if any(item["load_id"] == load_id for item in entries):
            changed = [entry if item["load_id"] == load_id else item for item in entries]
        else:
            changed = [entry, *entries][:KEPT]
        return {"counts": changed}, None

    change_document(url, added)


def _entries(found: Document) -> list[dict[str, Any]]:
    if found.content is None:
        return []
    entries = found.content.get("counts") if isinstance(found.content, dict) else None
    if not isinstance(entries, list) or not all(
        isinstance(item, dict) and isinstance(item.get("rows"), int) and "load_id" in item for item in entries
    ):
        raise WorkFailed(found.url, "it is not a history of ours", "move it away: counting then begins anew")
    return entries

"""New tasks into the store: one by one or a hundred at a time, with their dependencies."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import orjson

from batchctl.server.batch.resources.task import task_number
from batchctl.server.batch.scheduler.dependencies import record_wishes
from batchctl.server.batch.store import Row, Store
from batchctl.server.batch.wire import Doc, instant_text, next_etag

_SQL = (
    "INSERT INTO tasks (seq, job, key, number, state, rank, slots, unmet, etag, created, modified, changed, doc) "
    "VALUES (?, ?, ?, ?, 'active', ?, ?, 0, ?, ?, ?, ?, ?)"
)
MANAGER_RANK = 0
PLAIN_RANK = 1


class Added(NamedTuple):
    """What a new task's answer needs."""

    etag: str
    modified: str


def existing_ids(store: Store, job: int, names: Sequence[str]) -> set[str]:
    """Those of `names` (lower-case) that are already tasks of the job."""
    marks = ", ".join("?" * len(names))
    return {
        key
        for (key,) in store.all(f"SELECT key FROM tasks WHERE job = ? AND key IN ({marks})", (job, *names))
    }


def add_tasks(
    store: Store, job: Row, documents: Sequence[Doc], now: datetime, *, rank: int = PLAIN_RANK
) -> list[Added]:
    """Store new tasks of the job; their ids must be new and different from each other."""
    text = instant_text(now)
    added, rows, wishes = [], [], []
    etag: str | None = None
    for seq, doc in zip(store.next_task_seqs(len(documents)), documents, strict=True):
        name = doc["id"]
        etag = next_etag(now, etag)
        added.append(Added(etag, text))
        slots = doc["requiredSlots"]
        fixed = (seq, job.seq, name.lower(), task_number(name), rank, slots, etag, text, text, text)
        rows.append((*fixed, orjson.dumps(doc)))
        if doc.get("dependsOn"):
            wishes.append((seq, doc["dependsOn"]))
    store.many(_SQL, rows)
    for seq, depends in wishes:
        if unmet := record_wishes(store, job.seq, seq, depends):
            store.do("UPDATE tasks SET unmet = ? WHERE seq = ?", (unmet, seq))
    return added

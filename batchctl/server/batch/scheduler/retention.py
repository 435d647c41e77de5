"""How long the folder of a completed task is kept: `retentionTime` after its end (Azure Batch REST, BatchTaskConstraints).

That is "the minimum amount of time". Here it is up to a hundredth more, so that the folders of many tasks go at once.
Only the files go; the task itself stays until it or its job is deleted.
"""

from datetime import UTC, datetime

import orjson

from batchctl.server.batch.scheduler.effects import RemoveFolder
from batchctl.server.batch.store import Store
from batchctl.server.batch.wire import Doc, duration, instant_text, moment_of

_REMOVED_AT_ONCE = 1000
_PARTS = 100
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EXPIRED = "SELECT seq, place FROM tasks WHERE expires <= ? AND expires IS NOT NULL LIMIT ?"
DUE = "SELECT 1 FROM tasks WHERE expires <= ?1 AND expires IS NOT NULL"


def expiry(ended: str, constraints: Doc) -> str | None:
    """When the files of a task that ended then may go; None: never."""
    kept = duration(constraints["retentionTime"])
    if not kept:
        return ended if kept is not None else None
    step = kept / _PARTS
    try:
        return instant_text(_EPOCH - (_EPOCH - moment_of(ended) - kept) // step * step)
    except OverflowError:
        return None


def expire(store: Store, now: datetime) -> list[RemoveFolder]:
    """Give up the folders whose time is over, a bounded number at once; they are to be removed."""
    found = store.all(_EXPIRED, (instant_text(now), _REMOVED_AT_ONCE))
    store.many("UPDATE tasks SET expires = NULL WHERE seq = ?", [(seq,) for seq, _ in found])
    places = [orjson.loads(place) for _, place in found]
    return [RemoveFolder(folder=f"{node}/{folder}", everywhere=False) for _, node, folder in places]

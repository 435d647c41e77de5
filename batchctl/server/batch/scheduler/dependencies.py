"""Task dependencies as counters: `unmet` says how many wishes of a task are open, and it may start at zero.

A wish is one id (a row in `edges`) or one range of ids (a row in `ranges`, counting what it still lacks, and
one in `range_waiters` for each task that waits for it).
Every satisfied task settles the wishes that name it, so nothing is ever searched for.
Source: Azure Batch docs, "Create task dependencies".
"""

from batchctl.server.batch.resources.task import task_number
from batchctl.server.batch.store import Store
from batchctl.server.batch.wire import Doc


def record_wishes(store: Store, job: int, task: int, depends: Doc | None) -> int:
    """Store what the new task waits for; the number of open wishes (ids and ranges not yet satisfied)."""
    if not depends:
        return 0
    names = {name.lower() for name in depends.get("taskIds", ())}
    met = {name for name in names if _is_satisfied(store, job, name)}
    store.many("INSERT INTO edges VALUES (?, ?, ?)", [(job, name, task) for name in names - met])
    unmet = len(names) - len(met)
    spans = {(span["start"], span["end"]) for span in depends.get("taskIdRanges", ())}
    return unmet + sum(_waits_for_range(store, job, task, low, high) for low, high in spans)


def _waits_for_range(store: Store, job: int, task: int, low: int, high: int) -> bool:
    """Note that the task waits for the range, unless that is satisfied. Thousands may share one range."""
    known = store.one("SELECT seq FROM ranges WHERE job = ? AND low = ? AND high = ?", (job, low, high))
    if known is None:
        sql = (
            "SELECT count(DISTINCT number) FROM tasks WHERE job = ? AND number BETWEEN ? AND ? AND satisfied"
        )
        remaining = high - low + 1 - store.one(sql, (job, low, high))[0]
        if not remaining:
            return False
        sql = "INSERT INTO ranges (job, low, high, remaining) VALUES (?, ?, ?, ?)"
        known = (store.insert(sql, (job, low, high, remaining)),)
    store.do("INSERT INTO range_waiters VALUES (?, ?)", (known[0], task))
    return True


def settle_wishes(store: Store, job: int, task: int, name: str) -> None:
    """The task `task` with id `name` is now satisfied: those that waited for it wait for one less."""
    waiting = store.all("SELECT task FROM edges WHERE job = ? AND target = ?", (job, name.lower()))
    if waiting:
        store.do("DELETE FROM edges WHERE job = ? AND target = ?", (job, name.lower()))
        store.many("UPDATE tasks SET unmet = unmet - 1 WHERE seq = ?", waiting)
    number = task_number(name)
    if number is None or store.one("SELECT 1 FROM ranges WHERE job = ? LIMIT 1", (job,)) is None:
        return
    # "4" and "04" are one number: only the first of them counts.
    twin = "SELECT 1 FROM tasks WHERE job = ? AND number = ? AND satisfied AND seq <> ?"
    if store.one(twin, (job, number, task)) is not None:
        return
    where = "job = ? AND low <= ? AND high >= ?"
    store.do(f"UPDATE ranges SET remaining = remaining - 1 WHERE {where}", (job, number, number))
    done = store.all(f"SELECT seq FROM ranges WHERE {where} AND remaining <= 0", (job, number, number))
    waiters = "SELECT task FROM range_waiters WHERE range = ?"
    store.many(f"UPDATE tasks SET unmet = unmet - 1 WHERE seq IN ({waiters})", done)
    store.many("DELETE FROM range_waiters WHERE range = ?", done)
    store.many("DELETE FROM ranges WHERE seq = ?", done)


def _is_satisfied(store: Store, job: int, name: str) -> bool:
    row = store.one("SELECT satisfied FROM tasks WHERE job = ? AND key = ?", (job, name))
    return bool(row and row[0])

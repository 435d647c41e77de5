"""The SQLite connection: one, used from the event loop's thread only, one transaction per request or tick.

WAL with `synchronous=NORMAL`: a commit survives the death of the process (not of the machine's power).
This module must not know what a document means beyond the columns it derives.
"""

import uuid
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import apsw

from batchctl.server.batch.store.aside import Aside
from batchctl.server.batch.store.collection import Collection, Row
from batchctl.server.batch.store.schema import TABLES, TRIGGERS, VERSION
from batchctl.server.batch.wire import INFINITE, Doc, after

_FLAGS = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_NOMUTEX
_MOST_KNOWN = 200
"""So many documents of each kind are remembered from one transaction to the next; if there are more, none."""


class StoreVersionError(RuntimeError):
    """The file was written by another version of the service."""


class Store:
    """Opens (and creates) the file; `close()` it. `path` may be `:memory:` for a store that is not kept."""

    def __init__(self, path: Path | str) -> None:
        self._connection = apsw.Connection(str(path), flags=_FLAGS, statementcachesize=300)
        # Without this a statement is planned again for every new value of LIMIT.
        self._connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
        # One cursor: every answer is read at once, and making a cursor for each question would take as long as a small one.
        self._cursor = self._connection.cursor()
        self._execute = self._cursor.execute
        try:
            # Documents of 2 kB lie badly in pages of 4.
            self.all("PRAGMA page_size = 8192; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL")
            self._create()
        except apsw.Error:
            self.close()  # what was begun would keep others out
            raise
        self.identity = str(self.one("SELECT value FROM facts WHERE name = 'identity'")[0])
        pool_columns = ("changing", "owner", "resize_wake", "scale_wake", "eager_after")
        self.pools = Collection(self, "pools", _pool_columns, changing=pool_columns)
        machine = ("pool", "dedicated", "slots", "cores")
        self.nodes = Collection(
            self, "nodes", _node_columns, fixed=machine, changing=("changing", "wake", "open")
        )
        job_columns = ("pool", "priority", "ending", "auto_end", "deadline", "parallel")
        self.jobs = Collection(self, "jobs", _job_columns, fixed=("schedule",), changing=job_columns)
        self.schedules = Collection(self, "schedules", _schedule_columns, changing=("wake",))
        self._known = [c.known for c in (self.pools, self.nodes, self.jobs, self.schedules)]
        self.aside = Aside(self._name)
        self._task_seq = self.one("SELECT seq FROM sqlite_sequence WHERE name = 'tasks'", default=(0,))[0]

    def _name(self, kind: str, seq: int) -> str:
        """What a user calls the row `seq` of that kind: a pool, node, job, job schedule, task or run."""
        if kind == "run":
            return f"run in {self.one('SELECT folder FROM runs WHERE seq = ?', (seq,), default=(seq,))[0]}"
        if kind == "task":
            job, name = self.one("SELECT job, key FROM tasks WHERE seq = ?", (seq,), default=(0, seq))
            row = self.jobs.at(job)
            return f"task {name} of job {row.doc['id'] if row else '?'}"
        tables = {"pool": self.pools, "node": self.nodes, "job": self.jobs, "job schedule": self.schedules}
        row = tables[kind].at(seq)
        return f"{kind} {row.doc['id'] if row else seq}"

    def _create(self) -> None:
        version = self.one("PRAGMA user_version")[0]
        if version == VERSION:
            return
        if version != 0:
            self.close()
            raise StoreVersionError(f"the store has version {version}, this service needs {VERSION}")
        identity = str(uuid.uuid4())
        fact = f"INSERT INTO facts VALUES ('identity', '{identity}');"
        self._execute(f"BEGIN; {TABLES} {TRIGGERS} {fact} PRAGMA user_version = {VERSION}; COMMIT;")

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def transaction(self) -> "Transaction":
        """All changes inside, or none when it raises."""
        return Transaction(self._connection, self._execute, self._known)

    def do(self, sql: str, arguments: Sequence[Any] = ()) -> None:
        """Run one statement."""
        self._execute(sql, arguments)

    def insert(self, sql: str, arguments: Sequence[Any] = ()) -> int:
        """Run one INSERT; the new row's seq."""
        self._execute(sql, arguments)
        return self._connection.last_insert_rowid()

    def many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run one statement for each row."""
        self._cursor.executemany(sql, rows)

    def all(self, sql: str, arguments: Sequence[Any] = ()) -> list[Any]:
        """Every row."""
        return self._execute(sql, arguments).fetchall()

    def one(self, sql: str, arguments: Sequence[Any] = (), *, default: Any = None) -> Any:
        """The first row, or `default`."""
        row = self._execute(sql, arguments).fetchone()
        return default if row is None else row

    @property
    def changes(self) -> int:
        """How many rows were ever changed through this connection; equal before and after means: nothing was."""
        return self._connection.total_changes()

    def next_task_seqs(self, count: int) -> range:
        """`count` fresh places in the order of tasks. Places handed out in a rolled-back transaction are lost."""
        first = self._task_seq + 1
        self._task_seq += count
        return range(first, first + count)


class Transaction:
    """A context: what is done inside is committed at its end, or undone when it raises."""

    def __init__(
        self,
        connection: apsw.Connection,
        execute: Callable[[str], object],
        known: Sequence[dict[int, Row]],
    ) -> None:
        self._connection = connection
        self._execute = execute
        self._known = known

    def __enter__(self) -> None:
        for rows in self._known:
            if len(rows) > _MOST_KNOWN:
                rows.clear()
        self._execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        is_kept = False
        try:
            if kind is None:
                self._execute("COMMIT")
                is_kept = True
        finally:
            if not is_kept:
                self._undo()

    def _undo(self) -> None:
        for rows in self._known:
            rows.clear()
        if self._connection.in_transaction:  # SQLite may have rolled back by itself, as on a full disk
            self._execute("ROLLBACK")


def _pool_columns(doc: Doc) -> tuple[Any, ...]:
    return (
        int(doc["allocationState"] != "steady" or doc["state"] == "deleting"),
        doc.get("_owner"),
        doc.get("_until") if doc["allocationState"] == "resizing" else None,
        doc.get("_scaleWake") if doc["state"] == "active" else None,
        doc.get("_eagerAfter"),
    )


def _node_columns(doc: Doc) -> tuple[Any, ...]:
    return (
        doc["_pool"],
        int(doc["isDedicated"]),
        doc["_slots"],
        doc.get("_cores", 1),
        int(doc["state"] in ("creating", "starting", "rebooting", "reimaging", "deallocating")),
        doc.get("_wake"),
        int(doc["state"] in ("idle", "running") and doc["schedulingState"] == "enabled"),
    )


def _job_columns(doc: Doc) -> tuple[Any, ...]:
    state = doc["state"]
    pool = doc["executionInfo"].get("poolId")
    live = state in ("active", "disabling", "disabled", "enabling")
    wall_clock = doc["constraints"].get("maxWallClockTime", INFINITE)
    return (
        doc.get("_schedule"),
        pool.lower() if pool else None,
        doc["priority"],
        int(state in ("disabling", "enabling", "terminating", "deleting")),
        int(state == "active" and doc["onAllTasksComplete"] == "terminatejob"),
        after(doc["executionInfo"]["startTime"], wall_clock) if live else None,
        doc["maxParallelTasks"],
    )


def _schedule_columns(doc: Doc) -> tuple[Any, ...]:
    return (doc.get("_wake"),)

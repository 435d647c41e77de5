"""DuckDB as a target. Its file belongs to one process at a time; we wait for it, up to a limit."""

import fcntl
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb
import stamina

from batchctl_etl.errors import WorkFailed
from batchctl_etl.retries import tell_retries
from batchctl_etl.storage.streams import disk_errors
from batchctl_etl.tables.duckdb_stage import DuckdbStage

_INTEGERS = frozenset(
    {*("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"), "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"}
)
_DECIMAL = re.compile(r"DECIMAL\((\d+),\s*(\d+)\)")


class Locked(Exception):
    """Another process has the database open."""


class DuckdbEngine(DuckdbStage):
    """A stage in `folder`, which is the caller's to delete, and a target in the file `path`."""

    def __init__(self, path: Path, *, folder: Path, where: str, lock_timeout_seconds: float) -> None:
        super().__init__(folder, where=where)
        self._path = path.absolute()
        self._lock_timeout_seconds = lock_timeout_seconds

    def has_target(self) -> bool:
        return self._path.exists()

    @contextmanager
    def attached(self) -> Iterator[None]:
        with disk_errors(str(self._path.parent), "made"):
            self._path.parent.mkdir(parents=True, exist_ok=True)
        self._attach()
        self.query("BEGIN")
        try:
            yield
            self.query("COMMIT")
        except BaseException:
            with suppress(WorkFailed):
                self.query("ROLLBACK")
            raise
        finally:
            # What was committed is in the log beside the file, also if there is no room to take it over: whoever opens
            # the database next does that.
            with suppress(WorkFailed):
                self.query("DETACH target")

    def _attach(self) -> None:
        tell_retries(self._where)
        try:
            for attempt in stamina.retry_context(
                on=Locked, attempts=None, timeout=self._lock_timeout_seconds, wait_initial=0.1, wait_max=1.0
            ):
                with attempt:
                    self._attach_once()
        except Locked as error:
            seconds = f"{self._lock_timeout_seconds:g} s"
            raise WorkFailed(
                self._where,
                f"another process has the database open, also after {seconds}",
                "end it, or try later",
            ) from error

    def _attach_once(self) -> None:
        literal = "'" + str(self._path).replace("'", "''") + "'"
        try:
            self._connection.execute(f"ATTACH {literal} AS target")
        except duckdb.Error as error:
            if is_locked(self._path):
                raise Locked("another process has the database open") from error
            remedy = "check the path, its permissions and that it is DuckDB's"
            raise WorkFailed(self._where, str(error), remedy) from error

    def columns(self, table: str) -> dict[str, str]:
        sql = (
            "SELECT column_name, data_type FROM duckdb_columns() WHERE database_name = 'target' "
            "AND schema_name = 'main' AND lower(table_name) = lower(?) ORDER BY column_index"
        )
        return {row[0]: row[1] for row in self.query(sql, table)}

    def fits(self, source: str, table: str) -> bool:
        if source in _INTEGERS and table in _INTEGERS:
            return True  # A number that is too large fails by itself.
        left, right = _DECIMAL.fullmatch(source), _DECIMAL.fullmatch(table)
        if left and right:
            return int(left[2]) <= int(right[2])  # Fewer digits after the point would be rounded in silence.
        return bool(self.query(f"SELECT can_cast_implicitly(NULL::{source}, NULL::{table})")[0][0])


def is_locked(path: Path) -> bool:
    """Whether another process holds the lock that DuckDB takes: a POSIX record lock on the whole file."""
    try:
        with path.open("r+b") as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:
        return isinstance(error, BlockingIOError)
    except OSError:
        return False
    return False

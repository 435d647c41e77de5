"""What the account may have: settable limits, so that a program can be tried against the refusals they cause.

Kept in the store, because the scheduler decides from the store alone. Source: Azure Batch docs, "Batch service quotas
and limits". The local service has no limits of its own.
"""

from dataclasses import asdict, dataclass

import orjson

from batchctl.server.batch.errors import ServiceError
from batchctl.server.batch.store import Store

_FACT = "quota"


@dataclass(frozen=True, kw_only=True)
class Quota:
    """Every limit is a number, or None for no limit.

    `dedicated_cores` and `low_priority_cores`: a resize beyond them ends with the error `AccountCoreQuotaReached`.
    `nodes`: how many nodes there are to be had at all; a resize beyond them waits for its `resizeTimeout` and ends with
    `AllocationTimedout`. `pools`: one more is refused (409 `PoolQuotaReached`). `active_jobs_and_schedules`: one more
    is refused (409 `ActiveJobAndScheduleQuotaReached`).
    """

    dedicated_cores: int | None = None
    low_priority_cores: int | None = None
    nodes: int | None = None
    pools: int | None = None
    active_jobs_and_schedules: int | None = None


NO_LIMITS = Quota()


@dataclass(frozen=True, kw_only=True)
class Room:
    """How many nodes of a kind can still be added: by the account's cores, and by what is to be had."""

    by_cores: int
    by_capacity: int


_ENDLESS = 10**9


def read_quota(store: Store) -> Quota:
    """The account's limits."""
    row = store.one("SELECT value FROM facts WHERE name = ?", (_FACT,))
    return Quota(**orjson.loads(row[0])) if row else NO_LIMITS


def write_quota(store: Store, quota: Quota) -> None:
    """Set the account's limits; what is there already stays."""
    text = orjson.dumps(asdict(quota)).decode()
    store.do("INSERT OR REPLACE INTO facts (name, value) VALUES (?, ?)", (_FACT, text))


def room_for_nodes(store: Store, *, dedicated: bool, cores: int) -> Room:
    """What may be added of nodes with so many cores each."""
    quota = read_quota(store)
    limit = quota.dedicated_cores if dedicated else quota.low_priority_cores
    by_cores = by_capacity = _ENDLESS
    if limit is not None:
        sql = "SELECT coalesce(sum(cores), 0) FROM nodes WHERE dedicated = ?"
        by_cores = max(0, limit - store.one(sql, (int(dedicated),))[0]) // cores
    if quota.nodes is not None:
        by_capacity = max(0, quota.nodes - store.one("SELECT count(*) FROM nodes")[0])
    return Room(by_cores=by_cores, by_capacity=by_capacity)


def has_room_for_pool(store: Store) -> bool:
    """May there be one more pool?"""
    limit = read_quota(store).pools
    return limit is None or store.one("SELECT count(*) FROM pools")[0] < limit


def check_pool_quota(store: Store) -> None:
    """Raise PoolQuotaReached if there may be no more pools."""
    if not has_room_for_pool(store):
        raise ServiceError("PoolQuotaReached")


def check_active_quota(store: Store) -> None:
    """Raise ActiveJobAndScheduleQuotaReached if there may be no more active jobs and schedules."""
    limit = read_quota(store).active_jobs_and_schedules
    if limit is None:
        return
    jobs = store.one("SELECT count(*) FROM jobs WHERE state <> 'completed'")[0]
    schedules = store.one("SELECT count(*) FROM schedules WHERE state <> 'completed'")[0]
    if jobs + schedules >= limit:
        raise ServiceError("ActiveJobAndScheduleQuotaReached")

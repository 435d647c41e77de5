"""Pool usage metrics: core hours per pool and half hour. Source: Azure Batch REST, BatchPoolUsageMetrics."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from batchctl.server.batch.wire import Doc, instant_text

INTERVAL = timedelta(minutes=30)
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


class Life(NamedTuple):
    """One node's time in its pool; `ended` is None while it lasts."""

    pool: str
    size: str
    cores: int
    began: datetime
    ended: datetime | None


def interval_of(moment: datetime) -> datetime:
    """The beginning of the half hour in which `moment` lies."""
    return _EPOCH + (moment - _EPOCH) // INTERVAL * INTERVAL


def metrics_views(lives: Iterable[Life], begin: datetime, end: datetime, now: datetime) -> list[Doc]:
    """BatchPoolUsageMetrics of every half hour that begins in begin..end and in which a pool had nodes, in order."""
    hours: defaultdict[tuple[datetime, str, str], float] = defaultdict(float)
    for life in lives:
        ended = min(life.ended or now, end)
        start = max(interval_of(life.began), interval_of(begin))
        while start < ended:
            if start >= begin:
                overlap = min(ended, start + INTERVAL) - max(life.began, start)
                hours[start, life.pool, life.size] += overlap / timedelta(hours=1) * life.cores
            start += INTERVAL
    return [
        {
            "poolId": pool,
            "startTime": instant_text(start),
            "endTime": instant_text(start + INTERVAL),
            "vmSize": size,
            "totalCoreHours": round(total, 6),
        }
        for (start, pool, size), total in sorted(hours.items())
    ]

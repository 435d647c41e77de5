"""`$expand=stats` of a pool. Source: Azure Batch REST, BatchPoolStatistics.

The core time is measured; what nodes use of this machine's processors, memory, disks and network is not, and is 0.
"""

from datetime import datetime, timedelta

from batchctl.server.batch.wire import Doc, duration_text, instant_text

_UNMEASURED = (
    "avgCPUPercentage",
    "avgMemoryGiB",
    "peakMemoryGiB",
    "avgDiskGiB",
    "peakDiskGiB",
    "diskReadIOps",
    "diskWriteIOps",
    "diskReadGiB",
    "diskWriteGiB",
    "networkReadGiB",
    "networkWriteGiB",
)


def statistics_view(pool: Doc, core_time: timedelta, now: datetime) -> Doc:
    """The stats of a pool (as an answer) whose dedicated nodes took `core_time` so far."""
    span = {"startTime": pool["creationTime"], "lastUpdateTime": instant_text(now)}
    used = duration_text(core_time // timedelta(microseconds=1) * 10)
    return {
        "url": f"{pool['url']}/stats",
        **span,
        "usageStats": {**span, "dedicatedCoreTime": used},
        "resourceStats": span | dict.fromkeys(_UNMEASURED, 0),
    }

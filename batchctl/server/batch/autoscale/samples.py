"""The metrics a formula can ask for, and how it asks: `GetSample` and its kin over a history of samples.

A sample stands for 30 seconds. Intervals look back from now; a doubleVec of samples goes from the oldest to the
newest (the published text does not say which way round).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

SAMPLE_PERIOD = timedelta(seconds=30)

METRICS = (
    "$ActiveTasks",
    "$RunningTasks",
    "$PendingTasks",
    "$SucceededTasks",
    "$FailedTasks",
    "$CurrentDedicatedNodes",
    "$CurrentLowPriorityNodes",
    "$PreemptedNodeCount",
    "$SampleNodeCount",
    "$CPUPercent",
    "$WallClockSeconds",
    "$MemoryBytes",
    "$DiskBytes",
    "$DiskReadBytes",
    "$DiskWriteBytes",
    "$DiskReadOps",
    "$DiskWriteOps",
    "$NetworkInBytes",
    "$NetworkOutBytes",
)

Argument = float | datetime | timedelta


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """One metric at the instant `now`: its samples (instant, value), oldest first, and its value now."""

    samples: Sequence[tuple[datetime, float]]
    current: float
    now: datetime

    def get_sample(self, arguments: Sequence[Argument]) -> tuple[float, ...]:
        """`GetSample(count)`, `GetSample(start[, percent])` or `GetSample(start, end[, percent])`.

        Raises ValueError for other arguments, and when fewer than `percent` of the samples are there.
        """
        if len(arguments) == 1 and isinstance(arguments[0], float):
            count = int(arguments[0])
            if count < 0:
                raise ValueError("GetSample: the count must not be negative")
            return tuple(value for _, value in self.samples[max(0, len(self.samples) - count) :])
        *span, percent = arguments if isinstance(arguments[-1], float) else (*arguments, None)
        begin, end = self._window(span)
        found = tuple(value for at, value in self.samples if begin < at <= end)
        if isinstance(percent, float) and self._percent(len(found), begin, end) < percent:
            raise ValueError(f"GetSample: fewer than {percent:g} percent of the samples are available")
        return found

    def get_sample_percent(self, arguments: Sequence[Argument]) -> float:
        """How many of the samples between `start` and `end` (or now) there are, 0 to 100. Raises ValueError."""
        begin, end = self._window(arguments)
        return self._percent(sum(begin < at <= end for at, _ in self.samples), begin, end)

    def history_begin(self) -> datetime:
        """The instant of the oldest sample; now if there is none."""
        return self.samples[0][0] if self.samples else self.now

    def _window(self, span: Sequence[Argument | None]) -> tuple[datetime, datetime]:
        instants = [self._instant(bound) for bound in span]
        if not 1 <= len(instants) <= 2:
            raise ValueError("GetSample: expected a start time and perhaps an end time")
        # Two look-back intervals are published both ways round: (1 minute, 6 minutes) and (10 minutes, 0).
        begin, end = sorted(instants) if len(instants) == 2 else (instants[0], self.now)
        return begin, end

    def _instant(self, bound: Argument | None) -> datetime:
        if isinstance(bound, timedelta):
            return self.now - bound
        if isinstance(bound, datetime):
            return bound
        raise ValueError("GetSample: a time frame is given by timestamps or timeintervals")

    @staticmethod
    def _percent(available: int, begin: datetime, end: datetime) -> float:
        possible = max(1, round((end - begin) / SAMPLE_PERIOD))
        return min(100.0, 100.0 * available / possible)

"""Reports on runs: the verdict and the table. Pure: what the service and the lake said comes in as values."""

from batchctl.report.pool_trouble import pool_trouble
from batchctl.report.run_report import RunReport, TaskReport, run_report
from batchctl.report.verdict import RunState, Verdict, judge, judge_counts

__all__ = [
    "RunReport",
    "RunState",
    "TaskReport",
    "Verdict",
    "judge",
    "judge_counts",
    "pool_trouble",
    "run_report",
]

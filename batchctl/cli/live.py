"""A run while it goes on: a live table of its stages on a terminal, a line for each change elsewhere. On stderr: it is story."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from batchctl.cli import console

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

    from batchctl.report import RunReport, TaskReport


class Display(Protocol):
    """Whatever shows reports."""

    def show(self, report: "RunReport") -> None:
        """Show what has changed."""


@contextmanager
def display() -> Iterator[Display]:
    """A live table on a terminal, plain lines elsewhere."""
    if not console.is_terminal():
        yield Lines()
        return
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(stderr=True), refresh_per_second=4, transient=True) as live:
        yield LiveTable(live)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """The tasks of a run that came from one task of the jobspec."""

    name: str
    counts: Counter[str]
    tasks: int
    seconds: float | None

    @property
    def state(self) -> str:
        """The word that matters most."""
        order = ("failed", "running", "stopped", "not run", "succeeded", "waiting")
        if self.counts["waiting"] and self.counts["succeeded"] and not self.counts["failed"]:
            return "running"
        return next(word for word in order if self.counts[word])

    @property
    def done(self) -> int:
        """How many tasks have ended."""
        return self.counts["succeeded"] + self.counts["failed"] + self.counts["stopped"]


def stages(report: "RunReport", now: datetime) -> list[Stage]:
    """The stages of a run, in the order of their first task."""
    grouped: dict[str, list[TaskReport]] = {}
    for task in report.tasks:
        grouped.setdefault(task.stage, []).append(task)
    return [_stage(name, tasks, now) for name, tasks in grouped.items()]


def _stage(name: str, tasks: "list[TaskReport]", now: datetime) -> Stage:
    starts = [task.started_at for task in tasks if task.started_at]
    open_ended = any(task.state == "running" for task in tasks)
    ends = [now] if open_ended else [task.finished_at for task in tasks if task.finished_at]
    seconds = (max(ends) - min(starts)).total_seconds() if starts and ends else None
    return Stage(name=name, counts=Counter(task.state for task in tasks), tasks=len(tasks), seconds=seconds)


def duration(seconds: float | None) -> str:
    """`0.4s`, `12s`, `3m05s`, `2h10m`; `-` for None."""
    if seconds is None:
        return "-"
    if seconds < 10:
        return f"{max(seconds, 0):.1f}s"
    if seconds < 60:
        return f"{seconds:.0f}s"
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest:02}s" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02}m"


@dataclass
class Lines:
    """One line when a stage changes its state, and at each tenth of a large one."""

    told: dict[str, tuple[str, int]] = field(default_factory=dict)
    why: str = ""

    def show(self, report: "RunReport") -> None:
        if not report.is_over and report.verdict.why not in ("", self.why):
            console.story(f"waiting: {report.verdict.why}")
        self.why = report.verdict.why
        for stage in stages(report, datetime.now(UTC)):
            tenth = stage.done * 10 // stage.tasks if stage.tasks > 1 else 0
            if stage.state == "waiting" or self.told.get(stage.name) == (stage.state, tenth):
                continue
            self.told[stage.name] = (stage.state, tenth)
            many = f"  {stage.done}/{stage.tasks}" if stage.tasks > 1 else ""
            took = f"  {duration(stage.seconds)}" if stage.state in ("succeeded", "failed", "stopped") else ""
            console.story(f"{stage.name}  {stage.state}{many}{took}")


class LiveTable:
    """The stages, redrawn in place."""

    def __init__(self, live: "Live") -> None:
        self.live = live

    def show(self, report: "RunReport") -> None:
        from rich.console import Group
        from rich.text import Text

        why = report.verdict.why if not report.is_over else ""
        table = self._table(report)
        self.live.update(Group(table, Text(f"waiting: {why}")) if why else table)

    def _table(self, report: "RunReport") -> "Table":
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        table = Table(box=None, pad_edge=False, header_style="dim")
        for name in ("STAGE", "STATE", "", "TASKS", "TIME"):
            table.add_column(name, justify="right" if name in ("TASKS", "TIME") else "left")
        styles = {"succeeded": "green", "failed": "red", "running": "cyan"}
        for stage in stages(report, datetime.now(UTC)):
            table.add_row(
                stage.name,
                f"[{styles.get(stage.state, 'dim')}]{stage.state}[/]",
                ProgressBar(total=stage.tasks, completed=stage.done, width=20),
                f"{stage.done}/{stage.tasks}",
                duration(stage.seconds),
            )
        return table


def report_table(report: "RunReport") -> None:
    """A run's tasks as a table on stdout; stages of over 20 tasks as one row."""
    now = datetime.now(UTC)
    rows = []
    for stage in stages(report, now):
        tasks = [task for task in report.tasks if task.stage == stage.name]
        if stage.tasks > 20:
            exits = sorted({str(task.exit_code) for task in tasks if task.exit_code})
            rows_total = sum(task.rows or 0 for task in tasks)
            state = stage.state
            rows.append([f"{stage.name} ({stage.done}/{stage.tasks})", state, ",".join(exits) or "-",
                         duration(stage.seconds), f"{rows_total:,}" if rows_total else "-"])  # fmt: skip
            tasks = [task for task in tasks if task.state == "failed"][:20]
        for task in tasks:
            code = "-" if task.exit_code is None else str(task.exit_code)
            count = "-" if task.rows is None else f"{task.rows:,}"
            rows.append([task.id, task.state, code, duration(task.seconds(now)), count])
    console.table(("task", "state", "exit", "time", "rows"), rows)


def pause(seconds: float) -> None:
    """Wait; the one place of the program that does."""
    time.sleep(seconds)

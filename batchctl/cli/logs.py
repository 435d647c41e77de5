"""`batchctl logs RUN [TASK]`"""

from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from batchctl.cli import console
from batchctl.cli.options import RunName, Target, settings_for
from batchctl.errors import UsageError

if TYPE_CHECKING:
    from batchctl.workflows.logs import TaskLog


class Stream(StrEnum):
    """Which of a task's streams."""

    BOTH = "both"
    STDOUT = "stdout"
    STDERR = "stderr"


_ENDED = ("succeeded", "failed", "stopped")

TaskName = Annotated[str | None, typer.Argument(metavar="[TASK]", help="Only this task.", show_default=False)]


def logs(
    run: RunName,
    task: TaskName = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on as the tasks print, to the end of the run.")
    ] = False,
    failed: Annotated[bool, typer.Option("--failed", help="Only the tasks that failed.")] = False,
    stream: Annotated[Stream, typer.Option("--stream", help="Which stream.")] = Stream.BOTH,
    target: Target = None,
) -> None:
    """Print what a run's tasks printed, byte for byte; also after its pool is gone.

    The output of one task comes as it is; of several, each line begins with its task.
    """
    from batchctl.cli.live import pause
    from batchctl.targets.lake import open_lake
    from batchctl.workflows.logs import STREAMS, TaskLog
    from batchctl.workflows.recorded import FORGOTTEN, find_recorded
    from batchctl.workflows.target import open_batch
    from batchctl.workflows.watch import find_run, last_record, report

    settings = settings_for(target)
    lake = open_lake(f"{settings.lake}runs/")
    streams: Sequence[str] = STREAMS if stream is Stream.BOTH else (stream.value,)
    with open_batch(settings, console.story) as batch:
        try:
            name = find_run(batch, run, now=datetime.now(UTC))
        except UsageError:
            name = find_recorded(lake, run) or ""
            if not name:
                raise
            console.story(f"{name}: {FORGOTTEN}")
            chosen = _chosen(lake.names(name), task, name)
            if failed:
                chosen = [one for one in chosen if last_record(lake, name, one).get("exit_code") != 0]
            if failed and not chosen:
                console.story(f"no task of {name} has failed")
                return
            Printer(chosen).show([TaskLog(None, lake, name, one, streams) for one in chosen]).end(name)
            return
        found = report(batch, None, name)
        printer = Printer(_chosen([t.id for t in found.tasks], task, name))
        open_logs: dict[str, TaskLog] = {}
        while True:
            for one in found.tasks:
                begun = one.state in ("running", *_ENDED)
                if begun and (one.state == "failed" or not failed) and task in (None, one.id):
                    open_logs.setdefault(one.id, TaskLog(batch, lake, name, one.id, streams))
            over = {t.id for t in found.tasks if t.state in _ENDED}  # as known before we read
            printer.show([log for log in open_logs.values() if log.task not in printer.ended])
            printer.ended |= over & set(open_logs)
            if not follow or found.is_over or console.reader_is_gone():
                if failed and not open_logs:
                    console.story(f"no task of {name} has failed")
                    return
                printer.end("" if follow else name)
                if not printer.printed and found.verdict.why:
                    console.story(found.verdict.why)
                return
            pause(0.5)
            found = report(batch, None, name)


def _chosen(tasks: Sequence[str], wanted: str | None, run: str) -> Sequence[str]:
    if wanted is None:
        return tasks
    if wanted not in tasks:
        shown = ", ".join(tasks[:10]) + (" …" if len(tasks) > 10 else "")
        raise UsageError(
            f"run {run} has no task {wanted}", hint=f"there is {shown}" if tasks else "it has no tasks yet"
        )
    return [wanted]


class Printer:
    """Prints logs: of one task byte for byte, of several with the task before each line."""

    def __init__(self, tasks: Sequence[str]) -> None:
        self.width = max(map(len, tasks), default=0) if len(tasks) > 1 else 0
        self.ended: set[str] = set()
        """Tasks of which everything was printed."""
        self.printed = False
        self.rests: dict[tuple[str, str], bytes] = {}
        """The last line of each stream, as far as it has come."""

    def show(self, found: "Sequence[TaskLog]") -> "Printer":
        """Print what is new."""
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(8) as pool:
            for log, parts in zip(found, pool.map(lambda log: list(log.read()), found), strict=True):
                for stream, data in parts:
                    self._print(log.task, stream, data)
        return self

    def end(self, run: str) -> None:
        """Print lines that were begun; with `run`, say so if nothing was printed at all."""
        for (task, _), rest in self.rests.items():
            if rest:
                console.answer_bytes(self._start(task) + rest + b"\n")
        if run and not self.printed:
            console.story(f"nothing was printed in {run}")

    def _print(self, task: str, stream: str, data: bytes) -> None:
        self.printed = True
        if not self.width:
            console.answer_bytes(data)
            return
        *lines, rest = (self.rests.pop((task, stream), b"") + data).split(b"\n")
        self.rests[task, stream] = rest
        console.answer_bytes(b"".join(self._start(task) + line + b"\n" for line in lines))

    def _start(self, task: str) -> bytes:
        return f"{task.ljust(self.width)} | ".encode()

"""How a build and a push are seen while they go on: the log as it comes, a bar for each layer on a terminal. On stderr."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from batchctl.cli import console

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from batchctl.targets.engine_stream import Event, LayerProgress
    from batchctl.workflows.images import Show

_ENDS = ("Pushed", "Layer already exists", "Pull complete", "Already exists", "Mounted from ")
"""Words of the engine, or their beginnings, after which a layer is where it should be."""


@contextmanager
def shown() -> "Iterator[Show]":
    """What to call with an image's name and each event."""
    if not console.is_terminal():
        yield Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(binary_units=False))
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield Bars(progress)


def megabytes(size: int | None) -> str:
    """`123456789` -> `123.5 MB`; `-` for None."""
    if size is None:
        return "-"
    return f"{size / 1e6:,.1f} MB" if size >= 100_000 else f"{size / 1e3:,.1f} kB"


@dataclass
class Lines:
    """Every line of the log, and one line for each layer that has arrived."""

    sizes: dict[str, int] = field(default_factory=dict)

    def __call__(self, name: str, event: "Event") -> None:
        from batchctl.targets.engine_stream import LogLine

        if isinstance(event, LogLine):
            console.story(f"{name} | {event.text}")
            return
        if event.total:
            self.sizes[event.layer] = event.total
        if event.status.startswith(_ENDS):
            size = f"  {megabytes(self.sizes[event.layer])}" if event.layer in self.sizes else ""
            console.story(f"{name} | layer {event.layer}  {event.status.lower()}{size}")


class Bars:
    """The log above, a bar for each layer below."""

    def __init__(self, progress: "Progress") -> None:
        self.progress = progress
        self.tasks: dict[tuple[str, str], TaskID] = {}

    def __call__(self, name: str, event: "Event") -> None:
        from batchctl.targets.engine_stream import LogLine

        if isinstance(event, LogLine):
            self.progress.console.print(f"{name} | {event.text}", markup=False, highlight=False)
            return
        self._bar(name, event)

    def _bar(self, name: str, event: "LayerProgress") -> None:
        key = (name, event.layer)
        if key not in self.tasks:
            self.tasks[key] = self.progress.add_task("", total=None)
        task = self.tasks[key]
        self.progress.update(task, description=f"{name} {event.layer} {event.status.lower()}")
        if event.total:
            self.progress.update(task, total=max(event.total, event.current), completed=event.current)
        if event.status.startswith(_ENDS):
            total = self.progress.tasks[self.progress.task_ids.index(task)].total or 1
            self.progress.update(task, total=total, completed=total)

"""How a build and a push are seen: lines for a file, bars for a terminal."""

import io

import pytest
from rich.console import Console
from rich.progress import Progress

from batchctl.cli.image_progress import Bars, Lines, megabytes
from batchctl.targets.engine_stream import LayerProgress, LogLine


def layer(status: str, current: int = 0, total: int = 0, name: str = "a1") -> LayerProgress:
    return LayerProgress(layer=name, status=status, current=current, total=total)


def test_lines_tell_each_layer_once(capsys: pytest.CaptureFixture[str]) -> None:
    show = Lines()
    for event in (LogLine(text="[red]Step 1/2"), layer("Pushing", 1, 2_500_000), layer("Pushing", 2_500_000, 2_500_000),
                  layer("Pushed"), layer("Layer already exists", name="b2"), layer("Mounted from other/etl", name="c3")):  # fmt: skip
        show("etl", event)
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines() == [
        "etl | [red]Step 1/2", "etl | layer a1  pushed  2.5 MB", "etl | layer b2  layer already exists",
        "etl | layer c3  mounted from other/etl",
    ]  # fmt: skip


def test_bars_have_one_for_each_layer_of_each_image() -> None:
    progress = Progress(console=Console(file=io.StringIO(), force_terminal=True, width=100))
    show = Bars(progress)
    show("etl", LogLine(text="[red]not markup[/blue]"))
    show("etl", layer("Pushing", 10, 100))
    show("conductor", layer("Pushing", 120, 100))
    show("etl", layer("Pushed"))
    show("etl", layer("Layer already exists", name="b2"))
    show("etl", layer("Mounted from other/etl", name="c3"))
    bars = [(task.description, task.completed, task.total) for task in progress.tasks]
    assert bars == [
        ("etl a1 pushed", 100, 100), ("conductor a1 pushing", 120, 120), ("etl b2 layer already exists", 1, 1),
        ("etl c3 mounted from other/etl", 1, 1),
    ]  # fmt: skip


def test_sizes() -> None:
    sizes = (None, 0, 999, 99_999, 100_000, 123_456_789)
    assert [megabytes(size) for size in sizes] == ["-", "0.0 kB", "1.0 kB", "100.0 kB", "0.1 MB", "123.5 MB"]

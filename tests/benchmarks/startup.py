"""How long a command takes before it does anything: against `import typer`, the framework's own floor."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.table import Row

ROOT = Path(__file__).parents[2]
RUNS = 15


def rows() -> Iterator[Row]:
    batchctl = str(Path(sys.executable).parent / "batchctl")
    reference = [sys.executable, "-c", "import typer"]
    for what, command in (
        ("batchctl --help", [batchctl, "--help"]),
        ("batchctl validate", [batchctl, "validate", "jobspecs/weather.yaml"]),
    ):
        pairs = [(_seconds(command), _seconds(reference)) for _ in range(RUNS + 1)][1:]
        ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
        ratio = statistics.median(a / b for a, b in pairs)
        yield Row(
            what=what, ours=ours * 1000, reference=theirs * 1000, unit="ms", ratio=ratio, goal="<= 3",
            note='reference: python -c "import typer"',
        )  # fmt: skip


def _seconds(command: list[str]) -> float:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    start = time.perf_counter()
    subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start

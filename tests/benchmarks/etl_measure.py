"""A program measured: the seconds that it took, and the most memory it ever had."""

import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Medians: `seconds` of wall time, `cpu` seconds, `megabytes` of memory at the highest (of the program itself)."""

    seconds: float
    cpu: float
    megabytes: float


LAUNCH = """
import os, subprocess, sys, time
began = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
print(time.perf_counter() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
os._exit(os.waitstatus_to_exitcode(status) != 0)
"""
"""A process that forks begins with the memory of its parent, and the system remembers that: so the parent is a small one."""


def measured(command: Sequence[str | Path], environ: Mapping[str, str], folder: Path) -> Measured:
    """Run `command` once. Raises `RuntimeError` with what it said if it fails."""
    done = subprocess.run(
        [sys.executable, "-S", "-u", "-c", LAUNCH, *command],
        cwd=folder, env=os.environ | dict(environ), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]}: {done.stderr[-2000:]}")
    seconds, cpu, megabytes = map(float, done.stdout.split())
    return Measured(seconds=seconds, cpu=cpu, megabytes=megabytes)


def medians(programs: Mapping[str, Callable[[], Measured]], runs: int) -> dict[str, Measured]:
    """Each program `runs` times, in turns, so that all meet the same disturbances."""
    found: dict[str, list[Measured]] = {name: [] for name in programs}
    for _ in range(runs):
        for name, program in programs.items():
            found[name].append(program())
    return {
        name: Measured(
            seconds=statistics.median(item.seconds for item in items),
            cpu=statistics.median(item.cpu for item in items),
            megabytes=statistics.median(item.megabytes for item in items),
        )
        for name, items in found.items()
    }

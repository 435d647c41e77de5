"""kill -9 in a loop: the service dies at random moments while dependent tasks run, and nothing may come of it.

500 tasks, each after two others of the layer before; each writes when it began and when it ended. After every kill the
service is started again, and more tasks are added while it waits for the next. At the end: each task's effect is there,
none began before what it waits for had ended, every accepted task is there, and no process is left over.
"""

import os
import random
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import stamina

from batchctl.errors import TargetError
from batchctl.server import daemon
from batchctl.targets.batch import Batch
from batchctl.targets.connect import connect
from batchctl.targets.submit import submit
from tests.benchmarks.table import Row

TASKS = 500
KILLS = 50
WIDTH = 20
LONGEST_LIFE_SECONDS = 1.0
_SECONDS = 300.0
_MARK = "AZ_BATCH_NODE_ROOT_DIR="


@dataclass(frozen=True, kw_only=True)
class Found:
    """What is left after a story; the first four should be 0."""

    lost: int
    without_effect: int
    out_of_order: int
    orphans: int
    kills: int
    reruns: int
    seconds: float


def rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        found = story(Path(folder), tasks=TASKS, kills=KILLS, seed=1)
    for what, count in (
        ("tasks lost", found.lost),
        ("tasks without effect", found.without_effect),
        ("tasks before what they wait for", found.out_of_order),
        ("processes left over", found.orphans),
    ):
        yield Row(
            what=what, ours=count, reference=TASKS, unit="", goal="= 0", ratio=count / TASKS,
            note=f"{found.kills} times kill -9 in {found.seconds:.0f} s, {found.reruns} tasks run again",
        )  # fmt: skip


def story(folder: Path, *, tasks: int, kills: int, seed: int) -> Found:
    """Run `tasks` dependent tasks while the service is killed `kills` times, at moments that `seed` decides."""
    chance = random.Random(seed)
    state, effects = folder / "state", folder / "effects"
    effects.mkdir()
    begun, killed = time.monotonic(), 0
    bodies = [_body(number, effects) for number in range(tasks)]
    first = bodies[: tasks // 2]
    try:
        with _running(state) as batch:
            batch.create_pool({"id": "p", "vmSize": "x", "targetDedicatedNodes": 4, "taskSlotsPerNode": 4})
            batch.create_job({"id": "j", "poolInfo": {"poolId": "p"}, "usesTaskDependencies": True})
            submit(batch, "j", first)
        later = bodies[tasks // 2 :]
        while killed < kills:
            service = daemon.start(state)
            with _killer(service.pid, chance.random() * LONGEST_LIFE_SECONDS):
                later = _add_some(service, later, tasks // kills)
            killed += 1
        with _running(state) as batch:
            submit(batch, "j", later)
            _wait_for(batch, tasks)
            found = batch.tasks("j")
    finally:
        daemon.stop(state)
    reruns = sum(task["executionInfo"]["requeueCount"] > 0 for task in found)
    return Found(
        lost=tasks - len({task["id"] for task in found}),
        without_effect=sum(not (effects / f"{number}.end").exists() for number in range(tasks)),
        out_of_order=sum(not _in_order(number, effects) for number in range(tasks)),
        orphans=len(_processes_of(state)),
        kills=killed,
        reruns=reruns,
        seconds=time.monotonic() - begun,
    )


def _add_some(service: daemon.Service, bodies: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """Try to add the first `count` tasks; those that are still to be added. Refused is not accepted."""
    with (
        connect(service.endpoint, account=service.account, key=service.key) as batch,
        suppress(TargetError),
        stamina.set_testing(True, attempts=1),
    ):
        submit(batch, "j", bodies[:count])
        return bodies[count:]
    return bodies


def _running(state: Path) -> Batch:
    service = daemon.start(state)
    return connect(service.endpoint, account=service.account, key=service.key)


def _body(number: int, effects: Path) -> dict[str, Any]:
    """A task that notes when each of its tries began and, last, that it ended."""
    note = (
        f"date +%s%N >> {effects}/{number}.begin; sleep 0.{number % 7}; date +%s%N > {effects}/{number}.end"
    )
    body: dict[str, Any] = {"id": str(number), "commandLine": f"/bin/sh -c '{note}'"}
    if number >= WIDTH:
        body["dependsOn"] = {"taskIds": [str(before) for before in _waits_for(number)]}
    return body


def _waits_for(number: int) -> list[int]:
    row, place = divmod(number, WIDTH)
    return sorted({(row - 1) * WIDTH + place, (row - 1) * WIDTH + (place + 1) % WIDTH}) if row else []


@contextmanager
def _killer(pid: int, seconds: float) -> Iterator[None]:
    """The process dies that long after the beginning, whatever goes on in the block."""
    timer = threading.Timer(seconds, os.kill, (pid, signal.SIGKILL))
    timer.start()
    yield
    timer.join()


def _wait_for(batch: Batch, tasks: int) -> None:
    deadline = time.monotonic() + _SECONDS
    while batch.task_counts("j")["completed"] < tasks:
        if time.monotonic() > deadline:
            raise TargetError(f"not done after {_SECONDS:.0f} s: {batch.task_counts('j')}")
        time.sleep(0.05)


def _in_order(number: int, effects: Path) -> bool:
    """Did even its first try begin after the last try's end of all that the task waits for?

    A task that had ended is run again if the service died before it noted that; what waits for it waits still.
    """
    begun = int((effects / f"{number}.begin").read_text().split()[0])
    return all(int((effects / f"{before}.end").read_text()) <= begun for before in _waits_for(number))


def _processes_of(state: Path) -> list[int]:
    """The living processes that belong to a node of this service, or are the service."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and str(state).encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
    return found

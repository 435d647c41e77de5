"""The local service: small tasks, a large store, pages, and rest, each against a plain reference of the same run."""

import os
import sqlite3
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from batchctl.server import daemon
from batchctl.targets.batch import Batch
from batchctl.targets.connect import connect
from batchctl.targets.submit import submit
from tests.benchmarks.table import Row

TRIVIAL = 1_000
RUNS = 3
STORED = 100_000
PAGE = 1_000
PAGES_TIMED = 9
SCHEDULES = 100
REST_SECONDS = 20.0
_TICKS = os.sysconf("SC_CLK_TCK")


def rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        yield _trivial_tasks(Path(folder) / "trivial")
        yield from _large_store(Path(folder) / "large")
        yield _rest(Path(folder) / "rest")


def _trivial_tasks(state: Path) -> Row:
    """1,000 times `true` on 4 nodes x 4 slots, from the first request to the last completion."""
    service = daemon.start(state)
    try:
        with connect(service.endpoint, account=service.account, key=service.key) as batch:
            batch.create_pool({"id": "p", "vmSize": "x", "targetDedicatedNodes": 4, "taskSlotsPerNode": 4})
            pairs = [(_run_tasks(batch, f"j{i}"), _spawn_loop()) for i in range(RUNS + 1)][1:]
    finally:
        daemon.stop(state)
    ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    return Row(
        what=f"{TRIVIAL:,} tasks `true`, 4 x 4 slots", ours=ours, reference=theirs, unit="s", goal="<= 5",
        ratio=statistics.median(a / b for a, b in pairs), note="reference: a loop that spawns `true` and waits",
    )  # fmt: skip


def _run_tasks(batch: Batch, job: str) -> float:
    batch.create_job({"id": job, "poolInfo": {"poolId": "p"}})
    start = time.perf_counter()
    submit(batch, job, [{"id": f"t{i}", "commandLine": "true"} for i in range(TRIVIAL)])
    while batch.task_counts(job)["succeeded"] < TRIVIAL:
        time.sleep(0.05)
    return time.perf_counter() - start


def _spawn_loop() -> float:
    start = time.perf_counter()
    for _ in range(TRIVIAL):
        subprocess.run(["true"], check=True)
    return time.perf_counter() - start


def _large_store(state: Path) -> Iterator[Row]:
    """100,000 completed tasks in the store: memory of the service, and pages at the front and at the end."""
    _fill(state)
    service = daemon.start(state)
    try:
        with connect(service.endpoint, account=service.account, key=service.key) as batch:
            assert batch.task_counts("j")["succeeded"] == STORED
            last = _last_token(batch)
            front, end = _page_seconds(batch, None), _page_seconds(batch, last)
            memory = _peak_megabytes(service.pid)
    finally:
        daemon.stop(state)
    yield Row(
        what=f"memory, {STORED:,} completed tasks", ours=memory, reference=300, unit="MB", goal="<= 1",
        ratio=memory / 300, note="highest resident size, after listing all of them",
    )  # fmt: skip
    yield Row(
        what=f"a page of {PAGE:,} tasks at the end", ours=end * 1000, reference=front * 1000, unit="ms",
        goal="<= 1.1", ratio=end / front, note="reference: the first page",
    )  # fmt: skip


def _fill(state: Path) -> None:
    """The tasks are added by requests; that they ran is then written into the store, to save the time."""
    service = daemon.start(state)
    try:
        with connect(service.endpoint, account=service.account, key=service.key) as batch:
            batch.create_job({"id": "j", "poolInfo": {"poolId": "none"}})
            submit(batch, "j", [{"id": f"t{i}", "commandLine": "true"} for i in range(STORED)])
    finally:
        daemon.stop(state)
    store = sqlite3.connect(state / "batch.sqlite")
    execution = b'{"retryCount":0,"requeueCount":0,"exitCode":0,"result":"success"}'
    store.execute("UPDATE tasks SET state = 'completed', result = 'success', execution = ?", (execution,))
    store.commit()
    store.close()


def _page(batch: Batch, token: str | None) -> Any:
    """The first page behind the token, and the token of the next one."""
    pages = batch.client.list_tasks("j", max_results=PAGE).by_page(continuation_token=token)
    found = list(next(pages))
    assert len(found) == PAGE
    return pages.continuation_token  # type: ignore[attr-defined]


def _last_token(batch: Batch) -> str:
    token, following = None, _page(batch, None)
    while following:
        token, following = following, _page(batch, following)
    assert token is not None
    assert parse_qs(urlsplit(token).query)["$skiptoken"]
    return str(token)


def _page_seconds(batch: Batch, token: str | None) -> float:
    return statistics.median(_timed(lambda: _page(batch, token)) for _ in range(PAGES_TIMED))


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _peak_megabytes(pid: int) -> float:
    (line,) = (text for text in Path(f"/proc/{pid}/status").read_text().splitlines() if "VmHWM" in text)
    return int(line.split()[1]) / 1024


def _rest(state: Path) -> Row:
    """100 active schedules, none of which is due: processor time of the service."""
    service = daemon.start(state)
    try:
        with connect(service.endpoint, account=service.account, key=service.key) as batch:
            first = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
            for i in range(SCHEDULES):
                plan = {"recurrenceInterval": "PT1H", "doNotRunUntil": first}
                body = {"id": f"s{i}", "schedule": plan, "jobSpecification": {"poolInfo": {"poolId": "p"}}}
                batch.create_job_schedule(body)
        before = _processor_seconds(service.pid)
        time.sleep(REST_SECONDS)
        used = (_processor_seconds(service.pid) - before) / REST_SECONDS * 100
    finally:
        daemon.stop(state)
    return Row(
        what=f"{SCHEDULES} active schedules, idle", ours=used, reference=2, unit="% of a core", goal="<= 1",
        ratio=used / 2, note=f"processor time in {REST_SECONDS:.0f} s",
    )  # fmt: skip


def _processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS

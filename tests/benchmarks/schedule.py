"""Schedules: what it costs to turn cron lines into job schedules, and to live through a year of them.

Times are CPU seconds: they do not grow when others use the machine.
"""

import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice, product
from pathlib import Path

from batchctl.errors import Refused
from batchctl.plan import Pipeline, Site, compile_pipeline
from batchctl.schedule import Dst, Duplicate, Missing, decompose, occurrence, parse, zone
from batchctl.spec import load
from tests.acceptance.test_virtual_year import a_year
from tests.benchmarks.table import Row

ROOT = Path(__file__).parents[2]
SPEC = ROOT / "jobspecs" / "weather.yaml"
SPECS = 1000
PLANS = 7
NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)
SITE = Site(target="local", zones={}, runs_url="file:///runs/", autoscale=False, containers=False)

MINUTES = ("0", "30", "5,35", "*/15", "17")
HOURS = ("6", "2", "*", "*/6", "9-17")
DAYS = ("* * *", "* * 1-5", "* * 6", "1 * *", "*/2 * *", "1-7 * 1", "1 1,4,7,10 *", "* 3-10 sun")
ZONES = ("America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Tokyo", "Africa/Casablanca")

_IMPORTS = """
from datetime import UTC, datetime
from pathlib import Path
from batchctl.plan import Observed, Pipeline, Site, make_plan, render
from batchctl.spec import load
"""
_PLAN = """
site = Site(target="local", zones={z: "file:///lake/" for z in ("raw", "staging", "curated", "jobspec")}, runs_url="file:///runs/", containers=False)
pipeline = Pipeline(spec=load(Path("jobspecs/weather.yaml")), site=site)
plan = make_plan(pipeline, Observed(), now=datetime.now(UTC))
assert plan.changes
render(plan)
"""


def rows() -> Iterator[Row]:
    yield from _many_specs()
    yield _every_minute()
    yield _one_plan()
    yield _year()


def _many_specs() -> Iterator[Row]:
    base = load(SPEC)
    lines = islice(product(product(MINUTES, HOURS, DAYS), ZONES), SPECS)
    pipelines = [
        Pipeline(spec=base.model_copy(update={"schedule": schedule}), site=SITE)
        for schedule in (
            base.schedule.model_copy(update={"cron": " ".join(line), "timezone": zone})
            for line, zone in lines
        )
    ]
    occurrence.stretches_of_day.cache_clear()
    times, refused = [], 0
    for pipeline in pipelines:
        start = time.process_time()
        with suppress(Refused):
            compile_pipeline(pipeline, now=NOW)
            refused -= 1
        refused += 1
        times.append(time.process_time() - start)
    start = time.process_time()
    for _ in range(20):
        load(SPEC)
    loading = (time.process_time() - start) / 20
    mean = statistics.mean(times)
    yield Row(
        what=f"{SPECS:,} specs compiled and decomposed, per spec", ours=mean * 1000, reference=loading * 1000, unit="ms",
        ratio=mean / loading, goal="<= 1", note=f"reference: loading a spec; {refused} refused, over their budget",
    )  # fmt: skip
    yield Row(
        what="the dearest of them", ours=max(times), reference=0.2, unit="s", ratio=max(times) / 0.2, goal="<= 1",
        note="reference: 0.2 s of CPU",
    )  # fmt: skip


def _every_minute() -> Row:
    """The line with the most occurrences; where clocks change it is not good for ever."""
    cron, dst, times = parse("* * * * *"), Dst(missing=Missing.SHIFT, duplicate=Duplicate.FIRST), []
    for name in ZONES:
        start = time.process_time()
        decompose(cron, zone(name), dst, after=NOW)
        times.append(time.process_time() - start)
    return Row(
        what="every minute, of the repeated ones the first, decomposed", ours=max(times), reference=0.2, unit="s",
        ratio=max(times) / 0.2, goal="<= 1", note=f"reference: 0.2 s of CPU; the dearest of {len(ZONES)} zones",
    )  # fmt: skip


def _one_plan() -> Row:
    pairs = [(_cpu(_IMPORTS + _PLAN), _cpu(_IMPORTS)) for _ in range(PLANS + 1)][1:]
    ours = statistics.median(a - b for a, b in pairs)
    imports = statistics.median(b for _, b in pairs)
    return Row(
        what="plan of jobspecs/weather.yaml, beyond imports", ours=ours, reference=0.2, unit="s", ratio=ours / 0.2,
        goal="<= 1", note=f"reference: 0.2 s of CPU; the imports alone take {imports:.2f} s",
    )  # fmt: skip


def _cpu(program: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _year() -> Row:
    start = time.process_time()
    service, _ = a_year()
    seconds = time.process_time() - start
    return Row(
        what=f"400 days of ten pipelines, {service.started:,} jobs", ours=seconds, reference=30, unit="s",
        ratio=seconds / 30, goal="<= 1", note=f"reference: 30 s; {seconds / service.started * 1e6:.0f} us a job",
    )  # fmt: skip

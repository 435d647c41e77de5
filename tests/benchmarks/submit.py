"""10,000 tasks submitted, not run: our submission against the same prepared bodies posted with bare HTTP."""

import base64
import hashlib
import hmac
import http.client
import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson

from batchctl.server import daemon
from batchctl.targets.batch import Batch
from batchctl.targets.connect import connect
from batchctl.targets.submit import PARALLEL, chunks, submit
from tests.benchmarks.table import Row

TASKS = 10_000
RUNS = 5
PATH = "/jobs/{}/addtaskcollection"
QUERY = "api-version=2025-06-01"


def rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        service = daemon.start(Path(folder))
        try:
            with connect(service.endpoint, account=service.account, key=service.key) as batch:
                pairs = [_pair(service, batch, f"n{i}") for i in range(RUNS + 1)][1:]
        finally:
            daemon.stop(Path(folder))
    ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    yield Row(
        what=f"submit {TASKS:,} tasks", ours=ours, reference=theirs, unit="s", goal="<= 2",
        ratio=statistics.median(a / b for a, b in pairs), note="reference: bare HTTP, prepared bodies",
    )  # fmt: skip
    yield Row(
        what="submitted tasks/s", ours=TASKS / ours, reference=5000, unit="/s", goal=">= 1", ratio=TASKS / ours / 5000,
        note="reference: 5,000 tasks/s",
    )  # fmt: skip


def _pair(service: daemon.Service, batch: Batch, name: str) -> tuple[float, float]:
    tasks = [_task(i) for i in range(TASKS)]
    bodies = [orjson.dumps({"value": chunk}) for chunk in chunks(tasks)]
    for job in (f"{name}-ours", f"{name}-bare"):
        batch.create_job(
            {
                "id": job,
                "poolInfo": {"poolId": "none"},
                "usesTaskDependencies": True,
                "onTaskFailure": "performexitoptionsjobaction",
            }
        )
    start = time.perf_counter()
    count = submit(batch, f"{name}-ours", tasks)
    ours = time.perf_counter() - start
    start = time.perf_counter()
    _post_all(service, f"{name}-bare", bodies)
    theirs = time.perf_counter() - start
    for job in (f"{name}-ours", f"{name}-bare"):
        assert batch.task_counts(job)["active"] == TASKS == count
    return ours, theirs


def _task(i: int) -> dict[str, Any]:
    settings = [{"name": f"BATCHCTL_{n}", "value": "2026-01-15T06:00:00Z"} for n in range(7)]
    return {
        "id": f"extract-{i}",
        "displayName": "extract",
        "commandLine": "stage-run -- etl extract",
        "environmentSettings": [*settings, {"name": "BATCHCTL_CONFIG", "value": '{"source":{"url":"x"}}'}],
        "constraints": {"maxTaskRetryCount": 3},
        "requiredSlots": 1,
        "exitConditions": {"default": {"jobAction": "terminate", "dependencyAction": "block"}},
    }


def _post_all(service: daemon.Service, job: str, bodies: list[bytes]) -> None:
    def work(share: list[bytes]) -> None:
        connection = http.client.HTTPConnection(str(urlsplit(service.endpoint).netloc))
        for body in share:
            connection.request("POST", f"{PATH.format(job)}?{QUERY}", body, _headers(service, job, len(body)))
            response = connection.getresponse()
            answer = response.read()
            assert response.status == 200, answer
        connection.close()

    with ThreadPoolExecutor(PARALLEL) as pool:
        list(pool.map(work, [bodies[i::PARALLEL] for i in range(PARALLEL)]))


def _headers(service: daemon.Service, job: str, length: int) -> dict[str, str]:
    date, kind = formatdate(usegmt=True), "application/json; odata=minimalmetadata"
    signed = ["POST", "", "", str(length), "", kind, "", "", "", "", "", "", f"ocp-date:{date}"]
    text = "\n".join(signed) + f"\n/{service.account}{PATH.format(job)}\napi-version:2025-06-01"
    mac = hmac.new(base64.b64decode(service.key), text.encode(), hashlib.sha256).digest()
    return {
        "Content-Type": kind,
        "ocp-date": date,
        "Authorization": f"SharedKey {service.account}:{base64.b64encode(mac).decode()}",
    }

"""Random requests against a service in a process of its own: no 500, no hang, no state that a restart cannot load.

The service is killed (kill -9) and started again in between; after every start all its resources must be readable.
"""

import http.client
import json
import math
import os
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

from batchctl.server import daemon
from batchctl.server.batch.auth import signature, string_to_sign
from tests.benchmarks.fuzz_requests import Request, Requests
from tests.benchmarks.table import Row

SECONDS = 300.0
SEED = 1
REQUESTS_PER_LIFE = 1_500
REQUESTS_PER_FOUNDATION = 50
HANG_SECONDS = 10.0
_FOUNDATION: tuple[tuple[str, dict[str, Any]], ...] = (
    ("/pools", {"id": "a", "vmSize": "x", "targetDedicatedNodes": 2, "targetLowPriorityNodes": 1}),
    ("/jobs", {"id": "a", "poolInfo": {"poolId": "a"}, "usesTaskDependencies": True}),
    ("/jobs/a/tasks", {"id": "a", "commandLine": "true"}),
    ("/jobschedules", {"id": "s", "schedule": {}, "jobSpecification": {"poolInfo": {"poolId": "a"}}}),
)
"""What is there (again) again and again, so that most requests meet something."""
_LISTS = ("/pools", "/jobs", "/jobschedules", "/nodecounts")


@dataclass
class Findings:
    """What came of a story. `broken` are requests answered with 500 or an answer that is not Batch's."""

    requests: int = 0
    restarts: int = 0
    seconds: float = 0.0
    broken: list[str] = field(default_factory=list)
    hung: list[str] = field(default_factory=list)
    unloadable: list[str] = field(default_factory=list)
    statuses: "Counter[int]" = field(default_factory=Counter)
    accepted: "Counter[str]" = field(default_factory=Counter)
    slowest: tuple[float, str] = (0.0, "")


def rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        found = story(Path(folder), seconds=SECONDS, seed=SEED)
    for what, problems in (
        ("answers of 500, or not Batch's", found.broken),
        ("requests without an answer", found.hung),
        ("restarts that could not read the state", found.unloadable),
    ):
        yield Row(
            what=what, ours=len(problems), reference=found.requests, unit="", goal="= 0",
            ratio=len(problems) / found.requests, note="; ".join(sorted(set(problems))[:3]) or f"{found.restarts} restarts",
        )  # fmt: skip
    yield Row(
        what="slowest request", ours=found.slowest[0], reference=HANG_SECONDS, unit="s", goal="<= 1",
        ratio=found.slowest[0] / HANG_SECONDS, note=f"{found.requests:,} requests in {found.seconds:.0f} s",
    )  # fmt: skip


def story(
    state: Path,
    *,
    seed: int,
    seconds: float = math.inf,
    requests: float = math.inf,
    requests_per_life: int = REQUESTS_PER_LIFE,
) -> Findings:
    """Send random requests for so long, or so many; the service is killed and started again after `requests_per_life`."""
    found, supply = Findings(), Requests(seed)
    begun = time.monotonic()
    try:
        while time.monotonic() - begun < seconds and found.requests < requests:
            service = daemon.start(state)
            _read_everything(service, found)
            for number in range(requests_per_life):
                if time.monotonic() - begun >= seconds or found.requests >= requests:
                    break
                if number % REQUESTS_PER_FOUNDATION == 0:
                    for path, body in _FOUNDATION:
                        _send(service, _post(path, body), found)
                    supply.nodes = [node["id"] for node in _read(service, "/pools/a/nodes", found)]
                _send(service, supply.next(), found)
            with suppress(ProcessLookupError):
                os.kill(service.pid, signal.SIGKILL)
            found.restarts += 1
        _read_everything(daemon.start(state), found)
    finally:
        daemon.stop(state)
    log = (state / "service.log").read_text(errors="replace")
    if "Traceback" in log:
        found.broken.append(f"the log has a traceback: {log.rsplit('Traceback', 1)[1][-400:]}")
    found.seconds = time.monotonic() - begun
    return found


def _post(path: str, body: dict[str, Any]) -> Request:
    query = "api-version=2025-06-01"
    return Request(operation="", method="POST", path=path, query=query, body=json.dumps(body).encode())


def _send(service: daemon.Service, request: Request, found: Findings) -> None:
    found.requests += 1
    name = f"{request.method} {unquote_plus(request.path)}?{unquote_plus(request.query)} {request.body!r}"
    start = time.monotonic()
    try:
        status, kind, data = _exchange(service, request)
    except TimeoutError:
        found.hung.append(name)
        return
    except (OSError, http.client.HTTPException) as problem:
        found.hung.append(f"{name}: {problem!r}")
        return
    found.slowest = max(found.slowest, (time.monotonic() - start, name))
    found.statuses[status] += 1
    if status < 300:
        found.accepted[request.operation] += 1
    if (status >= 500 and not _is_allowed(status, data)) or not _is_batch_shaped(request, status, kind, data):
        found.broken.append(f"{status} for {name}: {data[:200]!r}")


def _is_allowed(status: int, data: bytes) -> bool:
    """Not implemented, and the one answer of "busy" that the service's documentation promises."""
    return status == 501 or (status == 503 and b"TooManyEnableAutoScaleRequests" in data)


def _is_batch_shaped(request: Request, status: int, kind: str, data: bytes) -> bool:
    if status < 400 or request.method == "HEAD":
        return True
    try:
        body = json.loads(data)
        return "json" in kind and bool(body["code"]) and bool(body["message"]["value"])
    except (ValueError, KeyError, TypeError):
        return False


def _exchange(service: daemon.Service, request: Request) -> tuple[int, str, bytes]:
    headers = {name.lower(): value for name, value in request.headers.items()}
    headers["ocp-date"] = formatdate(usegmt=True)
    if request.body is not None:
        headers |= {"content-length": str(len(request.body)), "content-type": "application/json"}
    length = headers.get("content-length", "")
    text = string_to_sign(
        request.method, request.path, request.query, headers, account=service.account, content_length=length
    )
    headers["authorization"] = f"SharedKey {service.account}:{signature(text, service.key)}"
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=HANG_SECONDS)
    try:
        connection.request(request.method, f"{request.path}?{request.query}", request.body, headers)
        response = connection.getresponse()
        return response.status, response.headers.get("content-type", ""), response.read()
    finally:
        connection.close()


def _read_everything(service: daemon.Service, found: Findings) -> None:
    """All lists, and every job's tasks and pool's nodes, whatever the random requests made of them."""
    lists: dict[str, list[dict[str, Any]]] = {path: _read(service, path, found) for path in _LISTS}
    for job in lists["/jobs"]:
        _read(service, f"/jobs/{job['id']}/tasks", found)
    for pool in lists["/pools"]:
        _read(service, f"/pools/{pool['id']}/nodes", found)


def _read(service: daemon.Service, path: str, found: Findings) -> list[dict[str, Any]]:
    request = Request(operation="", method="GET", path=path, query="api-version=2025-06-01")
    try:
        status, _, data = _exchange(service, request)
    except (OSError, http.client.HTTPException) as problem:
        found.unloadable.append(f"{path}: {problem!r}")
        return []
    # A pool may go between two questions.
    if status not in (200, 404):
        found.unloadable.append(f"{path}: {status} {data[:200]!r}")
    value: list[dict[str, Any]] = json.loads(data).get("value", [])
    return value

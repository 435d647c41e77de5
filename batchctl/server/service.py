"""Which service runs for a state directory: the record it writes, and the proof that it is true.

A record is believed only if the endpoint answers with the identity of that directory's store: a process id
alone proves nothing, it may have been given to somebody else.
"""

import http.client
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from batchctl.server.state_dir import StateDir

_ANSWER_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class Service:
    """A running local service: where it is, how to sign in, and which process it is."""

    endpoint: str
    account: str
    key: str
    pid: int
    port: int


def find(state: Path) -> Service | None:
    """The service that runs for `state`, or None: its process lives and its endpoint answers as this directory's."""
    try:
        record: dict[str, Any] = json.loads(StateDir(Path(state).absolute()).record.read_bytes())
        service = Service(**{name: record[name] for name in ("endpoint", "account", "key", "pid", "port")})
        if not _lives(service.pid):
            return None
        identity = _answer(service.port).get("identity")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, http.client.HTTPException):
        return None
    return service if identity == record.get("identity") else None


def _lives(pid: int) -> bool:
    """Whether there is such a process that can still do something: one that its parent has not waited for cannot."""
    os.kill(pid, 0)
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state != "Z"


def write_record(directory: StateDir, service: Service, identity: str, *, stays: bool) -> None:
    """Say, in one atomic step, that this process serves the directory; `stays`: until it is told to end."""
    text = json.dumps({**asdict(service), "identity": identity, "started": time.time(), "stays": stays})
    fresh = directory.record.with_suffix(".new")
    fresh.write_text(text)
    fresh.chmod(0o600)
    fresh.replace(directory.record)


def was_to_stay(directory: StateDir) -> bool:
    """Whether a service that was killed here had been told to stay: one that ends as it should leaves no record."""
    try:
        return directory.stay.exists() or bool(json.loads(directory.record.read_bytes()).get("stays"))
    except (OSError, ValueError, AttributeError):
        return False


def set_aside(service: Service) -> list[str]:
    """What the service has set aside because of a bug, a line each; its log says more."""
    try:
        warnings: list[str] = _answer(service.port).get("aside", [])
    except (OSError, ValueError, http.client.HTTPException):
        return []
    return warnings


def _answer(port: int) -> dict[str, Any]:
    """Who answers on that port of this machine. Not through a proxy, whatever the environment says."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_ANSWER_SECONDS)
    try:
        connection.request("GET", "/.batchctl/identity")
        answer: dict[str, Any] = json.loads(connection.getresponse().read())
        return answer
    finally:
        connection.close()

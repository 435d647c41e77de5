"""The stages as a user runs them, in this process; and a web server that misbehaves on demand."""

import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import stamina
from batchctl_etl.main import main


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one call of `etl` did."""

    exit_code: int
    report: dict[str, Any]
    stderr: str


Etl = Callable[..., Outcome]


@pytest.fixture
def etl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Etl]:
    """`etl("load", config, run="r1")`: run a stage in `tmp_path/work`, as task `load` of run `r1` if one is named.

    Afterwards no test may have left a temporary file, in the work folder or in TMPDIR.
    """
    work, temporary = tmp_path / "work", tmp_path / "tmp"
    work.mkdir()
    temporary.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    for name in ("BATCHCTL_RUN", "AZ_BATCH_TASK_ID", "BATCHCTL_REPORT", "BATCHCTL_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    previous = signal.getsignal(signal.SIGTERM)

    def run(stage: str, config: Any, *, run: str | None = None) -> Outcome:
        report = tmp_path / "report.json"
        report.unlink(missing_ok=True)
        with monkeypatch.context() as patch:
            patch.setenv("BATCHCTL_CONFIG", config if isinstance(config, str) else json.dumps(config))
            patch.setenv("BATCHCTL_REPORT", str(report))
            if run is not None:
                patch.setenv("BATCHCTL_RUN", run)
                patch.setenv("AZ_BATCH_TASK_ID", "load")
            exit_code = main([stage])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        found = json.loads(report.read_text()) if report.exists() else {}
        if exit_code == 0:
            assert json.loads(captured.out) == found
        return Outcome(exit_code=exit_code, report=found, stderr=captured.err)

    yield run
    signal.signal(signal.SIGTERM, previous)
    assert [path for path in work.rglob("*") if path.name.startswith(".")] == []
    assert list(temporary.iterdir()) == []


Reply = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Answers the n-th request with the n-th reply, and the rest with the last."""

    protocol_version = "HTTP/1.1"
    server: "Server"  # type: ignore[assignment]

    def do_GET(self) -> None:
        number = len(self.server.requests)
        self.server.requests.append({name.lower(): value for name, value in self.headers.items()})
        replies = self.server.replies
        replies[min(number, len(replies) - 1)](self)

    def log_message(self, *_: Any) -> None: ...

    def reply(self, status: int, body: bytes = b"", *, sent: int | None = None, **headers: str) -> None:
        """Announce `body` and send its first `sent` bytes (all by default), then drop the connection if some are left."""
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body[:sent])
        if sent is not None:
            self.close_connection = True


@dataclass
class Server(ThreadingHTTPServer):
    """Set `replies` before the first request; read `requests` (their headers) after the last."""

    replies: list[Reply] = field(default_factory=list)
    requests: list[dict[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # A client may leave in the middle.
            super().handle_error(request, client_address)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def no_pauses() -> Iterator[None]:
    """Retries without waiting; as many as are configured."""
    with stamina.set_testing(True, attempts=100, cap=True):
        yield

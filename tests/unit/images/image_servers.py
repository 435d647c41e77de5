"""Servers that say what a test wants: a registry, an engine."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Request:
    """What the server was asked."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Answer:
    """What it says."""

    status: int = 200
    body: Any = b""
    headers: dict[str, str] = field(default_factory=dict)
    streamed: bool = False
    """Sent in chunks, as an engine sends its streams."""
    broken: bool = False
    """The connection ends before the answer does."""


@dataclass
class Server:
    """A server on 127.0.0.1, and everything that it was asked."""

    port: int
    asked: list[Request] = field(default_factory=list)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def lines(self) -> list[str]:
        return [f"{one.method} {one.path}" for one in self.asked]


@contextmanager
def serving() -> Iterator[Callable[[Callable[[Request], Answer]], Server]]:
    """A function that starts servers; they end with the context."""
    running: list[ThreadingHTTPServer] = []

    def start(answer: Callable[[Request], Answer]) -> Server:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                chunked = self.headers.get("Transfer-Encoding") == "chunked"
                body = self._chunks() if chunked else self.rfile.read(size)
                request = Request(self.command, self.path, dict(self.headers), body)
                server.asked.append(request)
                said = answer(request)
                data = said.body if isinstance(said.body, bytes) else json.dumps(said.body).encode()
                self.send_response(said.status)
                length = (
                    {"Transfer-Encoding": "chunked"} if said.streamed else {"Content-Length": str(len(data))}
                )
                for name, value in {"Connection": "close", **length, **said.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data) if said.streamed and data else data)
                    self.wfile.write(b"0\r\n\r\n" if said.streamed and not said.broken else b"")

            def _chunks(self) -> bytes:
                body = b""
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return body

            do_GET = do_HEAD = do_POST = do_DELETE = handle_any  # noqa: N815 - http.server's names

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        http.daemon_threads = True
        server = Server(http.server_address[1])
        threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        running.append(http)
        return server

    try:
        yield start
    finally:
        for http in running:
            http.shutdown()
            http.server_close()

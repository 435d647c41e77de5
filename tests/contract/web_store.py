"""A small web server that plays the store of resource files and output files, and misbehaves on demand."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit


class WebStore:
    """What the server holds, what it was sent, and how it behaves: path -> status to answer with."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.sent: dict[str, tuple[bytes, dict[str, str]]] = {}
        self.refusals: dict[str, list[int]] = {}
        self.asked: list[str] = []
        self.held = threading.Event()
        self.held.set()
        self.url = ""


class Handler(BaseHTTPRequestHandler):
    store: WebStore

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        path = unquote(address.path)
        self.store.asked.append(self.path)
        if self._refused(path):
            return
        if parse_qs(address.query).get("comp") == ["list"]:
            self._answer(200, self._listing(path, parse_qs(address.query)))
        elif path == "/redirected":
            self.send_response(302)
            self.send_header("Location", "/plain.txt")
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif path == "/held":
            self.send_response(200)
            self.send_header("Content-Length", "10")
            self.end_headers()
            self.wfile.write(b"begun")
            self.wfile.flush()
            self.store.held.wait(20)
        elif path in self.store.files:
            self._answer(200, self.store.files[path])
        else:
            self._answer(404, b"")

    def do_PUT(self) -> None:
        path = unquote(urlsplit(self.path).path)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.store.asked.append(path)
        if path == "/box/held":
            self.store.held.wait(20)
        if not self._refused(path):
            self.store.sent[path] = (body, {name.lower(): value for name, value in self.headers.items()})
            self._answer(201, b"")

    def _listing(self, path: str, query: dict[str, list[str]]) -> bytes:
        """Two blobs a page."""
        prefix = query.get("prefix", [""])[0]
        names = sorted(
            name.removeprefix(f"{path}/") for name in self.store.files if name.startswith(f"{path}/")
        )
        names = [name for name in names if name.startswith(prefix)]
        start = int(query.get("marker", ["0"])[0] or 0)
        blobs = "".join(f"<Blob><Name>{name}</Name></Blob>" for name in names[start : start + 2])
        marker = str(start + 2) if start + 2 < len(names) else ""
        text = f"<EnumerationResults><Blobs>{blobs}</Blobs><NextMarker>{marker}</NextMarker></EnumerationResults>"
        return text.encode()

    def _refused(self, path: str) -> bool:
        waiting = self.store.refusals.get(path)
        if not waiting:
            return False
        self._answer(waiting.pop(0), b"no")
        return True

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def serving() -> Iterator[WebStore]:
    """A server on a port of its own, as long as the context lasts."""
    store = WebStore()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"store": store}))
    server.daemon_threads = True
    store.url = f"http://127.0.0.1:{server.server_port}"
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    serving.start()
    yield store
    store.held.set()
    server.shutdown()
    serving.join()
    server.server_close()

"""A web server at the other end of a long link, emulated: containers have no kernel that delays packets (netem).

A relay stands before the server. It delays each direction by half of the round trip, a new connection by a whole one, and sends
on for each connection at most a window that is not acknowledged yet, which is what TCP does. The window is Linux's default receive
buffer (the second number of net.ipv4.tcp_rmem): one connection so gets 128 kB every 20 ms, 6.5 MB/s, and ten of them no more than
two cores can serve. Left out: slow start, growing windows, loss, and that connections share what a line can carry.
"""

import asyncio
import os
import re
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROUND_TRIP = 0.02
WINDOW = 128 * 1024
RANGE = re.compile(r"bytes=(\d+)-(\d*)")


@contextmanager
def far_away(file: Path) -> Iterator[str]:
    """The URL of `file` on a web server that is `ROUND_TRIP` seconds away."""
    handler = type("Handler", (_FileHandler,), {"file": file})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        loop = asyncio.new_event_loop()
        relay = loop.run_until_complete(_relay_to(server.server_port))
        relaying = threading.Thread(target=loop.run_forever)
        relaying.start()
        try:
            yield f"http://127.0.0.1:{relay.sockets[0].getsockname()[1]}/{file.name}"
        finally:
            loop.call_soon_threadsafe(loop.stop)
            relaying.join()
            relay.close()
            for task in asyncio.all_tasks(loop):
                task.cancel()
            loop.run_until_complete(asyncio.sleep(0))
            loop.close()
            server.shutdown()
            serving.join()


class _FileHandler(BaseHTTPRequestHandler):
    """GET of one file, or of one range of it (RFC 9110, 14), sent by the kernel."""

    protocol_version = "HTTP/1.1"
    file: Path

    def do_GET(self) -> None:
        with self.file.open("rb") as file:
            status = os.fstat(file.fileno())
            etag, size = f'"{status.st_mtime_ns:x}-{status.st_size:x}"', status.st_size
            first, last = 0, size - 1
            part = RANGE.fullmatch(self.headers.get("Range", ""))
            if part and self.headers.get("If-Range", etag) == etag:
                first, last = int(part[1]), min(int(part[2] or last), last)
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
            else:
                self.send_response(200)
            self.send_header("ETag", etag)
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Length", str(last - first + 1))
            self.end_headers()
            with suppress(ConnectionError):
                self.connection.sendfile(file, first, last - first + 1)

    def log_message(self, format: str, *args: object) -> None:
        pass


async def _relay_to(port: int) -> asyncio.Server:
    async def accepted(near: asyncio.StreamReader, near_end: asyncio.StreamWriter) -> None:
        await asyncio.sleep(ROUND_TRIP)
        far, far_end = await asyncio.open_connection("127.0.0.1", port, limit=WINDOW)
        try:
            await asyncio.gather(_carry(near, far_end), _carry(far, near_end))
        except ConnectionError:
            pass  # An end that has enough leaves.
        finally:
            near_end.close()
            far_end.close()

    return await asyncio.start_server(accepted, "127.0.0.1", 0)


async def _carry(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """All bytes of one direction. Raises `ConnectionError`."""
    loop = asyncio.get_running_loop()
    room, under_way = WINDOW, deque[tuple[float, int]]()
    while True:
        while under_way and (room == 0 or under_way[0][0] <= loop.time()):
            acknowledged, size = under_way.popleft()
            await asyncio.sleep(acknowledged - loop.time())
            await target.drain()
            room += size
        data = await source.read(room)
        arrival = loop.time() + ROUND_TRIP / 2
        if not data:
            loop.call_at(arrival, target.close)
            return
        loop.call_at(arrival, target.write, data)
        under_way.append((arrival + ROUND_TRIP / 2, len(data)))
        room -= len(data)

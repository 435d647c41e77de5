"""The socket and the web server of a local service: loopback only, and at rest while nobody asks."""

import asyncio
import errno
import socket

import uvicorn

from batchctl.errors import TargetError
from batchctl.server.state_dir import StateDir

LOOPBACK = "127.0.0.1"
_BACKLOG = 512
_PORTS = range(2**16)
# Of the event loop, from a connection's acceptance to its protocol: closing the server in between leaks the socket.
_ROUNDS_TO_ACCEPT = 4


class Web(uvicorn.Server):
    """uvicorn, waiting for the wish to end instead of asking ten times a second whether there is one."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ending = asyncio.Event()

    def drop(self, client: tuple[str, int] | None) -> None:
        """Cut the connection of that client off, whatever is still to be said on it."""
        for connection in list(self.server_state.connections):
            # Every HTTP protocol of uvicorn has both, their common type does not say so.
            if getattr(connection, "client", None) == client and connection.transport is not None:
                connection.transport.abort()

    async def main_loop(self) -> None:
        await self.on_tick(0)
        await self.ending.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn does it, and no connection outlives the loop: neither one just accepted nor one that lingers."""
        for listener in sockets or ():
            asyncio.get_running_loop().remove_reader(listener)
        for _ in range(_ROUNDS_TO_ACCEPT):
            await asyncio.sleep(0)
        await super().shutdown(sockets)
        while self.server_state.connections:
            for connection in list(self.server_state.connections):
                if connection.transport is not None:
                    connection.transport.abort()
            await asyncio.sleep(0)


def listen(state: StateDir, port: int) -> socket.socket:
    """A socket on the loopback address: on `port`, or for 0 on the last one if it is free, else on any.

    The port is remembered. Raises TargetError (PortInUse) when it cannot be had.
    """
    remembered = 0 if port else _remembered_port(state)
    # asyncio switches Nagle's algorithm off only where the protocol is named; with it, every answer waits 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        try:
            listener.bind((LOOPBACK, port or remembered))
        except OSError as problem:
            if problem.errno != errno.EADDRINUSE or port:
                raise
            listener.bind((LOOPBACK, 0))
        listener.listen(_BACKLOG)
    except OSError as problem:
        listener.close()
        message = f"cannot listen on {LOOPBACK}:{port}: {problem.strerror}"
        raise TargetError(message, hint="choose another --port", code="PortInUse") from None
    state.port.write_text(str(listener.getsockname()[1]))
    return listener


def _remembered_port(state: StateDir) -> int:
    try:
        port = int(state.port.read_text())
    except (FileNotFoundError, ValueError):
        return 0
    return port if port in _PORTS else 0

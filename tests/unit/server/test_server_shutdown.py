"""Stopping a local service leaves no connection behind, whatever state it was in."""

import gc
import socket
import warnings
from pathlib import Path

import pytest

from batchctl.server import LocalServer

HALF_A_REQUEST = b"POST /pools?api-version=2025-06-01 HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"


@pytest.mark.parametrize("said", [b"", HALF_A_REQUEST], ids=["connected a moment ago", "half a request"])
def test_no_socket_outlives_the_service(tmp_path: Path, said: bytes) -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with LocalServer(tmp_path) as server:
            clients = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(20)]
            for client in clients:
                client.sendall(said)
        for client in clients:
            client.close()
        gc.collect()
    assert [str(warning.message) for warning in seen] == []

"""What COPY TO STDOUT sends, as a file.

The protocol sends one row at a time. They are taken from libpq in a tight loop of a thread of its own, a
megabyte at a time: the driver's own loop costs four times as much.
"""

import codecs
import io
import queue
import select
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from batchctl_etl.errors import WorkFailed
from batchctl_etl.postgres.connection import postgres_errors

if TYPE_CHECKING:
    import psycopg
    from typing_extensions import Buffer

PIECE_BYTES = 1024 * 1024
AHEAD = 8
"""Pieces that wait to be read."""


class CopyFile(io.RawIOBase):
    """Arrow reads it in a thread of its own; `close` may come from another. `count` bytes were sent so far."""

    def __init__(self, connection: "psycopg.Connection", sql: str, where: str) -> None:
        super().__init__()
        self._connection = connection
        self._where = where
        self._pieces: queue.Queue[bytes | BaseException] = queue.Queue(AHEAD)
        self._held = memoryview(b"")
        self._ended = self._stopped = self._drained = False
        self.count = 0
        with postgres_errors(where):
            self._begin(sql)
        self._thread = threading.Thread(target=self._run, name="copy", daemon=True)
        self._thread.start()

    def _begin(self, sql: str) -> None:
        from psycopg import errors
        from psycopg.pq import ExecStatus

        result = self._connection.pgconn.exec_(sql.encode())
        if result.status != ExecStatus.COPY_OUT:
            raise errors.error_from_result(result)

    def readable(self) -> bool:
        return True

    def has_rows(self) -> bool:
        """Whether there is something to read."""
        self._fill()
        return len(self._held) > 0

    def readinto(self, buffer: "Buffer") -> int:
        view = memoryview(buffer)
        if not self._held:
            self._fill()
        size = min(len(view), len(self._held))
        view[:size] = self._held[:size]
        self._held = self._held[size:]
        return size

    def _fill(self) -> None:
        if self._ended:
            return
        piece = self._pieces.get()
        if isinstance(piece, BaseException):
            self._ended = True
            with postgres_errors(self._where):
                raise piece
        self._ended = not piece
        # Arrow takes a mark of UTF-8 off the beginning; here it is a value's.
        marked = self.count == 0 and piece.startswith(codecs.BOM_UTF8)
        self._held = memoryview(codecs.BOM_UTF8 + piece if marked else piece)
        self.count += len(piece)

    def _run(self) -> None:
        try:
            while piece := self._piece():
                self._put(piece)
            self._put(b"")
        except BaseException as error:  # noqa: BLE001 It is raised where the file is read.
            self._put(error)

    def _piece(self) -> bytes:
        """About `PIECE_BYTES`, the next there are; nothing at the end. Raises `psycopg.Error`."""
        from psycopg import errors
        from psycopg.pq import ExecStatus

        connection = self._connection.pgconn
        take, pieces, size = connection.get_copy_data, list[memoryview](), 0
        while size < PIECE_BYTES and not self._stopped and not self._drained:
            length, data = take(1)
            if length > 0:
                pieces.append(data)
                size += length
            elif length == 0:
                select.select([connection.socket], [], [], 1.0)
                connection.consume_input()
            else:
                self._drained = True
                result = connection.get_result()
                if result and result.status != ExecStatus.COMMAND_OK:
                    if pieces:
                        self._put(b"".join(pieces))  # What came before it may hold what is wrong.
                    raise errors.error_from_result(result)
        return b"".join(pieces)

    def _put(self, piece: bytes | BaseException) -> None:
        while not self._stopped:
            try:
                self._pieces.put(piece, timeout=0.2)
                return
            except queue.Full:
                continue

    def close(self) -> None:
        """End the query, whether or not all was read."""
        if not self.closed:
            self._stopped = True
            if self._thread.is_alive() and not self._connection.closed:
                with suppress(WorkFailed), postgres_errors(self._where):
                    self._connection.cancel()
            self._thread.join()
            self._connection.close()
            # Whoever waits for the next piece gets the end.
            if self._pieces.empty():
                self._pieces.put(b"")
        super().close()

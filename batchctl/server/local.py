"""`LocalServer`: the whole local service inside this process, in a background thread.

The thread runs one event loop with the web server and the engine in it, so they need no locks between them.
It binds the loopback address only.
"""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import apsw
import uvicorn

from batchctl.errors import TargetError
from batchctl.server import DEV_ACCOUNT, DEV_KEY
from batchctl.server.batch.app import Service, build_app
from batchctl.server.batch.engine import Engine
from batchctl.server.batch.quota import NO_LIMITS, Quota, write_quota
from batchctl.server.batch.runner.process import DEFAULT_GRACE_SECONDS
from batchctl.server.batch.runner.site import Site, base_environment
from batchctl.server.batch.store import Store, StoreVersionError
from batchctl.server.disk import Ballast, disk_full, is_full
from batchctl.server.open_files import raise_limit
from batchctl.server.state_dir import StateDir, locked
from batchctl.server.web import LOOPBACK, Web, listen

FIRST_CALL_SECONDS = 30.0
"""So long the first request of all may take; until then the service is not idle."""


def utc_now() -> datetime:
    """The wall clock, in UTC."""
    return datetime.now(UTC)


class LocalServer:
    """The service over the directory `state`; use it as a context manager, or `start()` and `stop()`.

    `port` 0 takes the port of the last time if it is free, else any. `clock` says what time it is (tests give
    their own). `path_prepend` goes before everything else in the tasks' PATH. `grace_seconds` is how long a
    killed task has between SIGTERM and SIGKILL. `auto_storage` is the blob endpoint of the storage account linked
    to the Batch account, with a signature in its query (`https://x.blob.core.windows.net?sv=...`). `output_folder`
    is a directory that output files with a `file://` URL may be written below; without, they are denied. `quota` limits
    what the account may have. Raises TargetError when the directory is in use or the port is.
    """

    def __init__(
        self,
        state: Path,
        *,
        port: int = 0,
        account: str = DEV_ACCOUNT,
        key: str = DEV_KEY,
        clock: Callable[[], datetime] = utc_now,
        path_prepend: Sequence[Path] = (),
        grace_seconds: float = DEFAULT_GRACE_SECONDS,
        auto_storage: str | None = None,
        output_folder: Path | None = None,
        quota: Quota = NO_LIMITS,
    ) -> None:
        self.state = Path(state).resolve()
        self.account = account
        self.key = key
        self.port = port
        self._clock = clock
        self._path_prepend = path_prepend
        self._grace = grace_seconds
        self._quota = quota
        self._auto_storage = auto_storage
        self._output_folder = output_folder
        self._thread: threading.Thread | None = None
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._web: Web | None = None
        self._engine: Engine | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._last_seen = time.monotonic()
        self.identity = ""

    @property
    def endpoint(self) -> str:
        """The account URL, `http://127.0.0.1:<port>`."""
        return f"http://{LOOPBACK}:{self.port}"

    def start(self) -> Self:
        """Start serving; returns once the service answers. This process may have more files open from then on."""
        raise_limit()
        self._ready.clear()
        self._failure = None
        self._thread = threading.Thread(target=self._run, name="batchctl-local", daemon=True)
        self._thread.start()
        self._ready.wait()
        if (failure := self._failed()) is not None:
            self._thread.join()
            raise failure
        self._last_seen = time.monotonic() + FIRST_CALL_SECONDS  # whoever started it may be slow to find it
        return self

    def stop(self) -> None:
        """Stop serving. Tasks that run are killed, and started again when the service is started again.

        Raises what broke the service, if it broke down meanwhile: that is a bug and must be seen.
        """
        if self._loop is not None and self._web is not None:
            with suppress(RuntimeError):  # the loop is over already
                self._loop.call_soon_threadsafe(self._web.ending.set)
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if (failure := self._failed()) is not None:
            raise failure

    def _failed(self) -> BaseException | None:
        return self._failure

    def wake(self) -> None:
        """Look at the clock now; for tests that move it."""
        if self._loop is not None and self._engine is not None:
            self._loop.call_soon_threadsafe(self._engine.wake)

    def idle_seconds(self) -> float:
        """How long nobody asked anything while nothing was going on; at most 0 while something is, or nobody has asked yet."""
        if self._engine is None or not self._engine.is_quiet:
            self._last_seen = max(self._last_seen, time.monotonic())
        return time.monotonic() - self._last_seen

    def is_alive(self) -> bool:
        """Does the service still run?"""
        return self._thread is not None and self._thread.is_alive()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            with ExitStack() as stack:
                state = StateDir(self.state)
                ballast = Ballast(state.ballast)
                ballast.write(lambda: stack.enter_context(locked(state)))
                listener = ballast.write(lambda: stack.enter_context(listen(state, self.port)))
                self.port = listener.getsockname()[1]
                store = ballast.write(lambda: self._open(state))
                stack.callback(store.close)
                asyncio.run(self._serve(state, listener, store, ballast))
                ballast.remove()
        except (apsw.Error, OSError) as problem:
            self._failure = disk_full(self.state) if is_full(problem) else problem
        except BaseException as problem:  # noqa: BLE001 - handed to the thread that called start()
            self._failure = problem
        finally:
            self._ready.set()

    def _open(self, state: StateDir) -> Store:
        state.nodes.mkdir(exist_ok=True)
        try:
            store = Store(state.store)
        except (StoreVersionError, apsw.NotADBError, apsw.CorruptError, apsw.CantOpenError) as problem:
            raise TargetError(
                f"{state.root}: {problem}", hint="batchctl local reset", code="StoreUnreadable"
            ) from None
        with store.transaction():
            write_quota(store, self._quota)
        return store

    async def _serve(self, state: StateDir, listener: socket.socket, store: Store, ballast: Ballast) -> None:
        base = base_environment(self._path_prepend)
        site = Site(
            nodes=state.nodes,
            trash=state.trash,
            container_note=state.containers,
            account=self.account,
            endpoint=self.endpoint,
            base=base,
            auto_storage=self._auto_storage,
            output_folder=self._output_folder,
        )
        engine = Engine(store, site, self._clock, ballast, grace_seconds=self._grace)
        service = Service(
            store=store,
            ballast=ballast,
            endpoint=self.endpoint,
            account=self.account,
            key=self.key,
            nodes=state.nodes,
            clock=self._clock,
            changed=engine.changed,
            seen=self._seen,
            drop=self._drop,
        )
        config = uvicorn.Config(
            build_app(service),
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            date_header=False,
            timeout_graceful_shutdown=2,
        )
        self._web, self._engine, self._loop = Web(config), engine, asyncio.get_running_loop()
        self.identity = store.identity
        engine.recover()
        working = asyncio.create_task(engine.run())
        working.add_done_callback(self._engine_ended)
        serving = asyncio.create_task(self._web.serve(sockets=[listener]))
        while not self._web.started and not serving.done():
            await asyncio.sleep(0)
        self._ready.set()
        try:
            await serving
        finally:
            working.cancel()
            with suppress(asyncio.CancelledError):
                await working
            engine.close()
            self._engine = None

    def _engine_ended(self, working: "asyncio.Task[None]") -> None:
        """Without its engine the service must not go on answering."""
        if not working.cancelled() and self._web is not None:
            self._web.ending.set()

    def _drop(self, client: tuple[str, int] | None) -> None:
        if self._web is not None:
            self._web.drop(client)

    def _seen(self) -> None:
        self._last_seen = time.monotonic()

"""Engines that go away for one test only: a socket in front of the real one that can be cut, and a small one of the test's own."""

import socket
import subprocess
import threading
from contextlib import suppress
from pathlib import Path

from docker_services import engine_command, wait_for_engine


class EngineProxy:
    """Use it as a context manager; `host` is its DOCKER_HOST. `requests` are the first lines it has passed on."""

    def __init__(self, path: Path, engine: str) -> None:
        self.host = f"unix://{path}"
        self.requests: list[str] = []
        self._path = path
        self._engine = engine.removeprefix("unix://")
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener: socket.socket | None = None
        self._held = ""
        self._free = threading.Event()
        self._free.set()

    def __enter__(self) -> "EngineProxy":
        self.mend()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
        self.cut()
        for thread in self._threads:
            thread.join()

    def mend(self) -> None:
        """Listen (again)."""
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self._path))
        self._listener.listen(64)
        self._spawn(self._accept, self._listener)

    def cut(self) -> None:
        """Listen no more, and break every connection off."""
        if self._listener is not None:
            self._path.unlink()
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener = None
        for one in list(self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def hold(self, path: str) -> None:
        """Keep requests of that path back until `release`."""
        self._held = path
        self._free.clear()

    def release(self) -> None:
        """Let them go."""
        self._free.set()

    def _spawn(self, work: object, *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        with listener:
            while True:
                try:
                    near, _ = listener.accept()
                except OSError:
                    return
                far = socket.socket(socket.AF_UNIX)
                far.connect(self._engine)
                self._open |= {near, far}
                self._spawn(self._pass_on, near, far)

    def _pass_on(self, near: socket.socket, far: socket.socket) -> None:
        back = threading.Thread(target=self._copy, args=(far, near))
        back.start()
        self._copy(near, far, note=True)
        back.join()
        for one in (near, far):
            one.close()
            self._open.discard(one)

    def _copy(self, source: socket.socket, target: socket.socket, *, note: bool = False) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if note and b" HTTP/1.1\r\n" in data:
                    line = data.partition(b" HTTP/1.1\r\n")[0].decode(errors="replace")
                    self.requests.append(line)
                    if self._held and self._held in line:
                        self._free.wait()
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)


class EngineOfOurOwn:
    """A Docker Engine with all it has in `folder`; a context manager that stops it. Only for root."""

    def __init__(self, folder: Path) -> None:
        self.host = f"unix://{folder}/own.sock"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "EngineOfOurOwn":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        # What its own network was is still mounted.
        subprocess.run(["umount", self._folder / "run/netns/default"], check=False, stderr=subprocess.DEVNULL)

    def start(self) -> None:
        """Start it and wait until it answers."""
        log = self._folder / "log"
        # In a network of its own: an engine without a bridge takes the bridge away from every other engine.
        options = ("--bridge=none", "--iptables=false", "--ip6tables=false", "--storage-driver=vfs")
        command = ["unshare", "--net", *engine_command(self._folder, self.host, *options)]
        with log.open("ab") as out:
            self._process = subprocess.Popen(command, stdout=out, stderr=out)
        wait_for_engine(self._process, self.host, log)

    def stop(self) -> None:
        """Stop it as systemd does, and wait for its end."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None

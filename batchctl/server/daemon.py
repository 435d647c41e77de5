"""The local service in the background: one process per state directory, found by the record it writes.

`python -m batchctl.server.daemon --state DIR [--port N] [--on-demand SECONDS]` runs it in the foreground; the
functions here start, find, stop and reset it.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from batchctl.errors import TargetError
from batchctl.server.disk import disk_full, is_full
from batchctl.server.service import Service, find, was_to_stay, write_record
from batchctl.server.state_dir import StateDir, locked

__all__ = ["Service", "find", "main", "reset", "serve", "start", "stop"]

START_SECONDS = 30.0
STOP_SECONDS = 15.0
_POLL_SECONDS = 0.05
_HEALTH_SECONDS = 5.0
_RACE_SECONDS = 5.0
_LAST_CALL_SECONDS = 0.25
_EXIT_CODES = {"PortInUse": 3, "StateInUse": 4, "StoreUnreadable": 5, "DiskFull": 6}


def start(
    state: Path, port: int | None = None, on_demand: float | None = None, output_folder: Path | None = None
) -> Service:
    """The service of `state`, started in the background (own session, log in `service.log`) if none runs.

    `port` None: the one of the last time, or any. `on_demand`: it ends itself after so many idle seconds; one that runs
    already and would do so is told to stay if `on_demand` is None. In place of one that was to stay and was killed comes one
    that stays. `output_folder`: see `LocalServer`.
    Raises TargetError when it cannot start; the message holds the end of its log.
    """
    directory = StateDir(Path(state).absolute())
    if (running := find(state)) is not None:
        if port and port != running.port:
            raise TargetError(
                f"the local service runs already, on port {running.port}",
                hint="batchctl local down",
                code="PortDiffers",
            )
        if on_demand is None:
            directory.stay.touch()
        return running
    directory.root.mkdir(parents=True, exist_ok=True)
    if was_to_stay(directory):
        on_demand = None
    command = [sys.executable, "-m", "batchctl.server.daemon", "--state", str(directory.root)]
    command += ["--port", str(port)] if port else []
    command += ["--on-demand", str(on_demand)] if on_demand is not None else []
    command += ["--output-folder", str(output_folder)] if output_folder is not None else []
    with directory.log.open("ab") as log:
        log_start = log.tell()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=_daemon_environment(),
            start_new_session=True,
        )
    deadline, lost_race = time.monotonic() + START_SECONDS, False
    while time.monotonic() < deadline:
        # Another command may have won the race for the directory: then its service is ours too.
        if (running := find(state)) is not None:
            _forget(process)
            return running
        if process.poll() == _EXIT_CODES["StateInUse"]:
            deadline = deadline if lost_race else min(deadline, time.monotonic() + _RACE_SECONDS)
            lost_race = True
        elif process.returncode is not None:
            break
        time.sleep(_POLL_SECONDS)
    if process.poll() is None:
        process.kill()
        process.wait()
        raise _too_slow(directory, log_start)
    raise _start_error(directory, process.returncode, port, log_start)


def stop(state: Path) -> bool:
    """End the service of `state`: SIGTERM, then SIGKILL. False if none ran.

    Its running tasks are killed and start again when the service does.
    """
    service = find(state)
    if service is None:
        return False
    directory = StateDir(Path(state).absolute())
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.kill(service.pid, number)
        deadline = time.monotonic() + STOP_SECONDS
        while time.monotonic() < deadline:
            if _is_unlocked(directory):
                directory.record.unlink(missing_ok=True)
                return True
            time.sleep(_POLL_SECONDS)
    raise TargetError(f"the local service (process {service.pid}) does not end", code="StopFailed")


def reset(state: Path) -> None:
    """Remove everything of the local service in `state`, its containers too. Raises TargetError while one runs.

    With no container engine in reach the note that there may be containers stays: the next service here removes them.
    """
    directory = StateDir(Path(state).absolute())
    if not directory.root.exists():
        return
    with locked(directory):
        if directory.containers.exists():
            from batchctl.server.batch.runner.docker.leftovers import forget

            forget(directory.nodes.resolve(), directory.containers)
        for path in (directory.nodes, directory.trash):
            shutil.rmtree(path, ignore_errors=True)
        for suffix in ("", "-wal", "-shm"):
            directory.store.with_name(directory.store.name + suffix).unlink(missing_ok=True)
        for path in (directory.record, directory.port, directory.log, directory.stay, directory.ballast):
            path.unlink(missing_ok=True)
    directory.lock.unlink(missing_ok=True)


def serve(
    state: Path,
    port: int | None = None,
    on_demand: float | None = None,
    path_prepend: Sequence[Path] = (),
    on_ready: Callable[[Service], None] | None = None,
    output_folder: Path | None = None,
) -> None:
    """Run the service here until SIGTERM or SIGINT, or until it was idle for `on_demand` seconds and nobody asked it to
    stay. `on_ready` is told where it is once it answers."""
    from batchctl.server.local import LocalServer

    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())
    directory = StateDir(Path(state).absolute())
    # A signature has no place on a command line, which everybody on this machine can read.
    storage = os.environ.get("BATCHCTL_AUTO_STORAGE") or None
    with LocalServer(
        directory.root,
        port=port or 0,
        path_prepend=path_prepend,
        auto_storage=storage,
        output_folder=output_folder,
    ) as server:
        service = Service(
            endpoint=server.endpoint,
            account=server.account,
            key=server.key,
            pid=os.getpid(),
            port=server.port,
        )
        directory.stay.unlink(missing_ok=True)
        write_record(directory, service, server.identity, stays=on_demand is None)
        if on_ready is not None:
            on_ready(service)
        while server.is_alive():
            idle = server.idle_seconds()
            if on_demand is not None and directory.stay.exists():
                on_demand = None
            if on_demand is not None and idle >= on_demand:
                # A command that found us just before may come now; no other one will.
                directory.record.unlink(missing_ok=True)
                if ending.wait(_LAST_CALL_SECONDS) or server.idle_seconds() >= on_demand:
                    break
                write_record(directory, service, server.identity, stays=False)
                continue
            rest = (
                _HEALTH_SECONDS if on_demand is None else min(max(on_demand - idle, _POLL_SECONDS), on_demand)
            )
            if ending.wait(rest):
                break
        directory.record.unlink(missing_ok=True)


def _daemon_environment() -> dict[str, str]:
    """Ours, without what a task would know (a service started by a task is not part of it), able to import us."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AZ_BATCH_")}
    source = str(Path(__file__).parents[2])
    kept["PYTHONPATH"] = os.pathsep.join(filter(None, (source, kept.get("PYTHONPATH"))))
    return kept


def _forget(process: "subprocess.Popen[bytes]") -> None:
    """The background service outlives us: do not warn that nobody waits for it."""
    if process.poll() is None:
        process.returncode = 0


def _is_unlocked(directory: StateDir) -> bool:
    try:
        with locked(directory):
            return True
    except TargetError:
        return False


def _start_error(directory: StateDir, code: int, port: int | None, log_start: int) -> TargetError:
    """What kept it from starting; its log says the rest from byte `log_start` on."""
    if code == _EXIT_CODES["PortInUse"]:
        return TargetError(f"port {port} is in use", hint="choose another --port", code="PortInUse")
    if code == _EXIT_CODES["StateInUse"]:
        return TargetError(f"{directory.root} is in use by an embedded service", code="StateInUse")
    if code == _EXIT_CODES["DiskFull"]:  # its log could not be written either
        return disk_full(directory.root)
    tail = _log_tail(directory, log_start)
    if code == _EXIT_CODES["StoreUnreadable"]:
        return TargetError(tail, hint="batchctl local reset", code="StoreUnreadable")
    return TargetError(
        f"the local service did not start:\n{tail}", hint=f"see {directory.log}", code="StartFailed"
    )


def _too_slow(directory: StateDir, log_start: int) -> TargetError:
    """It was alive, and did not answer in time."""
    tail = _log_tail(directory, log_start)
    said = f":\n{tail}" if tail else f", and wrote nothing into its log, {directory.log}"
    return TargetError(
        f"the local service took longer than {START_SECONDS:g} s to start{said}",
        hint="the machine may be busy: try again; batchctl local up --foreground shows how far it comes",
        code="StartTimeout",
    )


def _log_tail(directory: StateDir, log_start: int) -> str:
    log = directory.log.read_bytes()[log_start:].decode(errors="replace")
    return "\n".join(log.splitlines()[-10:])


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line of the background process; its exit code says why it could not start."""
    parser = argparse.ArgumentParser(prog="python -m batchctl.server.daemon", description="The local Azure.")
    parser.add_argument("--state", type=Path, required=True, help="the directory that holds everything")
    parser.add_argument("--port", type=int, default=None, help="default: the last one, or any")
    parser.add_argument(
        "--on-demand", type=float, default=None, metavar="SECONDS", help="end when idle so long"
    )
    parser.add_argument("--output-folder", type=Path, help="where output files with a file:// URL may go")
    options = parser.parse_args(arguments)
    try:
        serve(options.state, options.port, options.on_demand, output_folder=options.output_folder)
    except TargetError as problem:
        _log(problem.message)
        return _EXIT_CODES.get(problem.code, 1)
    except OSError as problem:
        if not is_full(problem):
            raise
        return _EXIT_CODES["DiskFull"]
    return 0


def _log(message: str) -> None:
    with suppress(OSError):  # the log may be on a full disk
        sys.stderr.write(f"{message}\n")
        sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())

"""Processes: started in their own session, watched without polling, killed as a group.

One process per run, no shell: the command line is split like a process launch. The exit is seen through a
pidfd in the event loop. Killing is SIGTERM to the group, then SIGKILL after a grace; whatever of the group
outlives its leader is killed too; what made its own session is the business of `escapees`.
This module must not know jobs, pools or the store.
"""

import asyncio
import os
import shlex
import signal
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from batchctl.server.batch.runner.leftovers import descendants, kill_all, start_ticks
from batchctl.server.batch.scheduler.effects import Ending
from batchctl.server.disk import is_full
from batchctl.server.open_files import give_back

DEFAULT_GRACE_SECONDS = 10.0


class LaunchError(Exception):
    """The process could not be started; `ending` says so in Batch's terms."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.ending = Ending(failure=code, detail=detail)


@dataclass(frozen=True, kw_only=True, slots=True)
class Launch:
    """What to start. Output goes to `stdout.txt` and `stderr.txt` in `folder`, which has a `wd` to run in."""

    run: int
    command_line: str
    folder: Path
    environment: Mapping[str, str]


@dataclass(kw_only=True, slots=True)
class _Child:
    process: subprocess.Popen[bytes]
    pidfd: int
    killer: asyncio.TimerHandle | None = None


class ProcessRunner:
    """Runs launches in the running event loop; tells every end to `on_exit(run, ending)`."""

    def __init__(
        self, on_exit: Callable[[int, Ending], None], *, grace_seconds: float = DEFAULT_GRACE_SECONDS
    ) -> None:
        self._on_exit = on_exit
        self._grace = grace_seconds
        self._children: dict[int, _Child] = {}
        self._loop = asyncio.get_running_loop()

    def start(self, launch: Launch) -> tuple[int, str]:
        """Start the process; its id and the kernel's note of when it began.

        Raises LaunchError when it cannot be, OSError when the disk is full.
        """
        words = _split(launch.command_line)
        try:
            with (
                (launch.folder / "stdout.txt").open("wb") as out,
                (launch.folder / "stderr.txt").open("wb") as err,
            ):
                process = subprocess.Popen(
                    words,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=err,
                    cwd=launch.folder / "wd",
                    env=launch.environment,
                    start_new_session=True,
                )
        except (FileNotFoundError, NotADirectoryError):
            detail = f"The specified command program is not found: {words[0]}"
            raise LaunchError("CommandProgramNotFound", detail) from None
        except (OSError, ValueError) as problem:
            if is_full(problem):
                raise
            raise LaunchError(
                "CommandLaunchFailed", f"Failed to launch the command line: {problem}"
            ) from None
        give_back(process.pid)
        child = _Child(process=process, pidfd=os.pidfd_open(process.pid))
        self._children[launch.run] = child
        self._loop.add_reader(child.pidfd, self._exited, launch.run)
        return process.pid, start_ticks(process.pid)

    def kill(self, run: int) -> None:
        """Ask the run's processes to end, and end them by force after the grace. Nothing if it is over."""
        child = self._children.get(run)
        if child is None or child.killer is not None:
            return
        _signal_group(child, signal.SIGTERM)
        child.killer = self._loop.call_later(self._grace, _kill_tree, child)

    def kill_now(self) -> None:
        """End everything by force and wait for it; no end is reported any more."""
        for child in self._children.values():
            self._loop.remove_reader(child.pidfd)
            _kill_tree(child)
        for child in self._children.values():
            self._reap(child)
        self._children.clear()

    def _exited(self, run: int) -> None:
        child = self._children.pop(run)
        self._loop.remove_reader(child.pidfd)
        # The leader is dead but not yet reaped, so its group's number cannot belong to anybody else.
        _signal_group(child, signal.SIGKILL)
        self._on_exit(run, self._reap(child))

    @staticmethod
    def _reap(child: _Child) -> Ending:
        if child.killer is not None:
            child.killer.cancel()
        # Not through Popen: only this call also says what the process and its children used.
        _, status, used = os.wait4(child.process.pid, 0)
        code = child.process.returncode = os.waitstatus_to_exitcode(status)
        os.close(child.pidfd)
        return Ending(
            exit_code=128 - code if code < 0 else code,
            user_seconds=used.ru_utime,
            kernel_seconds=used.ru_stime,
        )


def _split(command_line: str) -> list[str]:
    try:
        words = shlex.split(command_line)
    except ValueError as problem:
        raise LaunchError("CommandLaunchFailed", f"The command line cannot be split: {problem}") from None
    if not words:
        raise LaunchError("CommandLaunchFailed", "The command line is empty.")
    return words


def _kill_tree(child: _Child) -> None:
    """SIGKILL to the group and to every descendant: a wrapper's command has a session of its own, and is orphaned by the
    wrapper's death."""
    below = descendants(child.process.pid)
    _signal_group(child, signal.SIGKILL)
    kill_all(below)


def _signal_group(child: _Child, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.process.pid, number)

"""Processes that a dead service left behind: found with certainty, then killed.

Two independent proofs, so that no stranger who was given an old number is ever killed:
a recorded process must have the recorded start (boot id and clock ticks since boot) before its group is
killed; any other process must carry this service's own node directory in its environment.
"""

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

_MARK = b"AZ_BATCH_NODE_ROOT_DIR="
RUN_VARIABLE = "BATCHCTL_LOCAL_RUN"
"""The one variable of a task that Batch does not know: which run of which try a process belongs to."""
_START_TICKS_FIELD = 19  # of what follows the command name in /proc/<pid>/stat; field 22 in proc(5)


@cache
def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def start_ticks(pid: int) -> str:
    """`<boot id>:<ticks>`: when the process began; empty if it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - once per task, and Path costs more
            stat = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return f"{_boot_id()}:{stat.rpartition(b')')[2].split()[_START_TICKS_FIELD].decode()}"


def kill_recorded(processes: Iterable[tuple[int, str]]) -> None:
    """Kill the groups of recorded leaders (pid, start) that are still those very processes."""
    for pid, born in processes:
        with suppress(ProcessLookupError, PermissionError):
            if born and start_ticks(pid) == born and os.getpgid(pid) == pid:
                os.killpg(pid, signal.SIGKILL)


def kill_marked(nodes: Path) -> int:
    """Kill every process whose environment says it runs on a node below `nodes`; how many there were."""
    mark = _MARK + os.fsencode(nodes) + b"/"
    return _kill_where(lambda variables: any(variable.startswith(mark) for variable in variables))


def kill_node(nodes: Path, node: str) -> int:
    """Kill every process whose environment says it runs on that node below `nodes`; how many there were."""
    mark = _MARK + os.fsencode(nodes / node)
    return _kill_where(lambda variables: mark in variables)


def kill_runs(nodes: Path, runs: Iterable[int]) -> int:
    """Kill every process of those runs on the nodes below `nodes`; how many there were."""
    mark = _MARK + os.fsencode(nodes) + b"/"
    marks = {f"{RUN_VARIABLE}={run}".encode() for run in runs}

    def is_one(variables: set[bytes]) -> bool:
        return not marks.isdisjoint(variables) and any(variable.startswith(mark) for variable in variables)

    return _kill_where(is_one)


def _kill_where(is_one: Callable[[set[bytes]], bool]) -> int:
    killed = 0
    spared = _ancestry(os.getpid())
    for pid in _all_processes():
        if pid in spared:
            continue
        with suppress(ProcessLookupError, PermissionError, FileNotFoundError):
            handle = os.pidfd_open(pid)
            try:
                if is_one(set(Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"))):
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
                    killed += 1
            finally:
                os.close(handle)
    return killed


def descendants(pid: int) -> list[int]:
    """Open pidfds of the processes below `pid`, the children first; close them, or give them to `kill_all`."""
    children: dict[int, list[int]] = {}
    for process in _all_processes():
        with suppress(FileNotFoundError, ProcessLookupError):
            children.setdefault(_parent(process), []).append(process)
    found: list[int] = []
    level = children.get(pid, [])
    while level:
        for process in level:
            with suppress(ProcessLookupError):
                found.append(os.pidfd_open(process))
        level = [child for process in level for child in children.get(process, [])]
    return found


def kill_all(handles: Iterable[int]) -> None:
    """SIGKILL to the processes of these pidfds, and close them."""
    for handle in handles:
        with suppress(ProcessLookupError, PermissionError):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        os.close(handle)


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1])


def _all_processes() -> Iterator[int]:
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def _ancestry(pid: int) -> set[int]:
    """The process and those above it: a service may itself have been started by a task."""
    found: set[int] = set()
    while pid > 0 and pid not in found:
        found.add(pid)
        try:
            pid = _parent(pid)
        except (FileNotFoundError, ProcessLookupError):
            break
    return found

"""One attempt with a lake: the logs live, the record at the start and at the end.

Before COMMAND starts a lake that fails ends the attempt; afterwards it is reported once and costs only the
log.
"""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from batchctl_runtime.copying import Output, copy_outputs, write_all
from batchctl_runtime.errors import LakeError
from batchctl_runtime.lake import Lake
from batchctl_runtime.process import SignalForwarder, ending, launch_failure, start_process
from batchctl_runtime.record import closing_record, opening_record, read_report, record_bytes
from batchctl_runtime.task import Task

STDOUT, STDERR, RECORD = "stdout.txt", "stderr.txt", "record.json"
LOGS = (STDOUT, STDERR)
_OWN = {STDOUT: 1, STDERR: 2}


class Attempt:
    """The logs and the record of one attempt in `lake`."""

    def __init__(self, lake: Lake, *, task: Task, command: Sequence[str], began: datetime) -> None:
        self._lake = lake
        self._writable = {*LOGS, RECORD}
        self._opening = opening_record(task, command=command, started_at=began)

    def run(
        self, command: Sequence[str], *, environ: dict[str, str], report: Path, signals: SignalForwarder
    ) -> int:
        """Run COMMAND to its end and return the exit code. Raises `LakeError` if the lake fails before it
        starts."""
        self._lake.put(RECORD, record_bytes(self._opening))
        started = time.monotonic()
        try:
            process = start_process(command, environ=environ, piped=True)
        except OSError as error:
            exit_code, message = launch_failure(command[0], error)
            self.say(message)
            self.close(exit_code)
            return exit_code
        with process:
            signals.aim(process.pid)
            assert process.stdout is not None
            assert process.stderr is not None
            outputs = [
                Output(process.stdout.fileno(), lambda data: self.emit(STDOUT, data)),
                Output(process.stderr.fileno(), lambda data: self.emit(STDERR, data)),
            ]
            copy_outputs(outputs, wakeup=signals.wakeup, has_ended=lambda: process.poll() is not None)
            exit_code, signal = ending(process.wait())
        seconds = time.monotonic() - started
        self.close(exit_code, signal=signal, seconds=seconds, report=read_report(report))
        return exit_code

    def emit(self, log: str, data: bytes) -> None:
        """Send bytes to the lake first (our own reader may be slow), then to our own stream of that name."""
        self._tolerate(log, lambda: self._lake.append(log, data))
        _write_own(_OWN[log], data)

    def say(self, message: str) -> None:
        """A line of `stage-run`'s own, on stderr and in its log."""
        self.emit(STDERR, f"stage-run: {message}\n".encode("utf-8", "replace"))

    def close(
        self,
        exit_code: int,
        *,
        signal: int | None = None,
        seconds: float = 0.0,
        report: dict[str, Any] | None = None,
    ) -> None:
        """Write the whole record and close the lake; failures are reported, not raised."""
        record = closing_record(
            self._opening,
            finished_at=datetime.now(UTC),
            exit_code=exit_code,
            signal=signal,
            seconds=seconds,
            report=report or {},
        )
        try:
            self._lake.close()
        except LakeError as error:
            self._report_loss(STDERR, error)
        self._tolerate(RECORD, lambda: self._lake.put(RECORD, record_bytes(record)))

    def _tolerate(self, name: str, write: Any) -> None:
        if name not in self._writable:
            return
        try:
            write()
        except LakeError as error:
            self._report_loss(name, error)

    def _report_loss(self, name: str, error: LakeError) -> None:
        if name in self._writable:
            self._writable.discard(name)
            complain(f"{error} (the task goes on without it)")


def complain(message: str) -> None:
    """A line of `stage-run`'s own on stderr only."""
    _write_own(2, f"stage-run: {message}\n".encode("utf-8", "replace"))


def _write_own(descriptor: int, data: bytes) -> None:
    try:
        write_all(descriptor, data)
    except OSError:
        return  # Whoever read our output went away (EPIPE); COMMAND and the lake's copy go on.

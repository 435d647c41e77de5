"""COMMAND as a process: started in its own group, signals passed on, its end as an exit code.

It knows nothing of lakes and records.
"""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from types import FrameType

FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
NOT_FOUND, NOT_EXECUTABLE, OWN_FAILURE = 127, 126, 125


class SignalForwarder:
    """Passes signals on to COMMAND's process group; those that arrive before it exists are kept for it.

    `wakeup` is a descriptor that becomes readable at every signal, SIGCHLD included, so that a `select` ends
    at once.
    """

    def __init__(self) -> None:
        self._group: int | None = None
        self._early: list[int] = []
        self.wakeup, self._wakeup_end = os.pipe()
        os.set_blocking(self.wakeup, False)
        os.set_blocking(self._wakeup_end, False)

    def install(self) -> None:
        signal.set_wakeup_fd(self._wakeup_end, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in FORWARDED:
            # nohup's promise to the user must hold for COMMAND too, which inherits the ignoring.
            if number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue
            signal.signal(number, self._forward)

    def aim(self, group: int) -> None:
        """From now on signals go to the process group `group`, first those that came early."""
        self._group = group
        for number in self._early:
            self._send(number)

    def _forward(self, number: int, _frame: FrameType | None) -> None:
        if self._group is None:
            self._early.append(number)
        else:
            self._send(number)

    def _send(self, number: int) -> None:
        assert self._group is not None
        try:
            os.killpg(self._group, number)
        except (ProcessLookupError, PermissionError):
            return  # The group has ended, or is a dying one's last zombie (macOS).


def start_process(
    command: Sequence[str], *, environ: Mapping[str, str], piped: bool
) -> subprocess.Popen[bytes]:
    """Start COMMAND in a session, hence a process group, of its own; its stdout and stderr are pipes if
    `piped`.

    Raises `OSError` if it cannot be started: see `launch_failure`.
    """
    output = subprocess.PIPE if piped else None
    return subprocess.Popen(
        command, env=environ, stdout=output, stderr=output, bufsize=0, start_new_session=True
    )


def launch_failure(command: str, error: OSError) -> tuple[int, str]:
    """The exit code and the message for a COMMAND that could not be started."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return NOT_FOUND, f"{command}: command not found; it is looked up in PATH, without a shell"
    return NOT_EXECUTABLE, f"{command}: cannot be run: {error.strerror}"


def ending(returncode: int) -> tuple[int, int | None]:
    """The exit code to end with, and the signal that ended COMMAND; `returncode` is `Popen`'s, negative for a
    signal."""
    return (returncode, None) if returncode >= 0 else (128 - returncode, -returncode)

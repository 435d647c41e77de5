"""The command `stage-run -- COMMAND`: reads the environment, runs COMMAND once, ends with its exit code
(CONTRACT.md).

Without BATCHCTL_RUNS_URL, that is outside batchctl, it runs COMMAND with secrets and signals but no lake and
no record.
"""

import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from batchctl_runtime import __version__
from batchctl_runtime.attempt import LOGS, Attempt, complain
from batchctl_runtime.azure_extra import azure_extra
from batchctl_runtime.errors import StageError
from batchctl_runtime.lake import open_lake
from batchctl_runtime.process import OWN_FAILURE, SignalForwarder, ending, launch_failure, start_process
from batchctl_runtime.report_file import report_place
from batchctl_runtime.task import run_url, task_from

USAGE = """\
Usage: stage-run -- COMMAND [ARGUMENT]...

Runs COMMAND, without a shell, as a task of batchctl: sets the secrets that BATCHCTL_SECRETS refers to, copies
the output to the folder that BATCHCTL_RUNS_URL names while COMMAND runs, and leaves a record.json there. Ends
with COMMAND's exit code; 128+n if signal n ended it; 127 not found, 126 not executable, 125 stage-run failed.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `stage-run` with `arguments` (default: the process's own) and return the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words in (["--help"], ["-h"], ["--version"]):
        sys.stdout.write(f"stage-run {__version__}\n" if words == ["--version"] else USAGE)
        return 0
    if len(words) < 2 or words[0] != "--" or not words[1]:
        complain("expected: stage-run -- COMMAND [ARGUMENT]...; see stage-run --help")
        return OWN_FAILURE
    signals = SignalForwarder()
    signals.install()
    try:
        return _run(words[1:], signals)
    except StageError as error:
        complain(str(error))
        return OWN_FAILURE


def _run(command: Sequence[str], signals: SignalForwarder) -> int:
    runs_url = os.environ.get("BATCHCTL_RUNS_URL")
    if not runs_url:
        return _run_bare(command, signals)
    task = task_from(os.environ)
    began = datetime.now(UTC)
    lake = open_lake(run_url(runs_url, task), task=task.task, began=began, logs=LOGS)
    attempt = Attempt(lake, task=task, command=command, began=began)
    try:
        with report_place() as report:
            environ = {**os.environ, **_secrets(), "BATCHCTL_REPORT": str(report)}
            return attempt.run(command, environ=environ, report=report, signals=signals)
    except StageError as error:
        attempt.say(str(error))
        attempt.close(OWN_FAILURE)
        return OWN_FAILURE


def _run_bare(command: Sequence[str], signals: SignalForwarder) -> int:
    try:
        process = start_process(command, environ={**os.environ, **_secrets()}, piped=False)
    except OSError as error:
        exit_code, message = launch_failure(command[0], error)
        complain(message)
        return exit_code
    with process:
        signals.aim(process.pid)
        return ending(process.wait())[0]


def _secrets() -> dict[str, str]:
    if "BATCHCTL_SECRETS" not in os.environ:
        return {}
    from batchctl_runtime.secret_references import references, secret_values

    wanted = references(os.environ)
    if not wanted:
        return {}
    with azure_extra("a secret"):
        from batchctl_runtime.key_vault import key_vault

    return secret_values(wanted, fetch=key_vault())


if __name__ == "__main__":
    sys.exit(main())

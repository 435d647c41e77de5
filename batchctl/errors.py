"""Every error a user of batchctl can meet, drawn once.

    BatchctlError 1              a message, and a hint: the next thing to type
    ├ UsageError 2               the command line or the configuration is wrong
    │ └ SpecError 2              a jobspec is wrong: every problem, as file:line:col path: message
    ├ Refused 4                  we could, and will not: the state is not what was planned for
    │ ├ UnsafePlan 4
    │ └ StalePlan 4
    ├ TargetError 5              Azure Batch (or the local service) did not do what we asked
    │ ├ NotAuthenticated 5
    │ ├ NotFound 5
    │ ├ Conflict 5
    │ ├ QuotaExceeded 5
    │ ├ TasksRejected 5
    │ └ Unreachable 5
    ├ RunFailed 6                the remote work failed: run, task, exit code, log tail
    └ Interrupted 130            Ctrl-C

The number is the process's exit code. An exception outside this tree is a bug and shows a traceback.
This module must not import anything of batchctl's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


class BatchctlError(Exception):
    """What went wrong (`message`) and what to type next (`hint`, may be empty)."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(BatchctlError):
    """The command line, an environment variable or `batchctl.toml` is wrong."""

    exit_code = 2


@dataclass(frozen=True, kw_only=True, order=True)
class Problem:
    """One thing wrong in a file; `line` and `column` count from 1, 0 means the whole file."""

    file: str
    line: int = 0
    column: int = 0
    path: str = ""
    message: str
    hint: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{place}: {self.path}: {self.message}" if self.path else f"{place}: {self.message}"


class SpecError(UsageError):
    """A jobspec is wrong; `problems` holds all of them, in the order of the file."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class Refused(BatchctlError):
    """The operation is possible and was not done, because it could not be done safely or exactly."""

    exit_code = 4


class UnsafePlan(Refused):
    """The plan would destroy or expose more than it was allowed to."""


class StalePlan(Refused):
    """What is there is no longer what the plan was made from."""


class TargetError(BatchctlError):
    """The target refused or failed; `code` is the service's own error code, if it sent one."""

    exit_code = 5

    def __init__(self, message: str, *, hint: str = "", code: str = "") -> None:
        super().__init__(message, hint=hint)
        self.code = code


class NotAuthenticated(TargetError):
    """The target does not accept who we are."""


class NotFound(TargetError):
    """The target has no such resource."""


class Conflict(TargetError):
    """The resource is there already, or in a state that does not allow the operation."""


class QuotaExceeded(TargetError):
    """The account has no room left."""


class Unreachable(TargetError):
    """Nobody answers at the endpoint, or not in time."""


class TasksRejected(TargetError):
    """The service refused tasks; `rejected` holds (task id, code, message), `accepted` counts the others."""

    def __init__(self, rejected: Sequence[tuple[str, str, str]], *, accepted: int, hint: str = "") -> None:
        self.rejected = tuple(rejected)
        self.accepted = accepted
        shown = "\n".join(f"  {task}: {code}: {text}" for task, code, text in self.rejected[:20])
        more = f"\n  and {len(self.rejected) - 20} more" if len(self.rejected) > 20 else ""
        noun = "task was" if len(self.rejected) == 1 else "tasks were"
        super().__init__(
            f"{len(self.rejected)} {noun} rejected ({accepted} accepted):\n{shown}{more}", hint=hint
        )


class RunFailed(BatchctlError):
    """A run ended without success; `task` and `task_exit_code` name the first task that failed, if one did."""

    exit_code = 6

    def __init__(
        self,
        message: str,
        *,
        run: str,
        task: str = "",
        task_exit_code: int | None = None,
        log_tail: str = "",
        hint: str = "",
    ) -> None:
        super().__init__(message, hint=hint)
        self.run = run
        self.task = task
        self.task_exit_code = task_exit_code
        self.log_tail = log_tail


class Interrupted(BatchctlError):
    """The user pressed Ctrl-C; the message says what goes on without us."""

    exit_code = 130

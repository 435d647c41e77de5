"""Every error a user of `etl` can meet, drawn once.

    EtlError
    ├ BadConfig 2      the configuration or the command line is wrong: every problem at once
    ├ QualityFailed 3  the rows are not what the checks ask for: every failed check
    └ WorkFailed 1    the work could not be done: where, what, and a remedy, in one line

The number is the process's exit code. An exception outside this tree is a bug and shows a traceback.
"""

from collections.abc import Sequence
from typing import Any, ClassVar


class EtlError(Exception):
    """`lines` are shown to the user, one problem each."""

    exit_code: ClassVar[int] = 1

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = tuple(lines)


class BadConfig(EtlError):
    """Something in the configuration is wrong; nothing has been read or written."""

    exit_code = 2


class WorkFailed(EtlError):
    """`where: what; remedy` on one line. The destination is unchanged."""

    def __init__(self, where: str, what: str, remedy: str = "") -> None:
        what, remedy = " ".join(what.split()), " ".join(remedy.split())
        super().__init__([f"{where}: {what}; {remedy}" if remedy else f"{where}: {what}"])


class QualityFailed(EtlError):
    """The quality gate stayed closed; `checks` are the results of all of them. The destination is unchanged."""

    exit_code = 3

    def __init__(self, lines: Sequence[str], *, checks: Sequence[dict[str, Any]]) -> None:
        super().__init__(lines)
        self.checks = tuple(checks)


class Changed(Exception):
    """Somebody else has written the document since it was read. Never reaches a user: it is read and changed again."""

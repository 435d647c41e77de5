"""The errors of `stage-run`, drawn once.

    StageError      stage-run itself failed before COMMAND started: exit 125
    └ LakeError     the lake cannot be opened or written; once COMMAND runs it is reported, and fails nothing

This module must not import anything of the package's.
"""


class StageError(Exception):
    """What went wrong, where, and what to do about it, in one line."""


class LakeError(StageError):
    """The lake refused: a folder or blob that cannot be made or written."""

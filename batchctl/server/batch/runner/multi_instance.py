"""Multi-instance tasks of one instance: the coordination command, and if it succeeds the task's own, as one process.

Source: Azure Batch docs, "Use multi-instance tasks to run MPI applications". More than one instance is refused when
the task is added.
"""

import shlex


def coordinated(command_line: str, coordination: str | None) -> str:
    """The command line that does `coordination` first; `command_line` itself without one, or if one cannot be split."""
    if coordination is None:
        return command_line
    try:
        first, then = shlex.join(shlex.split(coordination)), shlex.join(shlex.split(command_line))
    except ValueError:
        return command_line
    return shlex.join(["/bin/sh", "-c", f"{first} || exit; exec {then}"])

"""How many files this process may have open: a service of many tasks needs more than the usual 1024, its tasks do not."""

import resource
from contextlib import suppress

ORIGINAL = resource.getrlimit(resource.RLIMIT_NOFILE)
"""The soft and the hard limit that this process was started with."""


def raise_limit() -> None:
    """Raise this process's soft limit to its hard one, where the system lets it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def give_back(pid: int) -> None:
    """Give a process that was just started the original limits, as programs that use select() need."""
    # From outside: code of ours between fork and exec is not safe beside threads.
    with suppress(OSError, ValueError, AttributeError):
        resource.prlimit(pid, resource.RLIMIT_NOFILE, ORIGINAL)

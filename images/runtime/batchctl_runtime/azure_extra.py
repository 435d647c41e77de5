"""The optional dependency: an import that needs the `azure` extra says so when it is not installed."""

from collections.abc import Iterator
from contextlib import contextmanager

from batchctl_runtime.errors import StageError


@contextmanager
def azure_extra(purpose: str) -> Iterator[None]:
    """Around an import of the Azure SDK. Raises `StageError` naming the extra if a package is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise StageError(
            f"{purpose} needs the package {error.name}; install it: pip install 'batchctl-runtime[azure]'"
        ) from error

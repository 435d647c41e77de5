"""The file of bad rows of a stage, if its configuration names one."""

from collections.abc import Iterator
from contextlib import contextmanager

from batchctl_etl.config.quarantine import Quarantine
from batchctl_etl.storage.locations import shown
from batchctl_etl.storage.opening import written
from batchctl_etl.transforms.quarantine import BadRows


@contextmanager
def bad_rows(quarantine: Quarantine | None, *, owner: str) -> Iterator[BadRows]:
    """Where bad rows go; the file appears, also without a row, when the block ends well."""
    if quarantine is None:
        yield BadRows()
        return
    with written(quarantine.url, owner=owner) as stream:
        yield BadRows(stream, max_rows=quarantine.max_rows, where=shown(quarantine.url))

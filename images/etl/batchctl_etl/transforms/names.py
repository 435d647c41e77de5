"""The names of a result's columns."""

import pyarrow as pa

from batchctl_etl.errors import WorkFailed


def check_names(schema: pa.Schema) -> None:
    """Raise `WorkFailed` if two columns have one name."""
    twice = sorted({name for name in schema.names if schema.names.count(name) > 1})
    if twice:
        raise WorkFailed("sql", f"two columns of the result are named {twice[0]!r}", "name one with AS")

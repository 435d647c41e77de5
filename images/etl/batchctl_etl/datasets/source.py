"""A dataset as a source of rows: where the newest version, or another, is."""

from pydantic import TypeAdapter, ValidationError

from batchctl_etl.config.dataset import DatasetRows
from batchctl_etl.config.rows import RowSource
from batchctl_etl.datasets.catalogue import chosen_version
from batchctl_etl.errors import WorkFailed


def dataset_rows(source: DatasetRows) -> RowSource:
    """The files or the Delta table of the version. Raises `WorkFailed`, also for a table of a database."""
    found = chosen_version(source.catalogue, source.name, source.version)
    if found.location.get("type") not in {"file", "delta"}:
        what = f"version {found.version} of {source.name} is a table of {found.location.get('type')}"
        raise WorkFailed(source.catalogue, what, "read it from there")
    try:
        return TypeAdapter[RowSource](RowSource).validate_python(found.location, strict=False)
    except ValidationError as error:
        raise WorkFailed(
            source.catalogue, f"the location of {source.name} is wrong: {error}", "restore it"
        ) from error

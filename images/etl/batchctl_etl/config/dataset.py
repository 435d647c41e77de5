"""The registration of a stage's output as a version of a dataset, and a dataset as a source of rows."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from batchctl_etl.config.strict import Strict
from batchctl_etl.config.values import SinkUrl

VERSION = "{version}"
"""What stands in the sink's URL for the version's own id."""


def _folder(url: str) -> str:
    if not url.endswith("/"):
        raise ValueError("a catalogue is a folder: end it in /")
    return url


CatalogueUrl = Annotated[SinkUrl, AfterValidator(_folder)]
"""A folder on disk or in Azure."""
DatasetName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$")]
Tag = Annotated[str, StringConstraints(pattern=r"^\S+$")]


class Contract(StrEnum):
    """What becomes of rows whose columns are not those of the version before.

    `freeze`: a column that is new, missing or of another type fails. `evolve`: new columns are added, types widened.
    `discard`: new columns are dropped, and told. In the last two, a missing column has no values.
    """

    FREEZE = "freeze"
    EVOLVE = "evolve"
    DISCARD = "discard"


class Dataset(Strict):
    """The output is a new version of the dataset `name` in the catalogue."""

    catalogue: CatalogueUrl
    name: DatasetName
    description: str = ""
    tags: tuple[Tag, ...] = Field(default=(), strict=False)
    contract: Annotated[Contract, Field(strict=False)] | None = None


class DatasetRows(Strict):
    """The rows of a dataset: of its newest version, or of `version`."""

    type: Literal["dataset"]
    catalogue: CatalogueUrl
    name: DatasetName
    version: str | None = Field(default=None, description="Its id, or the beginning of it.")


def check_version_path(url: str, dataset: Dataset | None) -> None:
    """Raises `ValueError` unless each version of a dataset has a path of its own, and nothing else has one."""
    if dataset is not None and VERSION not in url:
        raise ValueError(f"dataset: each version has a path of its own: write {VERSION} into sink.url")
    if dataset is None and VERSION in url:
        raise ValueError(f"sink.url: {VERSION} means something with dataset only")

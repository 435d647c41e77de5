"""What a stage remembers of how far its source was read, so that the next run reads only what is new."""

from typing import Annotated, Literal

from pydantic import Field

from batchctl_etl.config.rows import FileRows, RowSource
from batchctl_etl.config.strict import Strict
from batchctl_etl.config.values import Name, SinkFileUrl
from batchctl_etl.storage.locations import HttpLocation, location

State = Annotated[SinkFileUrl, Field(description="JSON file in the lake: one for each source of a pipeline.")]


class ColumnWatermark(Strict):
    """Rows with a greater value of `column` than any row of the runs before, up to the greatest now."""

    type: Literal["column"]
    state: State
    column: Name
    inclusive: bool = Field(
        default=False, description="Those with an equal value too, once more: for a merge."
    )
    first: str | None = Field(
        default=None, description="What the first run reads after; default: the beginning."
    )
    input: Name | None = Field(default=None, description="Of a transform with several inputs.")


class FilesWatermark(Strict):
    """Files whose names no run before has seen."""

    type: Literal["files"]
    state: State
    input: Name | None = Field(default=None, description="Of a transform with several inputs.")


class EtagWatermark(Strict):
    """A file of a web server, if it has changed: by its ETag and Last-Modified."""

    type: Literal["etag"]
    state: State


class RunWatermark(Strict):
    """What an earlier stage of this run has read; nothing is done if that was nothing."""

    type: Literal["run"]
    state: State


AnyWatermark = ColumnWatermark | FilesWatermark | EtagWatermark | RunWatermark


def check_source(watermark: ColumnWatermark | FilesWatermark, source: RowSource) -> None:
    """Raises `ValueError` if the source has nothing that the watermark could be of."""
    if isinstance(watermark, FilesWatermark) and (
        not isinstance(source, FileRows) or isinstance(location(source.url), HttpLocation)
    ):
        raise ValueError("watermark: files are of a source of type file, on disk or in Azure")

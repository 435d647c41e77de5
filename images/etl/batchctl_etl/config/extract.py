"""The configuration of `etl extract`: bytes from files or a web server to files."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from batchctl_etl.config.api import ApiSource, NoData
from batchctl_etl.config.secrets import Header
from batchctl_etl.config.strict import Strict
from batchctl_etl.config.unpack import Unpack
from batchctl_etl.config.values import SinkUrl, SourceUrl
from batchctl_etl.config.watermark import ColumnWatermark, EtagWatermark, FilesWatermark
from batchctl_etl.storage.locations import HttpLocation, base_name, is_pattern, location


def _is_stored(url: str) -> str:
    if isinstance(location(url), HttpLocation):
        raise ValueError('is on the web: set type to "http"')
    return url


def _is_web(url: str) -> str:
    if not isinstance(location(url), HttpLocation):
        raise ValueError('is on disk or in Azure: set type to "file"')
    return url


class FileSource(Strict):
    """A file on disk or in Azure, or all that match a pattern."""

    type: Literal["file"]
    url: Annotated[SourceUrl, AfterValidator(_is_stored)]
    unpack: Unpack | None = None


class HttpSource(Strict):
    """A GET request. In a header, `${NAME}` stands for an environment variable: the place for a secret."""

    type: Literal["http"]
    url: Annotated[SourceUrl, AfterValidator(_is_web)]
    headers: dict[Header, Header] = Field(default_factory=dict)
    timeout_seconds: float = Field(default=60.0, gt=0, description="For each wait for the server.")
    retries: int = Field(default=5, ge=0, le=20, description="After the first try.")
    connections: int = Field(
        default=10,
        ge=1,
        le=16,
        description="At most, for a large file whose server sends parts of one version.",
    )
    unpack: Unpack | None = None


class ExtractSink(Strict):
    """A file, or a folder (ending in `/`) in which files and members keep their names."""

    url: SinkUrl


class ExtractConfig(Strict):
    """What to copy, and to where."""

    source: Annotated[FileSource | HttpSource | ApiSource, Field(discriminator="type")]
    sink: ExtractSink
    watermark: (
        Annotated[ColumnWatermark | FilesWatermark | EtagWatermark, Field(discriminator="type")] | None
    ) = None

    @model_validator(mode="after")
    def _has_a_name(self) -> Self:
        if isinstance(self.source, ApiSource):
            if self.source.state and self.source.lists and not self.sink.url.endswith("/"):
                raise ValueError("state needs a file for each request: end sink.url in /")
            return self
        if self.sink.url.endswith("/") and not base_name(self.source.url):
            raise ValueError("the source's URL names no file: name the file in sink.url")
        if not self.sink.url.endswith("/") and (self.source.unpack or is_pattern(self.source.url)):
            raise ValueError("many files need a folder: end sink.url in /")
        return self

    @model_validator(mode="after")
    def _new_of_what(self) -> Self:
        has_after = isinstance(self.source, ApiSource) and self.source.has_after
        if has_after != isinstance(self.watermark, ColumnWatermark):
            raise ValueError(
                "{after} in source.url, of an api, and a watermark of type column need each other"
            )
        if isinstance(self.watermark, ColumnWatermark):
            assert isinstance(self.source, ApiSource)
            if self.watermark.first is None or self.watermark.input:
                raise ValueError(
                    "watermark: an api needs first: what its first run reads after; and has no input"
                )
            if self.source.state or self.source.no_data is NoData.KEEP:
                raise ValueError("watermark: state and no_data keep mean nothing beside it")
        elif isinstance(self.watermark, FilesWatermark):
            if not isinstance(self.source, FileSource) or self.watermark.input:
                raise ValueError(
                    "watermark: files are of a source of type file, and an extract has no inputs"
                )
            if not self.sink.url.endswith("/"):
                raise ValueError("watermark: new files need a folder: end sink.url in /")
        elif self.watermark and not (isinstance(self.source, HttpSource) and self.source.unpack is None):
            raise ValueError("watermark: etag is of a source of type http, without unpack; an api has state")
        return self

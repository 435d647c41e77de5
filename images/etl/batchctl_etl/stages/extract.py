"""`etl extract`: bytes from files or a web server to files, in chunks; all of them or none."""

import io
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING
from urllib.parse import quote

from batchctl_etl.config.api import AFTER, ApiSource
from batchctl_etl.config.extract import ExtractConfig, FileSource, HttpSource
from batchctl_etl.config.secrets import revealed
from batchctl_etl.config.watermark import ColumnWatermark, FilesWatermark
from batchctl_etl.identity import Origin, owner_mark
from batchctl_etl.report import Report
from batchctl_etl.stages.newer_objects import NewerObjects
from batchctl_etl.stages.sinks import Sinks
from batchctl_etl.state.watermark import Batch
from batchctl_etl.storage.locations import base_name, shown
from batchctl_etl.storage.opening import matching, opener
from batchctl_etl.storage.streams import NotModified, SourceStream

if TYPE_CHECKING:
    from batchctl_etl.stages.incremental import Progress

CHUNK_BYTES = 1024 * 1024


def extract(config: ExtractConfig, *, load_id: str, origin: Origin) -> Report:
    """Copy the source, or what is new of it, to the sink.

    Raises `WorkFailed`, or `BadConfig` if a header's variable is not set.
    """
    source = config.source
    if isinstance(source, ApiSource):
        from batchctl_etl.stages.extract_api import extract_api

        if isinstance(config.watermark, ColumnWatermark):
            return _extract_newer(source, config, config.watermark, load_id, origin)
        return extract_api(source, config.sink.url, owner=owner_mark(load_id))
    progress = None
    if config.watermark is not None:
        from batchctl_etl.stages.incremental import Progress

        progress = Progress(config.watermark, origin, load_id=load_id, of=shown(source.url))
        if isinstance(config.watermark, FilesWatermark):
            progress.choose_files(source.url)
            if progress.batch.is_empty:
                progress.plan()
                return progress.nothing()
    try:
        report = _copied(source, config.sink.url, progress, owner_mark(load_id))
    except NotModified:
        assert progress is not None
        progress.choose_version(None)
        progress.plan()
        return progress.nothing()
    report.extra |= progress.told() if progress is not None else {}
    return report


def _extract_newer(
    source: ApiSource, config: ExtractConfig, watermark: ColumnWatermark, load_id: str, origin: Origin
) -> Report:
    from batchctl_etl.stages.extract_api import extract_api
    from batchctl_etl.stages.incremental import Progress

    where = shown(source.url)
    progress = Progress(watermark, origin, load_id=load_id, of=f"{watermark.column} of {where}")
    batch = progress.fixed or Batch(after=progress.after)
    newer = NewerObjects(watermark.column, batch, inclusive=watermark.inclusive, where=where)
    url = source.url.replace(f"{{{AFTER}}}", quote(batch.after or "", safe=""))

    def end() -> None:
        progress.choose_until(newer.newest)
        progress.plan()
        if progress.batch.is_empty:
            raise NotModified

    try:
        asked = source.model_copy(update={"url": url})
        report = extract_api(asked, config.sink.url, owner=owner_mark(load_id), newer=newer, end=end)
    except NotModified:
        return progress.nothing()
    report.extra |= progress.told()
    return report


def _copied(source: FileSource | HttpSource, sink: str, progress: "Progress | None", owner: str) -> Report:
    with ExitStack() as stack:
        sinks = Sinks(sink, owner, stack)
        if isinstance(source, HttpSource) and source.unpack is None:
            received = _download(source, sinks, progress)
        else:
            urls = matching(source.url) if progress is None else progress.batch.files
            received = _copy_all(source, sinks, urls)
        if progress is not None:
            progress.plan()
    extra: dict[str, object] = {"source": shown(source.url), "sink": sinks.only or shown(sink)}
    if sinks.only is None:
        extra["files"] = len(sinks.names)
    return Report(bytes_read=received, bytes_written=sinks.bytes, extra=extra)


def _copy_all(source: FileSource | HttpSource, sinks: Sinks, urls: Sequence[str]) -> int:
    headers = revealed(source.headers) if isinstance(source, HttpSource) else {}
    received, chunk = 0, memoryview(bytearray(CHUNK_BYTES))
    for url in urls:
        with opener(url, headers) as open_stream, open_stream() as stream:
            for name, content in _contents(source, stream, url):
                with sinks.file(name) as sink:
                    while size := content.readinto(chunk):
                        sink.write(chunk[:size])
            received += stream.reached
    return received


def _contents(
    source: FileSource | HttpSource, stream: SourceStream, url: str
) -> Iterator[tuple[str, io.BufferedReader | SourceStream]]:
    if source.unpack is None:
        yield base_name(url), stream
    else:
        from batchctl_etl.readers.archives import members

        yield from members(stream, source.unpack, where=shown(url))


def _download(source: HttpSource, sinks: Sinks, progress: "Progress | None") -> int:
    from batchctl_etl.storage.http import HttpRequest, download

    request = HttpRequest(
        url=source.url,
        headers=revealed(source.headers),
        # A second attempt of a run that has loaded it wants it again.
        known=progress.before.value or {} if progress is not None and not progress.again else {},
        timeout_seconds=source.timeout_seconds,
        retries=source.retries,
        connections=source.connections,
    )
    with sinks.file(base_name(source.url)) as sink:
        done = download(request, sink)
    if progress is not None:
        progress.choose_version(done.validators)
    return done.received

"""`etl load`: rows from a file into a folder of Parquet files or a table. A second attempt changes nothing
more."""

from contextlib import ExitStack
from datetime import datetime
from typing import Any

from batchctl_etl.config.load import REPLACES_ALL, FileSink, FolderSink, LoadConfig
from batchctl_etl.config.watermark import RunWatermark
from batchctl_etl.errors import BadConfig
from batchctl_etl.identity import Origin, owner_mark
from batchctl_etl.readers.source import open_all, row_input
from batchctl_etl.report import Report
from batchctl_etl.stages.evidence import found_evidence, remember_counts
from batchctl_etl.stages.incremental import Progress, watermark_of
from batchctl_etl.stages.load_sinks import into_sink
from batchctl_etl.stages.quality import quality_gate
from batchctl_etl.stages.quarantine import bad_rows
from batchctl_etl.stages.registration import registration_of, sink_place
from batchctl_etl.state.watermark import Kind

GATE_MEMORY = "1GB"


def load(config: LoadConfig, *, load_id: str, at: datetime, origin: Origin) -> Report:
    """Load the source, or what is new of it; `at` (UTC) is the moment that is remembered.

    Raises `WorkFailed`, `QualityFailed`; the sink is then as it was.
    """
    progress = _progress(config, load_id, origin)
    if progress is not None and progress.batch.is_empty:
        return progress.nothing()
    registration = registration_of(config.dataset, load_id=load_id, origin=origin)
    sink = config.sink
    if registration is not None and isinstance(sink, FolderSink | FileSink):
        sink = sink.model_copy(update={"url": registration.url(sink.url)})
    results: list[dict[str, Any]] = []
    with ExitStack() as stack:
        if progress is None or isinstance(config.watermark, RunWatermark):
            source = row_input(config.source, stack)
        else:
            source = progress.rows(config.source, stack)
        bad = stack.enter_context(bad_rows(config.quarantine, owner=owner_mark(load_id)))
        counts = registration.counts(config.checks) if registration is not None else ()
        evidence = found_evidence(config.checks, stack, origin=origin, load_id=load_id, dataset_counts=counts)
        rows = open_all(source)
        gate = quality_gate(
            registration.contracted(rows) if registration is not None else rows,
            config.checks,
            bad=bad,
            memory_limit=GATE_MEMORY,
            results=results,
            evidence=evidence,
        )
        reader = stack.enter_context(gate)
        if progress is not None:
            progress.claim()
        loaded_as = progress.load_id if progress is not None else load_id
        report = into_sink(sink, reader, load_id=loaded_as, at=at, once=progress is not None)
        report.rows_read = source.rows
        report.bytes_read = source.bytes
    if results:
        remember_counts(config.checks, load_id=load_id, rows=results[0]["rows"], at=at)
    if registration is not None:
        place = sink_place(sink, report.extra, reader.schema)
        written, size = report.rows_written or 0, report.bytes_written
        report.extra |= registration.register(reader.schema, place, rows=written, size=size, at=at)
    if progress is not None:
        progress.advance()
    report.extra |= {"source": source.name, "load_id": loaded_as}
    report.extra |= progress.told() if progress is not None else {}
    report.extra |= {"checks": results} if config.checks else {}
    report.extra |= {"quarantined": bad.count} if config.quarantine else {}
    return report


def _progress(config: LoadConfig, load_id: str, origin: Origin) -> Progress | None:
    """The watermark, and what is new after it. Raises `BadConfig` if loading only that would delete the rest."""
    watermark = config.watermark
    if watermark is None:
        return None
    progress = Progress(watermark, origin, load_id=load_id, of=watermark_of(watermark, config.source))
    if not isinstance(watermark, RunWatermark):
        progress.choose_rows(config.source)
    if config.replaces_all and progress.before.kind is not Kind.ETAG:
        raise BadConfig([f"watermark: {REPLACES_ALL}"])
    return progress

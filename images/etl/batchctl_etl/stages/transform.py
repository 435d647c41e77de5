"""`etl transform`: rows from files or a database through one SELECT, or steps, to a file."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import datetime
from typing import Any

import pyarrow as pa

from batchctl_etl.config.transform import TransformConfig
from batchctl_etl.config.watermark import RunWatermark
from batchctl_etl.identity import Origin, owner_mark
from batchctl_etl.readers.source import RowInput, row_input
from batchctl_etl.report import Report
from batchctl_etl.stages.evidence import found_evidence, remember_counts
from batchctl_etl.stages.incremental import Progress, watermark_of
from batchctl_etl.stages.quality import quality_gate
from batchctl_etl.stages.quarantine import bad_rows
from batchctl_etl.stages.registration import file_place, registration_of
from batchctl_etl.storage.locations import shown
from batchctl_etl.storage.opening import written
from batchctl_etl.transforms.intervals import intervals_as_text
from batchctl_etl.transforms.quarantine import BadRows
from batchctl_etl.transforms.untouched import is_whole, untouched
from batchctl_etl.writers.rows import write_rows


def transform(config: TransformConfig, *, load_id: str, at: datetime, origin: Origin) -> Report:
    """Run the SELECT or the steps, check the rows and write them; `at` (UTC) is the moment that is remembered.

    Raises `WorkFailed`, `QualityFailed`; the sink is then as it was.
    """
    progress, name = _progress(config, load_id, origin)
    if progress is not None and progress.batch.is_empty:
        if not isinstance(config.watermark, RunWatermark):
            progress.plan()
        return progress.nothing()
    registration = registration_of(config.dataset, load_id=load_id, origin=origin)
    url = registration.url(config.sink.url) if registration is not None else config.sink.url
    where, owner = shown(url), owner_mark(load_id)
    results: list[dict[str, Any]] = []
    with ExitStack() as stack:
        inputs = {
            view: progress.rows(source, stack) if progress and view == name else row_input(source, stack)
            for view, source in config.views.items()
        }
        counts = registration.counts(config.checks) if registration is not None else ()
        evidence = found_evidence(
            config.checks, stack, origin=origin, load_id=load_id, inputs=inputs, dataset_counts=counts
        )
        with (
            bad_rows(config.quarantine, owner=owner) as bad,
            _transformed(config, inputs, bad) as reader,
            quality_gate(
                registration.contracted(reader) if registration is not None else reader,
                config.checks,
                bad=bad,
                memory_limit=config.memory_limit,
                results=results,
                evidence=evidence,
            ) as good,
            written(url, owner=owner) as stream,
        ):
            rows = write_rows(good, stream, config.sink.format, where=where, form=config.sink)
            if progress is not None and name is not None:
                progress.plan()
        if results:
            remember_counts(config.checks, load_id=load_id, rows=results[0]["rows"], at=at)
        extra: dict[str, Any] = {
            "inputs": {name: item.name for name, item in inputs.items()},
            "sink": where,
        }
        if registration is not None:
            place = file_place(url, config.sink.format.value)
            extra |= registration.register(good.schema, place, rows=rows, size=stream.count, at=at)
        extra |= progress.told() if progress is not None else {}
        extra |= {"checks": results} if config.checks else {}
        extra |= {"quarantined": bad.count} if config.quarantine else {}
        return Report(
            rows_read=sum(item.rows for item in inputs.values()),
            rows_written=rows,
            bytes_read=sum(item.bytes for item in inputs.values()),
            bytes_written=stream.count,
            extra=extra,
        )


def _progress(config: TransformConfig, load_id: str, origin: Origin) -> tuple[Progress | None, str | None]:
    """The watermark, and the view whose new rows are read because of it (none if an earlier stage read them)."""
    watermark = config.watermark
    if watermark is None:
        return None, None
    if isinstance(watermark, RunWatermark):
        return Progress(watermark, origin, load_id=load_id, of=""), None
    name = watermark.input or next(iter(config.views))
    source = config.views[name]
    progress = Progress(watermark, origin, load_id=load_id, of=watermark_of(watermark, source))
    progress.choose_rows(source)
    return progress, name


@contextmanager
def _transformed(
    config: TransformConfig, inputs: Mapping[str, RowInput], bad: BadRows
) -> Iterator[pa.RecordBatchReader]:
    with _queried(config, inputs, bad) as reader:
        yield intervals_as_text(reader)


def _queried(
    config: TransformConfig, inputs: Mapping[str, RowInput], bad: BadRows
) -> AbstractContextManager[pa.RecordBatchReader]:
    if config.sql is not None:
        (name, source), *others = inputs.items()
        if not others and is_whole(config.sql, name):
            return untouched(
                config.sql, name, source, memory_limit=config.memory_limit, threads=config.threads
            )
        from batchctl_etl.transforms.sql import select

        opened = {name: item.open for name, item in inputs.items()}
        return select(config.sql, opened, memory_limit=config.memory_limit, threads=config.threads)
    from batchctl_etl.transforms.pipeline import stepped

    return stepped(
        config.steps,
        inputs,
        start=config.start or next(iter(inputs)),
        bad=bad,
        memory_limit=config.memory_limit,
        threads=config.threads,
    )

"""The upkeep of a Delta table: its history, the files nobody needs, small files into larger ones."""

from collections.abc import Sequence
from typing import Any

from batchctl_etl.delta.opening import delta_errors, existing_table, moment, place
from batchctl_etl.delta.writing import METADATA, writer_properties
from batchctl_etl.errors import WorkFailed


def history(url: str, *, limit: int) -> list[dict[str, Any]]:
    """The last versions, the newest first: what each did, when (UTC), and for which load. Raises `WorkFailed`."""
    where = place(url)
    table = existing_table(where)
    with delta_errors(where.name):
        return [_version(entry) for entry in table.history(limit)]


def _version(entry: dict[str, Any]) -> dict[str, Any]:
    metrics = entry.get("operationMetrics", {})
    return {
        "version": entry["version"],
        "at": moment(entry["timestamp"]).isoformat(timespec="milliseconds"),
        "operation": entry["operation"],
        "mode": entry.get("operationParameters", {}).get("mode"),
        "rows_added": metrics.get("num_added_rows"),
        "files_added": metrics.get("num_added_files", metrics.get("numFilesAdded")),
        "files_removed": metrics.get("num_removed_files", metrics.get("numFilesRemoved")),
        "load_id": entry.get(METADATA),
    }


def vacuum(url: str, *, retention_hours: int | None, dry_run: bool, force: bool) -> dict[str, Any]:
    """Delete the files that no version of the last `retention_hours` needs, also those of loads that were killed.

    The default is the table's own (a week if it says nothing); less needs `force`: whoever reads an old version,
    or is just loading, loses its files. Raises `WorkFailed`.
    """
    where = place(url)
    table = existing_table(where)
    if retention_hours is not None and retention_hours < 168 and not force:
        what = "less than 168 hours take files from those who are reading or loading"
        raise WorkFailed(where.name, what, "be sure that nobody is, and add --force")
    with delta_errors(where.name):
        files = table.vacuum(
            retention_hours=retention_hours, dry_run=dry_run, enforce_retention_duration=not force, full=True
        )
    return {"table": where.name, "files": sorted(files), "deleted": 0 if dry_run else len(files)}


def optimize(url: str, *, z_order: Sequence[str]) -> dict[str, Any]:
    """Write small files together as larger ones, or all of them sorted by `z_order`; the rows stay.

    Raises `WorkFailed`.
    """
    where = place(url)
    table = existing_table(where)
    with delta_errors(where.name):
        if z_order:
            metrics = table.optimize.z_order(list(z_order), writer_properties=writer_properties())
        else:
            # One task at a time: each holds some row groups of its files.
            metrics = table.optimize.compact(max_concurrent_tasks=1, writer_properties=writer_properties())
    return {
        "table": where.name,
        "version": table.version(),
        "files_added": metrics["numFilesAdded"],
        "files_removed": metrics["numFilesRemoved"],
    }

"""The output of a stage as a version of a dataset: its path, its columns under the contract, its entry in the catalogue."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.types as types

from batchctl_etl.config.checks import Check, RowCount
from batchctl_etl.config.dataset import VERSION, Dataset
from batchctl_etl.console import story
from batchctl_etl.datasets.catalogue import head_of, publish, version_of
from batchctl_etl.datasets.contract import Agreement, agreed, shaped
from batchctl_etl.datasets.version import Producer, Version, kept_schema, version_id
from batchctl_etl.errors import QualityFailed
from batchctl_etl.identity import Origin
from batchctl_etl.storage.locations import FileLocation, location


class Registration:
    """One version, from its beginning to its entry. Every verb raises `WorkFailed`."""

    def __init__(self, dataset: Dataset, *, load_id: str, origin: Origin) -> None:
        self.version = version_id(dataset.catalogue, dataset.name, load_id)
        self._dataset = dataset
        self._producer = Producer(
            load_id=load_id,
            pipeline=origin.pipeline,
            run=origin.run,
            task=origin.task,
            scheduled_at=origin.scheduled_at.isoformat() if origin.scheduled_at else None,
        )
        head = head_of(dataset.catalogue, dataset.name)
        self._newest = head.newest
        place = head.versions.index(self.version) + 1 if self.version in head.versions else 0
        self._earlier = head.versions[place:]
        self._where = f"dataset {dataset.name} in {dataset.catalogue}"
        self._agreement: Agreement | None = None

    def url(self, url: str) -> str:
        """The sink's URL, with the version's id in it."""
        return url.replace(VERSION, self.version)

    def counts(self, checks: Sequence[Check]) -> list[int]:
        """Rows of the versions before, the latest first: as many as the checks compare with."""
        comparing = [check.runs for check in checks if isinstance(check, RowCount) and check.change]
        return [self._read(id).rows for id in self._earlier[: max(comparing, default=0)]]

    def contracted(self, reader: pa.RecordBatchReader) -> pa.RecordBatchReader:
        """The rows in the columns that the contract gives them. Raises `QualityFailed` naming what breaks it."""
        contract = self._dataset.contract
        if contract is None or not self._earlier:
            return reader
        result = agreed(contract, self._read(self._earlier[0]).schema, reader.schema)
        if result.problems:
            failed = {"check": f"contract({contract.value})", "level": "error", "status": "failed"}
            problems = "; ".join(result.problems)
            what = f"contract {contract.value} of {self._where}: {problems}; correct the source, or choose another contract"
            raise QualityFailed([what], checks=[failed | {"problems": result.problems}])
        for name in result.discarded:
            story(f"{self._where}: column {name!r} is new, and dropped")
        self._agreement = result
        return shaped(reader, result.schema, where=self._where)

    def _read(self, id: str) -> Version:
        return version_of(self._dataset.catalogue, self._dataset.name, id)

    def register(
        self,
        schema: pa.Schema,
        place: dict[str, Any],
        *,
        rows: int,
        size: int | None,
        at: datetime,
    ) -> dict[str, Any]:
        """After the rows are where `place` says: enter the version. What to tell of it."""
        columns, text = kept_schema(schema)
        dataset = self._dataset
        version = Version(
            name=dataset.name,
            version=self.version,
            created_at=at.isoformat(),
            location=place,
            columns=columns,
            arrow_schema=text,
            rows=rows,
            bytes=size,
            tags=dataset.tags,
            description=dataset.description,
            contract=dataset.contract.value if dataset.contract else None,
            producer=self._producer,
        )
        publish(dataset.catalogue, version, before=self._newest)
        told: dict[str, Any] = {"name": dataset.name, "version": self.version}
        differs = self._agreement.told() if self._agreement else {}
        return {"dataset": told | ({"contract": differs} if differs else {})}


def registration_of(dataset: Dataset | None, *, load_id: str, origin: Origin) -> Registration | None:
    """The version that a stage makes, if it makes one. Raises `WorkFailed`."""
    return None if dataset is None else Registration(dataset, load_id=load_id, origin=origin)


def file_place(url: str, format: str) -> dict[str, Any]:
    """A file, or files of a pattern, as a source of rows that is good in any working directory."""
    where = location(url)
    absolute = where.path.absolute().as_uri() if isinstance(where, FileLocation) else url
    return {"type": "file", "url": absolute.replace("%2A", "*"), "format": format}


def sink_place(sink: Any, report: dict[str, Any], schema: pa.Schema) -> dict[str, Any]:
    """Where a load has put its rows: files, a Delta table at its version, or a table of a database."""
    if sink.type == "parquet":
        place = file_place(f"{sink.url.rstrip('/')}/**/*.parquet", "parquet")
        return place | (
            {"partitions": partition_types(schema, sink.partition_by)} if sink.partition_by else {}
        )
    if sink.type in {"csv", "jsonl"}:
        return file_place(sink.url, sink.type)
    if sink.type == "delta":
        where = location(sink.url)
        url = where.path.absolute().as_uri() + "/" if isinstance(where, FileLocation) else sink.url
        return {"type": "delta", "url": url, "version": report.get("version")}
    names = ("url", "dsn_env", "db_schema", "table")
    return {"type": sink.type} | {name: getattr(sink, name) for name in names if hasattr(sink, name)}


def partition_types(schema: pa.Schema, by: Sequence[str]) -> dict[str, str]:
    """The types, as a source of rows names them, of columns whose values are folders."""
    kinds = {name: schema.field(name).type for name in by}
    return {
        name: "int64"
        if types.is_integer(kind)
        else "date"
        if types.is_date(kind)
        else "bool"
        if types.is_boolean(kind)
        else "string"
        for name, kind in kinds.items()
    }

"""Rows put apart by the values of some columns, on disk: each part can then be written alone, one file at a time."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as arrow_compute

from batchctl_etl.storage.streams import disk_errors

HELD_BYTES = 128 * 1024 * 1024
Key = tuple[Any, ...]


class Spool:
    """Parts in files of `folder`, each known by the values of the columns `by`; rows keep their order in each."""

    def __init__(self, folder: Path, schema: pa.Schema, by: tuple[str, ...]) -> None:
        self.schema = pa.schema([field for field in schema if field.name not in by])
        """The columns without `by`."""
        self._folder = folder
        self._by = by
        self._held: dict[Key, list[pa.RecordBatch]] = {}
        self._sizes: dict[Key, int] = {}
        self._files: dict[Key, Path] = {}

    @property
    def keys(self) -> list[Key]:
        """The parts, in the order in which they came."""
        return list(self._files)

    def add(self, batch: pa.RecordBatch) -> None:
        """Put the rows of `batch` where they belong. Raises `WorkFailed` if the disk is full."""
        keys: list[pa.DictionaryArray] = []
        codes = pa.repeat(pa.scalar(0, pa.int64()), batch.num_rows)
        for name in self._by:
            encoded = arrow_compute.dictionary_encode(batch.column(name), null_encoding="encode")
            index = arrow_compute.cast(encoded.indices, pa.int64())
            count = pa.scalar(len(encoded.dictionary), pa.int64())
            codes = _paired(codes, count, index)
            keys.append(encoded)
        order = arrow_compute.array_sort_indices(codes)
        ends = arrow_compute.run_end_encode(codes.take(order)).run_ends.to_pylist()
        rest = batch.select(self.schema.names)
        for start, end in zip([0, *ends], ends, strict=False):
            rows = order.slice(start, end - start)
            first = rows[0].as_py()
            # A copy: a slice would keep all of the batch in memory.
            self._hold(tuple(column[first].as_py() for column in keys), rest.take(rows))
        while sum(self._sizes.values()) > HELD_BYTES:
            self._put(max(self._sizes, key=self._sizes.__getitem__))

    def rows(self, key: Key) -> pa.RecordBatchReader:
        """The rows of one part; once."""
        return pa.RecordBatchReader.from_batches(self.schema, self._read(key))

    def _hold(self, key: Key, rows: pa.RecordBatch) -> None:
        self._files.setdefault(key, self._folder / f"{len(self._files)}.arrows")
        self._held.setdefault(key, []).append(rows)
        self._sizes[key] = self._sizes.get(key, 0) + rows.nbytes

    def _put(self, key: Key) -> None:
        with (
            disk_errors(str(self._folder), "written"),
            self._files[key].open("ab") as file,
            pa.ipc.new_stream(file, self.schema) as stream,
        ):
            for rows in self._held.pop(key):
                stream.write_batch(rows)
        del self._sizes[key]

    def _read(self, key: Key) -> Iterator[pa.RecordBatch]:
        path = self._files[key]
        if path.exists():
            with disk_errors(str(path), "read"), path.open("rb") as file:
                while file.peek(1):
                    yield from pa.ipc.open_stream(file)
            path.unlink()
        yield from self._held.pop(key, [])
        self._sizes.pop(key, None)


def _paired(codes: pa.Array, count: pa.Scalar, index: pa.Array) -> pa.Array:
    """One number for each pair of numbers, the second below `count`; small ones, so that more columns fit."""
    pairs = arrow_compute.add(arrow_compute.multiply(codes, count), index)
    return arrow_compute.cast(arrow_compute.dictionary_encode(pairs).indices, pa.int64())

"""Writing a stream of rows to a file-like object, whatever the format."""

import pyarrow as pa

from batchctl_etl.config.parquet import ParquetForm
from batchctl_etl.config.values import Format
from batchctl_etl.errors import WorkFailed
from batchctl_etl.storage.streams import SinkStream


def write_rows(
    reader: pa.RecordBatchReader,
    stream: SinkStream,
    format: Format,
    *,
    where: str,
    form: ParquetForm | None = None,
) -> int:
    """Write all rows of `reader`; how many there were. `form` is for Parquet.

    `where` is the name of the place in messages. Raises `WorkFailed` if the format cannot hold a column's
    type.
    """
    try:
        if format is Format.PARQUET and form is not None and not form.is_default:
            from batchctl_etl.writers.parquet_form import write_parquet_form

            return write_parquet_form(reader, stream, form)
        if format is Format.PARQUET:
            from batchctl_etl.writers.parquet import write_parquet

            return write_parquet(reader, stream)
        if format is Format.CSV:
            from batchctl_etl.writers.csv import write_csv

            return write_csv(reader, stream)
        from batchctl_etl.writers.jsonl import write_jsonl

        return write_jsonl(reader, stream)
    except (pa.ArrowException, TypeError) as error:
        what = f"cannot be written as {format.value}: {error}"
        raise WorkFailed(where, what, "cast the column in sql") from error

"""How Parquet is written: what a sink of Parquet may say of it."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from batchctl_etl.config.strict import Strict

LARGEST_GROUP = 10_000_000


class Compression(StrEnum):
    """What makes the pages of a column smaller."""

    ZSTD = "zstd"
    SNAPPY = "snappy"
    GZIP = "gzip"
    LZ4 = "lz4"
    NONE = "none"


class ParquetForm(Strict):
    """Part of each sink that writes Parquet. A row group is held in memory while it is filled."""

    compression: Annotated[Compression, Field(strict=False)] | None = Field(
        default=None, description="Default: zstd."
    )
    row_group_size: int | None = Field(
        default=None, ge=1, le=LARGEST_GROUP, description="Rows. Default: some 131,072, wide ones fewer."
    )

    @property
    def is_default(self) -> bool:
        """Whether nothing is said."""
        return self.compression is None and self.row_group_size is None

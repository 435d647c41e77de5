"""Which members of an archive are wanted, and how large they may become."""

from typing import Annotated

from pydantic import Field, StringConstraints

from batchctl_etl.config.strict import Strict


class Unpack(Strict):
    """Members of a zip or a tar, or what a gzip or zstd file holds.

    `members` is a pattern of the whole name: `*` and `?` within a folder, `**/` for any folders.
    """

    members: Annotated[str, StringConstraints(min_length=1)] = "**/*"
    max_bytes: int = Field(default=2**40, gt=0, description="Of all members together, unpacked.")
    max_ratio: float = Field(
        default=250.0, gt=1, description="Bytes unpacked for each byte read, beyond the first 256 MiB."
    )

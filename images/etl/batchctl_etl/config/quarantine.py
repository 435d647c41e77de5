"""Where rows go that fail to cast or fail a check."""

from typing import Self

from pydantic import Field, model_validator

from batchctl_etl.config.strict import Strict
from batchctl_etl.config.values import SinkFileUrl

NEEDED = "quarantine is missing: where the bad rows go"
UNNEEDED = "nothing sends rows to quarantine: set on_error or level"


class Quarantine(Strict):
    """A JSONL file, written anew by every run, and how many rows it may take before that is a failure."""

    url: SinkFileUrl
    max_rows: int = Field(default=100_000, ge=1)

    @model_validator(mode="after")
    def _jsonl(self) -> Self:
        if not self.url.lower().endswith((".jsonl", ".ndjson")):
            raise ValueError("url must end in .jsonl")
        return self

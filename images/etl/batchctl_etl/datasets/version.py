"""A version of a dataset, as it is kept. Pure: values in, values out."""

import base64
import uuid
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from batchctl_etl.errors import WorkFailed

FORMAT = 1
_NAMESPACE = uuid.UUID("6d0e9b0a-9a2c-5f4e-8f43-5f0a7c1d2b61")


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column, its type in Arrow's words."""

    name: str
    type: str


@dataclass(frozen=True, kw_only=True)
class Producer:
    """Who wrote it; all but `load_id` are `None` by hand. `scheduled_at` is ISO 8601."""

    load_id: str
    pipeline: str | None = None
    run: str | None = None
    task: str | None = None
    scheduled_at: str | None = None


@dataclass(frozen=True, kw_only=True)
class Version:
    """One version. `location` is a source of rows for `etl`, or names a table; `created_at` is ISO 8601 in UTC.

    `arrow_schema` is the schema in Arrow's own form (base64); `columns` says the same for people.
    """

    name: str
    version: str
    created_at: str
    location: dict[str, Any]
    columns: tuple[Column, ...]
    arrow_schema: str
    rows: int
    bytes: int | None
    tags: tuple[str, ...]
    description: str
    contract: str | None
    producer: Producer

    @property
    def schema(self) -> pa.Schema:
        """The columns."""
        return pa.ipc.read_schema(pa.BufferReader(base64.b64decode(self.arrow_schema)))


def version_id(catalogue: str, name: str, load_id: str) -> str:
    """The same UUID for every attempt of a task of a run."""
    return str(uuid.uuid5(_NAMESPACE, f"{catalogue}\n{name}\n{load_id}"))


def kept_schema(schema: pa.Schema) -> tuple[tuple[Column, ...], str]:
    """The columns, and the schema as text, without metadata."""
    plain = schema.remove_metadata()
    columns = tuple(Column(name=field.name, type=str(field.type)) for field in plain)
    return columns, base64.b64encode(plain.serialize().to_pybytes()).decode()


def version_content(version: Version) -> dict[str, Any]:
    """As JSON data."""
    return {"format": FORMAT} | asdict(version)


def read_version(content: Any, *, url: str) -> Version:
    """The inverse of `version_content`. Raises `WorkFailed` for anything else."""
    try:
        found = dict(content)
        if found.pop("format") != FORMAT:
            raise ValueError(f"format {content['format']}")
        columns = tuple(Column(**column) for column in found.pop("columns"))
        producer = Producer(**found.pop("producer"))
        return Version(**(found | {"tags": tuple(found["tags"])}), columns=columns, producer=producer)
    except (LookupError, TypeError, ValueError) as error:
        raise WorkFailed(url, f"it is no version of ours ({error})", "restore it") from error

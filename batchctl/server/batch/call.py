"""One request as a handler sees it, and one answer as a handler gives it.

Handlers are plain functions `Call -> Reply`, run inside one transaction; they know nothing of the web framework.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from batchctl.server.batch.conditions import check_conditions
from batchctl.server.batch.errors import ServiceError, error_detail, invalid_query
from batchctl.server.batch.fields import canonical
from batchctl.server.batch.store import Store
from batchctl.server.batch.wire import Doc, http_date

CURRENT_API = "2025-06-01"
API_VERSIONS = frozenset(
    {
        CURRENT_API,
        "2024-07-01.20.0",
        "2024-02-01.19.0",
        "2023-11-01.18.0",
        "2023-05-01.17.0",
        "2022-10-01.16.0",
        "2022-01-01.15.0",
        "2021-06-01.14.0",
        "2020-09-01.12.0",
        "2020-03-01.11.0",
        "2019-08-01.10.0",
        "2019-06-01.9.0",
        "2018-12-01.8.0",
    }
)


@dataclass(frozen=True, kw_only=True)
class Call:
    """A request that is authenticated and whose API version is known. `headers` are lower-case."""

    method: str
    operation: str
    path: str
    raw_query: str
    params: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any
    api_version: str
    request_id: str
    now: datetime
    store: Store
    endpoint: str
    nodes: Path

    def checked_body(self, model: str) -> Doc:
        """The body as `model`, canonical. Raises ServiceError; see `fields.canonical`."""
        return canonical(model, self.body, retired_allowed=self.api_version != CURRENT_API)

    @property
    def is_before_slots(self) -> bool:
        """Is the API version one of those that did not know task slots (until 2020-03-01.11.0)?"""
        return self.api_version < "2020-09-01"

    def optional_body(self, model: str) -> Doc:
        """Like `checked_body`, for operations whose body may be absent."""
        return {} if self.body is None else self.checked_body(model)

    def check_conditions(self, etag: str, modified: str) -> None:
        """Raise ServiceError when a conditional header says that the operation must not happen."""
        check_conditions(self.headers, etag, modified, is_read=self.method in ("GET", "HEAD"))

    def flag(self, name: str) -> bool:
        """A query parameter that is true or false; false when absent. Raises ServiceError."""
        text = self.query.get(name, "false")
        if text.lower() not in ("true", "false"):
            raise invalid_query(name, text, "The value must be true or false.")
        return text.lower() == "true"

    def detail(self, error: ServiceError) -> Doc:
        """An error inside a successful answer (one task of a collection)."""
        return error_detail(error, self.request_id, self.now)


@dataclass(frozen=True, kw_only=True)
class Reply:
    """Status, body (JSON) or stream (bytes), and headers beside the ones every answer has."""

    status: int
    body: Doc | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    stream: AsyncIterator[bytes] | None = None


Handler = Callable[[Call], Reply]


def versioned(etag: str, modified: str) -> dict[str, str]:
    """The ETag and Last-Modified headers of a resource."""
    return {"ETag": etag, "Last-Modified": http_date(modified)}


def described(doc: Doc, url: str) -> dict[str, str]:
    """The headers of an answer about one resource: its version and its address."""
    return versioned(doc["eTag"], doc["lastModified"]) | {"DataServiceId": url}


def element(call: Call, kind: str, doc: Doc) -> Doc:
    """A single resource as a body; `kind` as in `#pools`."""
    return {"odata.metadata": f"{call.endpoint}/$metadata#{kind}/@Element", **doc}

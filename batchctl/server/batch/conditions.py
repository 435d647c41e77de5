"""Conditional headers: If-Match, If-None-Match, If-Modified-Since, If-Unmodified-Since.

Source: Azure Batch REST, "Specify conditional headers": at most one of them; 304 for a read, 412 otherwise.
"""

from collections.abc import Mapping

from batchctl.server.batch.errors import ServiceError
from batchctl.server.batch.wire import http_date, moment_of, parse_http_date

_HEADERS = ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since")


def check_conditions(headers: Mapping[str, str], etag: str, modified: str, *, is_read: bool) -> None:
    """Raise ServiceError unless the request's condition holds for a resource with this version.

    MultipleConditionHeadersNotSupported (400), InvalidHeaderValue (400), ConditionNotMet (304 when a read finds
    nothing new, 412 otherwise).
    """
    given = [(name, headers[name]) for name in _HEADERS if headers.get(name)]
    if not given:
        return
    if len(given) > 1:
        raise ServiceError("MultipleConditionHeadersNotSupported")
    name, value = given[0]
    if not _holds(name, value, etag, modified):
        if is_read and name in ("if-none-match", "if-modified-since"):
            version = {"ETag": etag, "Last-Modified": http_date(modified)}
            raise ServiceError("ConditionNotMet", status=304, headers=version)
        raise ServiceError("ConditionNotMet")


def _holds(name: str, value: str, etag: str, modified: str) -> bool:
    if name in ("if-match", "if-none-match"):
        tags = [tag.strip().removeprefix("W/").strip('"') for tag in value.split(",")]
        matched = "*" in tags or etag in tags
        return matched if name == "if-match" else not matched
    try:
        limit = parse_http_date(value)
    except ValueError:
        raise ServiceError("InvalidHeaderValue", ("HeaderName", name), ("HeaderValue", value)) from None
    # Headers have whole seconds, so the stored instant is compared by the second.
    is_newer = moment_of(modified).replace(microsecond=0) > limit
    return is_newer if name == "if-modified-since" else not is_newer

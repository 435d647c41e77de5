"""The errors of the served API: code, HTTP status, message, details, as the real service writes them.

`ServiceError` never leaves `batchctl.server`: clients see it as an HTTP answer. The codes and their texts are
`errors.json` (Azure Batch REST, "Batch status and error codes"). This module must not know HTTP frameworks.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.resources import files

import orjson

from batchctl.server.batch.wire import Doc, instant_text

_TABLE = orjson.loads(files(__package__).joinpath("errors.json").read_bytes())
API_ERRORS: Mapping[str, tuple[int, str]] = {code: (row[0], row[1]) for code, row in _TABLE["api"].items()}
TASK_FAILURES: Mapping[str, str] = _TABLE["taskFailureInfo"]
SCHEDULING_ERRORS: Mapping[str, str] = _TABLE["jobSchedulingError"]


class ServiceError(Exception):
    """An answer that says no: `code` is one of `errors.json`, `values` are (key, value) details.

    `headers` go with the answer, as `Retry-After`.
    """

    def __init__(
        self,
        code: str,
        *values: tuple[str, str],
        message: str | None = None,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        known_status, text = API_ERRORS[code]
        self.code = code
        self.status = known_status if status is None else status
        self.message = message or text
        self.values: Sequence[tuple[str, str]] = values
        self.headers: Mapping[str, str] = headers or {}
        super().__init__(f"{code}: {self.message} {values or ''}")


def missing_property(name: str) -> ServiceError:
    """A required property of the request body is absent."""
    return ServiceError("MissingRequiredProperty", ("PropertyName", name))


def invalid_value(name: str, value: object, reason: str) -> ServiceError:
    """A property has a value of the right type that is not allowed."""
    details = (("PropertyName", name), ("PropertyValue", str(value)), ("Reason", reason))
    return ServiceError("InvalidPropertyValue", *details)


def invalid_body(reason: str) -> ServiceError:
    """The body is not JSON, has an unknown property, or a value of the wrong type."""
    return ServiceError("InvalidRequestBody", ("Reason", reason))


def invalid_query(name: str, value: str, reason: str) -> ServiceError:
    """A query parameter cannot be understood."""
    details = (("QueryParameterName", name), ("QueryParameterValue", value), ("Reason", reason))
    return ServiceError("InvalidQueryParameterValue", *details)


def not_implemented(what: str) -> ServiceError:
    """This service does not (yet) do `what`; never answered with a silent success."""
    message = f"{what} is not implemented by this local service."
    return ServiceError("NotImplemented", ("Operation", what), message=message)


def error_detail(error: ServiceError, request_id: str, now: datetime) -> Doc:
    """The error as an element of a body: code, message with request id and time, values."""
    text = f"{error.message}\nRequestId:{request_id}\nTime:{instant_text(now)}"
    detail: Doc = {"code": error.code, "message": {"lang": "en-US", "value": text}}
    if error.values:
        detail["values"] = [{"key": key, "value": value} for key, value in error.values]
    return detail


def error_body(error: ServiceError, *, endpoint: str, request_id: str, now: datetime) -> Doc:
    """The whole body of an error answer."""
    kind = "Microsoft.Azure.Batch.Protocol.Entities.Container.errors/@Element"
    return {"odata.metadata": f"{endpoint}/$metadata#{kind}", **error_detail(error, request_id, now)}

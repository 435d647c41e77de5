"""Azure's errors -> ours, in one place, keyed on the service's own code and never on a message's text.

with azure_errors("create pool etl"):
    client.create_pool(body)
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from batchctl.errors import Conflict, NotAuthenticated, NotFound, QuotaExceeded, TargetError, Unreachable

if TYPE_CHECKING:
    from azure.core.exceptions import HttpResponseError

_QUOTA = frozenset(
    {
        "AccountCoreQuotaReached", "AccountLowPriorityCoreQuotaReached", "ActiveJobAndScheduleQuotaReached",
        "PoolQuotaReached", "JobScheduleQuotaReached", "QuotaExceeded",
    }
)  # fmt: skip
_IDENTITY = frozenset(
    {
        "AuthenticationFailed",
        "InvalidAuthenticationInfo",
        "InsufficientAccountPermissions",
        "AuthorizationFailure",
    }
)

RETRY_STATUS = frozenset({408, 429, 500, 502, 503, 504})
_ATTEMPTS = 6
_LONGEST_WAIT = 30.0


@contextmanager
def azure_errors(doing: str) -> Iterator[None]:
    """Run a call of Azure's SDK; what it raises becomes a TargetError that says what we were `doing`."""
    from azure.core.exceptions import (
        AzureError,
        ClientAuthenticationError,
        HttpResponseError,
        ServiceRequestError,
        ServiceResponseError,
    )

    try:
        yield
    except ClientAuthenticationError as error:
        raise NotAuthenticated(
            f"could not {doing}: {_text(error)}", code=error_code(error), hint="az login, or set BATCHCTL_KEY"
        ) from error
    except HttpResponseError as error:
        _read_body(error)
        raise _translated(doing, error) from error
    except (ServiceRequestError, ServiceResponseError) as error:
        raise Unreachable(
            f"could not {doing}: nobody answers: {_first_line(error)}",
            hint="is the endpoint right? batchctl local status",
        ) from error
    except AzureError as error:
        raise TargetError(f"could not {doing}: {_first_line(error)}") from error


def error_code(error: BaseException) -> str:
    """The wire code of an error of Azure's, `""` if it has none. A HEAD has no body, hence no code."""
    for holder in (getattr(error, "model", None), getattr(error, "error", None)):
        code = getattr(holder, "code", None)
        if isinstance(code, str):
            return code
    return ""


def retried(call: Callable[[], Any]) -> Any:
    """`call()`, tried again with back-off while the service is busy, broken or gone; `Retry-After` is honoured.

    Every operation this is used for may be repeated: a repeated create answers "exists", and its caller knows.
    """
    import stamina
    from stamina.instrumentation import set_on_retry_hooks

    set_on_retry_hooks([])
    for attempt in stamina.retry_context(
        on=_wait_before_retry, attempts=_ATTEMPTS, timeout=120, wait_initial=0.2, wait_max=_LONGEST_WAIT
    ):
        with attempt:
            return call()
    return None  # pragma: no cover


def _wait_before_retry(error: Exception) -> bool | float:
    from azure.core.exceptions import HttpResponseError, ServiceRequestError, ServiceResponseError

    if isinstance(error, HttpResponseError):
        if error.status_code not in RETRY_STATUS:
            return False
        headers = getattr(error.response, "headers", {})
        wanted = str(headers.get("Retry-After", ""))
        return min(float(wanted), _LONGEST_WAIT) if wanted.replace(".", "", 1).isdigit() else True
    return isinstance(error, ServiceRequestError | ServiceResponseError)


def _read_body(error: "HttpResponseError") -> None:
    """The SDK leaves the body of a streamed answer unread, even when it is an error: then its code is only there."""
    from azure.batch.models import BatchError
    from azure.core.exceptions import AzureError

    if error_code(error) or error.response is None:
        return
    try:
        body = json.loads(error.response.read())  # type: ignore[attr-defined]
    except (AttributeError, ValueError, AzureError):
        return
    if isinstance(body, dict) and isinstance(body.get("code"), str):
        error.model = BatchError(body)


def _translated(doing: str, error: "HttpResponseError") -> TargetError:
    code = error_code(error)
    message = f"could not {doing}: {_text(error)}"
    if code in _IDENTITY or error.status_code == 401:
        return NotAuthenticated(message, code=code, hint="check the account, and BATCHCTL_KEY or az login")
    if code in _QUOTA:
        return QuotaExceeded(message, code=code, hint="ask Azure for more, or delete what is not needed")
    if error.status_code == 404:
        return NotFound(message, code=code)
    if error.status_code in (409, 412):
        return Conflict(message, code=code)
    return TargetError(message, code=code)


def _text(error: Any) -> str:
    """`PoolNotFound: The specified pool does not exist. (subnetId: …)`, without the request id lines."""
    model = getattr(error, "model", None)
    said = getattr(getattr(model, "message", None), "value", None) or _first_line(error)
    details = [
        f"{d.key}: {d.value}" for d in getattr(model, "error_values", None) or [] if getattr(d, "value", None)
    ]
    text = str(said).split("\nRequestId:")[0].strip()
    code = error_code(error)
    return (f"{code}: " if code else "") + text + (f" ({'; '.join(details)})" if details else "")


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]

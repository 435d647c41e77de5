"""Azure's errors become ours by their code; what may pass is tried again."""

from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ServiceRequestError

from batchctl.errors import Conflict, NotAuthenticated, NotFound, QuotaExceeded, TargetError, Unreachable
from batchctl.targets.azure_errors import azure_errors, error_code, retried


class Body:
    def __init__(self, code: str, details: list[Any] | None = None) -> None:
        self.code = code
        self.message = type("Message", (), {"value": "The text.\nRequestId:1\nTime:2"})()
        self.error_values = details


class Response:
    def __init__(self, status: int, headers: dict[str, str] | None = None) -> None:
        self.status_code = status
        self.reason = "because"
        self.headers = headers or {}


def http_error(status: int, code: str = "", headers: dict[str, str] | None = None) -> HttpResponseError:
    error = HttpResponseError(message="text")
    error.status_code = status
    error.response = Response(status, headers)  # type: ignore[assignment]
    error.model = Body(code) if code else None
    return error


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (403, "AuthenticationFailed", NotAuthenticated),
        (401, "", NotAuthenticated),
        (404, "PoolNotFound", NotFound),
        (409, "PoolExists", Conflict),
        (409, "PoolQuotaReached", QuotaExceeded),
        (409, "ActiveJobAndScheduleQuotaReached", QuotaExceeded),
        (412, "ConditionNotMet", Conflict),
        (400, "InvalidPropertyValue", TargetError),
        (500, "InternalError", TargetError),
    ],
)
def test_by_code(status: int, code: str, expected: type[TargetError]) -> None:
    with pytest.raises(TargetError) as caught, azure_errors("do it"):
        raise http_error(status, code)
    assert type(caught.value) is expected
    assert caught.value.code == code
    assert str(caught.value).startswith("could not do it: ")
    assert "RequestId" not in str(caught.value)


def test_nobody_answers() -> None:
    with pytest.raises(Unreachable, match="nobody answers"), azure_errors("do it"):
        raise ServiceRequestError("refused")


def test_a_bug_stays_a_bug() -> None:
    with pytest.raises(ZeroDivisionError), azure_errors("do it"):
        raise ZeroDivisionError


def test_no_body_no_code() -> None:
    assert error_code(http_error(404)) == ""


@pytest.mark.parametrize(
    "error", [http_error(429, headers={"Retry-After": "0"}), http_error(503), ServiceRequestError("reset")]
)
def test_what_may_pass_is_tried_again(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    import stamina

    failures = iter([error, error])
    with stamina.set_testing(True, attempts=6):

        def call() -> str:
            problem = next(failures, None)
            if problem is not None:
                raise problem
            return "done"

        assert retried(call) == "done"


@pytest.mark.parametrize("error", [http_error(400), http_error(404), http_error(409)])
def test_what_stays_wrong_is_not(error: Exception) -> None:
    calls = 0

    def call() -> None:
        nonlocal calls
        calls += 1
        raise error

    with pytest.raises(HttpResponseError):
        retried(call)
    assert calls == 1

"""The SharedKey signature against a vector made by hand from the published recipe."""

import base64
import hashlib
import hmac

import pytest

from batchctl.server.batch.auth import string_to_sign, verify
from batchctl.server.batch.errors import ServiceError

KEY = base64.b64encode(b"a secret key").decode()
HEADERS = {
    "content-length": "17",
    "content-type": "application/json; odata=minimalmetadata",
    "ocp-range": "bytes=0-3",
    "ocp-date": "Thu, 22 Jan 2026 20:18:17 GMT",
    "accept": "application/json",
}
LINES = [
    "POST",
    "",
    "",
    "17",
    "",
    "application/json; odata=minimalmetadata",
    "",
    "",
    "",
    "",
    "",
    "",
    "ocp-date:Thu, 22 Jan 2026 20:18:17 GMT",
    "ocp-range:bytes=0-3",
    "/devaccount/jobs/a%3Ab/tasks",
    "$filter:state eq 'active'",
    "api-version:2025-06-01",
]
QUERY = "api-version=2025-06-01&%24filter=state%20eq%20%27active%27&empty="


def signed(headers: dict[str, str], account: str = "devaccount", key: str = KEY) -> dict[str, str]:
    digest = hmac.new(base64.b64decode(key), "\n".join(LINES).encode(), hashlib.sha256).digest()
    return {**headers, "authorization": f"SharedKey {account}:{base64.b64encode(digest).decode()}"}


def check(headers: dict[str, str]) -> None:
    verify("POST", "/jobs/a%3Ab/tasks", QUERY, headers, account="devaccount", key=KEY)


def test_the_string_to_sign() -> None:
    text = string_to_sign(
        "POST", "/jobs/a%3Ab/tasks", QUERY, HEADERS, account="devaccount", content_length="17"
    )
    assert text.split("\n") == LINES


def test_a_right_signature() -> None:
    check(signed(HEADERS))


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        (HEADERS, 401, "InvalidAuthenticationInfo"),
        (signed(HEADERS, key=base64.b64encode(b"other").decode()), 403, "AuthenticationFailed"),
        (signed(HEADERS, account="other"), 403, "AuthenticationFailed"),
        (signed(HEADERS) | {"ocp-range": "bytes=0-4"}, 403, "AuthenticationFailed"),
        ({"authorization": "SharedKey devaccount:AAAA"}, 400, "MissingRequiredHeader"),
    ],
    ids=["missing", "wrong key", "wrong account", "changed header", "no date"],
)
def test_wrong_signatures(headers: dict[str, str], status: int, code: str) -> None:
    with pytest.raises(ServiceError) as caught:
        check(headers)
    assert (caught.value.status, caught.value.code) == (status, code)

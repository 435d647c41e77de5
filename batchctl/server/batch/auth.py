"""SharedKey authentication: was this request signed with the account's key?

Source: Azure Batch REST, "Authenticate requests" and the signing policy of the official SDKs.
Pure functions over the raw request line and headers; must not touch the body or the store.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import parse_qs

from batchctl.server.batch.errors import ServiceError

_SIGNED_HEADERS = (
    "content-encoding",
    "content-language",
    "content-length",
    "content-md5",
    "content-type",
    "date",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
)


def string_to_sign(
    method: str, path: str, query: str, headers: Mapping[str, str], *, account: str, content_length: str
) -> str:
    """What both sides sign. `path` and `query` are as sent (still percent-encoded), header names lower-case.

    Query values are decoded, sorted by name, the first value of each, empty ones left out.
    """
    signed = {**headers, "content-length": content_length}
    lines = [method, *(signed.get(name, "") for name in _SIGNED_HEADERS)]
    lines += sorted(f"{name}:{value}" for name, value in headers.items() if name.startswith("ocp-") and value)
    lines.append(f"/{account}{path}")
    lines += [f"{name}:{values[0]}" for name, values in sorted(parse_qs(query).items())]
    return "\n".join(lines)


def signature(text: str, key: str) -> str:
    """The base64 HMAC-SHA256 of `text` under the base64 `key`."""
    return base64.b64encode(hmac.digest(base64.b64decode(key), text.encode(), hashlib.sha256)).decode()


def verify(method: str, path: str, query: str, headers: Mapping[str, str], *, account: str, key: str) -> None:
    """Raise ServiceError unless the request carries a right SharedKey signature.

    Clients disagree on the content length of a request without a body ("" or "0"), so the header's own
    value and both of these are accepted.
    """
    header = headers.get("authorization")
    if not header:
        raise ServiceError("InvalidAuthenticationInfo", status=401)
    scheme, _, credential = header.partition(" ")
    name, colon, given = credential.strip().rpartition(":")
    if scheme.lower() == "bearer":
        reason = ("AuthenticationErrorDetail", "This service accepts SharedKey only.")
        raise ServiceError("InvalidAuthenticationInfo", reason, status=401)
    if scheme.lower() != "sharedkey" or not colon or not name:
        raise ServiceError("InvalidAuthenticationInfo")
    try:
        base64.b64decode(given, validate=True)
    except binascii.Error:
        raise ServiceError("InvalidAuthenticationInfo") from None
    if "date" not in headers and "ocp-date" not in headers:
        raise ServiceError("MissingRequiredHeader", ("HeaderName", "ocp-date"))
    lengths = dict.fromkeys((headers.get("content-length", ""), "", "0"))
    for length in lengths:
        text = string_to_sign(method, path, query, headers, account=account, content_length=length)
        if name == account and hmac.compare_digest(signature(text, key), given):
            return
    detail = (
        f"The MAC signature found in the HTTP request '{given}' is not the same as any computed signature."
    )
    raise ServiceError("AuthenticationFailed", ("AuthenticationErrorDetail", detail))

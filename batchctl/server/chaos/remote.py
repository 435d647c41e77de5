"""The client of the chaos route: signed requests to a running local service, with the standard library only."""

import http.client
import json
from collections.abc import Mapping
from email.utils import formatdate
from typing import Any, Protocol

from batchctl.errors import TargetError, Unreachable
from batchctl.server.batch.auth import signature, string_to_sign

_PATH = "/.batchctl/chaos"
_SECONDS = 30.0


class Address(Protocol):
    """Where a service is and how to sign: a `LocalServer`, or what `server.service.find` found."""

    @property
    def port(self) -> int:
        """On the loopback address."""

    @property
    def account(self) -> str:
        """The account's name."""

    @property
    def key(self) -> str:
        """The account's shared key, base64."""


def add_rule(service: Address, rule: Mapping[str, Any]) -> dict[str, Any]:
    """Put a rule (the JSON form of `rule.Rule`) in force; it comes back with its id. Raises TargetError."""
    return _call(service, "POST", _PATH, rule)


def list_rules(service: Address) -> list[dict[str, Any]]:
    """The rules in force, with their counts. Raises TargetError."""
    found: list[dict[str, Any]] = _call(service, "GET", _PATH)["value"]
    return found


def clear_rules(service: Address, id: int | None = None) -> int:
    """Take one rule or all out of force; how many there were. Raises TargetError."""
    return int(_call(service, "DELETE", _PATH if id is None else f"{_PATH}/{id}")["cleared"])


def preempt(service: Address, pool: str, nodes: int = 1, seed: int = 0) -> list[str]:
    """Take low-priority nodes of a pool away now; which. Raises TargetError."""
    body = {"pool": pool, "nodes": nodes, "seed": seed}
    found: list[str] = _call(service, "POST", f"{_PATH}/preempt", body)["preempted"]
    return found


def set_quota(service: Address, limits: Mapping[str, int | None]) -> dict[str, int | None]:
    """Set the account's limits (the properties of `batch.quota.Quota`); those not named are lifted. Which hold now."""
    return _call(service, "PUT", f"{_PATH}/quota", limits)


def read_quota(service: Address) -> dict[str, int | None]:
    """The account's limits; None: none. Raises TargetError."""
    return _call(service, "GET", f"{_PATH}/quota")


def _call(service: Address, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
    data = b"" if body is None else json.dumps(body).encode()
    headers = {"ocp-date": formatdate(usegmt=True)}
    if data:
        headers["content-length"] = str(len(data))
    length = headers.get("content-length", "")
    text = string_to_sign(method, path, "", headers, account=service.account, content_length=length)
    headers["Authorization"] = f"SharedKey {service.account}:{signature(text, service.key)}"
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=_SECONDS)
    try:
        connection.request(method, path, data or None, headers)
        response = connection.getresponse()
        answer: dict[str, Any] = json.loads(response.read())
    except (OSError, ValueError, http.client.HTTPException) as problem:
        message = f"the local service does not answer: {problem}"
        raise Unreachable(message, hint="batchctl local status") from None
    finally:
        connection.close()
    if response.status >= 400:
        said = answer["message"]["value"].split("\nRequestId:")[0]
        details = "; ".join(f"{item['key']}: {item['value']}" for item in answer.get("values", ()))
        raise TargetError(f"{said} ({details})" if details else said, code=answer["code"])
    return answer

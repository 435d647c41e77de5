"""The route that changes the rules: `/.batchctl/chaos`. Signed with the account's key, like every request.

GET lists, POST adds, DELETE clears one or all; POST `…/preempt` takes nodes away at once; `…/quota` has
the account's limits (GET, PUT). Each verb is a plain function that runs inside a transaction; the application gives it its frame.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from batchctl.server.batch.call import Reply
from batchctl.server.batch.errors import ServiceError, invalid_body, invalid_value
from batchctl.server.batch.quota import Quota, read_quota, write_quota
from batchctl.server.batch.routes import OPERATIONS
from batchctl.server.batch.store import Store
from batchctl.server.batch.wire import Doc
from batchctl.server.chaos import book
from batchctl.server.chaos.preemption import preempt_some
from batchctl.server.chaos.rule import Rule

CONTROL_PATH = "/.batchctl/chaos"

Control = Callable[[Store, Mapping[str, Any], bytes, datetime], Reply]
"""(store, ids of the path, body, now) -> answer; raises ServiceError."""

Endpoint = Callable[[Request], Awaitable[Response]]


class Preemption(BaseModel):
    """The wish to take low-priority nodes away."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pool: str = Field(description="The pool's id.")
    nodes: int = Field(default=1, ge=1, description="So many nodes, or as many as there are.")
    seed: int = Field(default=0, description="Another seed takes other nodes.")


class Limits(BaseModel):
    """The account's limits; None: none. See `batch.quota`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dedicated_cores: int | None = Field(default=None, ge=0, description="Of dedicated nodes.")
    low_priority_cores: int | None = Field(default=None, ge=0, description="Of low-priority nodes.")
    nodes: int | None = Field(
        default=None, ge=0, description="To be had at all; a resize beyond them times out."
    )
    pools: int | None = Field(default=None, ge=0, description="One more is refused.")
    active_jobs_and_schedules: int | None = Field(default=None, ge=0, description="One more is refused.")


def control_routes(framed: Callable[[Control], Endpoint]) -> list[Route]:
    """The routes; `framed` turns a verb into an endpoint (authentication, transaction, errors)."""
    return [
        Route(CONTROL_PATH, framed(list_rules), methods=["GET"]),
        Route(CONTROL_PATH, framed(add_rule), methods=["POST"]),
        Route(CONTROL_PATH, framed(clear_rules), methods=["DELETE"]),
        Route(f"{CONTROL_PATH}/preempt", framed(preempt), methods=["POST"]),
        Route(f"{CONTROL_PATH}/quota", framed(get_quota), methods=["GET"]),
        Route(f"{CONTROL_PATH}/quota", framed(set_quota), methods=["PUT"]),
        Route(f"{CONTROL_PATH}/{{rule:int}}", framed(clear_rules), methods=["DELETE"]),
    ]


def list_rules(store: Store, _ids: Mapping[str, Any], _body: bytes, _now: datetime) -> Reply:
    """The rules in force with their counts (200)."""
    return Reply(status=200, body={"value": [_view(entry) for entry in book.entries(store)]})


def add_rule(store: Store, _ids: Mapping[str, Any], body: bytes, _now: datetime) -> Reply:
    """Put a rule in force (201)."""
    rule: Rule = _checked(Rule, body)
    for pattern in rule.operations:
        if not any(fnmatchcase(operation.name, pattern) for operation in OPERATIONS):
            raise invalid_value("operations", pattern, "No operation has such a name.")
    return Reply(status=201, body=_view(book.add(store, rule)))


def clear_rules(store: Store, ids: Mapping[str, Any], _body: bytes, _now: datetime) -> Reply:
    """Take one rule or all out of force; how many there were (200)."""
    return Reply(status=200, body={"cleared": book.clear(store, ids.get("rule"))})


def preempt(store: Store, _ids: Mapping[str, Any], body: bytes, now: datetime) -> Reply:
    """Take low-priority nodes of a pool away at once; which (200)."""
    wish: Preemption = _checked(Preemption, body)
    pool = store.pools.get(wish.pool)
    if pool is None:
        raise ServiceError("PoolNotFound")
    return Reply(status=200, body={"preempted": preempt_some(store, pool, wish.nodes, wish.seed, now)})


def get_quota(store: Store, _ids: Mapping[str, Any], _body: bytes, _now: datetime) -> Reply:
    """The account's limits (200)."""
    return Reply(status=200, body=asdict(read_quota(store)))


def set_quota(store: Store, _ids: Mapping[str, Any], body: bytes, _now: datetime) -> Reply:
    """Set the account's limits; those not named are lifted (200)."""
    wish: Limits = _checked(Limits, body)
    write_quota(store, Quota(**wish.model_dump()))
    return Reply(status=200, body=asdict(read_quota(store)))


def _checked(model: type[Any], body: bytes) -> Any:
    try:
        return model.model_validate(orjson.loads(body))
    except orjson.JSONDecodeError as problem:
        raise invalid_body(f"The body is not valid JSON: {problem}") from None
    except ValidationError as problem:
        first = problem.errors()[0]
        name = ".".join(map(str, first["loc"])) or "body"
        raise invalid_value(name, first.get("input"), first["msg"]) from None


def _view(entry: book.Entry) -> Doc:
    return {
        "id": entry.id,
        **entry.rule.model_dump(mode="json"),
        "seen": entry.seen,
        "struck": entry.struck,
    }

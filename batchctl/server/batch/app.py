"""The web application: from an HTTP request to a `Call`, and from a `Reply` or an error to an HTTP answer.

Every answer is Batch-shaped, errors of the framework too. Nothing here knows a resource.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from string import printable
from typing import Any
from urllib.parse import parse_qs, quote

import apsw
import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from batchctl.server.batch.auth import verify
from batchctl.server.batch.call import API_VERSIONS, Call, Handler, Reply
from batchctl.server.batch.errors import (
    ServiceError,
    error_body,
    invalid_body,
    invalid_query,
    not_implemented,
)
from batchctl.server.batch.retired import RETIRED
from batchctl.server.batch.routes import OPERATIONS, Operation
from batchctl.server.batch.store import Store
from batchctl.server.batch.wire import Doc, http_date, instant_text
from batchctl.server.chaos.control import Control, control_routes
from batchctl.server.chaos.fate import fate_of
from batchctl.server.disk import Ballast, has_room, is_full

IDENTITY_PATH = "/.batchctl/identity"
_JSON = "application/json; odata=minimalmetadata"
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
_VERBS = frozenset({*_METHODS, "OPTIONS", "TRACE", "CONNECT"})
_ODATA = frozenset({"$filter", "$select", "$expand", "$skiptoken"})
_NEW_WORK = ("create_", "enable_", "reactivate_", "replace_", "resize_", "update_")
_COLLECTION_LIMIT = 2**20
_BODY_LIMIT = 4 * 2**20


@dataclass(frozen=True, kw_only=True)
class Service:
    """What the application serves from; `changed` is called after every request that may have changed something,
    `drop` cuts the connection of a client (host, port) off."""

    store: Store
    ballast: Ballast
    endpoint: str
    account: str
    key: str
    nodes: Path
    clock: Callable[[], datetime]
    changed: Callable[[], None]
    seen: Callable[[], None]
    drop: Callable[[tuple[str, int] | None], None]


def build_app(service: Service) -> Starlette:
    """The ASGI application over `service`: all operations of the route table."""
    verbs: dict[str, dict[str, Operation]] = {}
    for operation in (*OPERATIONS, *RETIRED):
        verbs.setdefault(operation.path, {})[operation.method] = operation
    # A path with a free-form tail must not swallow a longer fixed one, so fixed paths are tried first.
    ordered = sorted(verbs, key=lambda path: ":path}" in path)
    routes = [Route(path, _endpoint(service, verbs[path]), methods=_METHODS) for path in ordered]
    routes.append(Route(IDENTITY_PATH, _identity(service), methods=["GET"]))
    routes += control_routes(_control(service))
    app = Starlette(
        routes=routes, exception_handlers={HTTPException: _framework_error(service), Exception: _bug(service)}
    )
    app.router.redirect_slashes = False
    return app


def _control(service: Service) -> Callable[[Control], Callable[[Request], Awaitable[Response]]]:
    """The chaos route's own verbs with what every request has: a signature, a transaction, Batch-shaped errors."""

    def endpoint(action: Control) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            service.seen()
            request_id, now = str(uuid.uuid4()), service.clock()
            try:
                _authenticate(service, request, dict(request.headers.items()))
                body = await request.body()
                with service.store.transaction():
                    reply = action(service.store, dict(request.path_params), body, now)
            except ServiceError as error:
                return _error_answer(service, request, error, request_id, now)
            service.changed()
            return _answer(request, reply, request_id, now)

        return answer

    return endpoint


def _identity(service: Service) -> Callable[[Request], Awaitable[Response]]:
    async def identity(_: Request) -> Response:
        service.seen()
        facts = {"identity": service.store.identity, "aside": service.store.aside.warnings}
        return JSONResponse({"service": "batchctl", **facts})

    return identity


def _framework_error(service: Service) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def answer(request: Request, problem: Exception) -> Response:
        missing = isinstance(problem, HTTPException) and problem.status_code == 404
        unknown = "UnsupportedHttpVerb" if request.method in _VERBS else "InvalidHttpVerb"
        error = ServiceError("InvalidUri" if missing else unknown)
        return _error_answer(service, request, error, str(uuid.uuid4()), service.clock())

    return answer


def _bug(service: Service) -> Callable[[Request, Exception], Awaitable[Response]]:
    """The answer to a bug of ours; Starlette raises the exception again afterwards, so it is logged too."""

    async def answer(request: Request, _: Exception) -> Response:
        error = ServiceError("InternalError")
        return _error_answer(service, request, error, str(uuid.uuid4()), service.clock())

    return answer


def _endpoint(service: Service, verbs: dict[str, Operation]) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        service.seen()
        request_id, now = str(uuid.uuid4()), service.clock()
        try:
            headers = {name.lower(): value for name, value in request.headers.items()}
            _authenticate(service, request, headers)
            operation = verbs.get(request.method)
            if operation is None:
                raise ServiceError("UnsupportedHttpVerb")
            query = {name: values[0] for name, values in parse_qs(request.url.query).items()}
            version = _api_version(query)
            _check_query(query)
            body = await _body(request, headers, operation)
            if operation.handler is None:
                raise not_implemented(operation.name)
            call = Call(
                method=request.method,
                operation=operation.name,
                path=_raw_path(request),
                raw_query=request.url.query,
                params=request.path_params,
                query=query,
                headers=headers,
                body=body,
                api_version=version,
                request_id=request_id,
                now=now,
                store=service.store,
                endpoint=service.endpoint,
                nodes=service.nodes,
            )
            fate = fate_of(service.store, operation.name, request.path_params, body)
            if fate.delay:
                await asyncio.sleep(fate.delay)
            if fate.is_harmless or fate.after_effect:
                is_new_work = operation.name.startswith(_NEW_WORK)
                if is_new_work and not has_room(service.nodes):
                    raise _disk_full()
                change = partial(_handle, operation.handler, call)
                reply = change() if is_new_work else service.ballast.write(change)
                if request.method not in ("GET", "HEAD"):
                    service.changed()
            if fate.drop:
                service.drop(request.client)
            elif fate.error is not None:
                raise fate.error
        except ServiceError as error:
            return _error_answer(service, request, error, request_id, now)
        except apsw.Error as problem:
            if not is_full(problem):
                raise
            return _error_answer(service, request, _disk_full(), request_id, now)
        # After a drop nobody hears this.
        return Response() if fate.drop else _answer(request, reply, request_id, now)

    return answer


def _handle(handler: Handler, call: Call) -> Reply:
    with call.store.transaction():
        return handler(call)


def _disk_full() -> ServiceError:
    """Not one of the 5xx: clients would repeat those for ever, and the user should hear of it at once."""
    message = "There is no space left on the disk of the local service. Nothing was changed."
    return ServiceError("IOError", message=message)


def _raw_path(request: Request) -> str:
    raw: bytes = request.scope["raw_path"]
    return raw.decode("ascii")


def _authenticate(service: Service, request: Request, headers: dict[str, str]) -> None:
    query = request.url.query
    verify(request.method, _raw_path(request), query, headers, account=service.account, key=service.key)


def _api_version(query: dict[str, str]) -> str:
    version = query.get("api-version")
    if version is None:
        raise ServiceError("MissingRequiredQueryParameter", ("QueryParameterName", "api-version"))
    if version not in API_VERSIONS:
        raise ServiceError("UnsupportedRequestVersion")
    return version


def _check_query(query: dict[str, str]) -> None:
    """What is asked of every operation: no part of OData that Batch does not know, and a time limit in seconds."""
    for name, value in query.items():
        if name.startswith("$") and name not in _ODATA:
            raise ServiceError("UnsupportedQueryParameter", ("QueryParameterName", name))
        if name.lower() == "timeout" and not (value.isascii() and value.isdecimal()):
            raise invalid_query(name, value, "The value must be a number of seconds.")


async def _body(request: Request, headers: dict[str, str], operation: Operation) -> Any:
    if request.method in ("GET", "HEAD", "DELETE"):
        return None
    if "transfer-encoding" in headers and "content-length" not in headers:
        raise ServiceError("MissingContentLengthHeader")
    limit = _COLLECTION_LIMIT if operation.name == "create_task_collection" else _BODY_LIMIT
    if int(headers.get("content-length") or 0) > limit:
        # Read it all the same: a client that is still sending would see a broken connection, not the answer.
        async for _ in request.stream():
            pass
        raise ServiceError("RequestBodyTooLarge", ("MaxLimit", str(limit)))
    try:
        data = await request.body()
    except ClientDisconnect:
        raise invalid_body("The request ended before its body.") from None
    if not data:
        return None
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as problem:
        raise invalid_body(f"The body is not valid JSON: {problem}") from None


def _frame(request: Request, request_id: str, now: datetime) -> dict[str, str]:
    headers = {
        "DataServiceVersion": "3.0",
        "request-id": request_id,
        "Date": http_date(instant_text(now)),
        "Server": "Microsoft-HTTPAPI/2.0",
    }
    client_id = request.headers.get("client-request-id")
    if client_id and request.headers.get("return-client-request-id", "").lower() == "true":
        headers["client-request-id"] = client_id
    return headers


def _answer(request: Request, reply: Reply, request_id: str, now: datetime) -> Response:
    own = {name: _header_text(value) for name, value in reply.headers.items()}
    headers = {**_frame(request, request_id, now), **own}
    if reply.stream is not None:
        return StreamingResponse(reply.stream, reply.status, headers)
    return _json(reply.status, reply.body, headers)


def _header_text(value: str) -> str:
    """A header's value, with what cannot be in a header (a name in some URL) percent-encoded."""
    return value if value.isascii() else quote(value, safe=printable)


def _json(status: int, body: Doc | None, headers: dict[str, str]) -> Response:
    if body is None:
        return Response(None, status, headers)
    return Response(orjson.dumps(body), status, headers, media_type=_JSON)


def _error_answer(
    service: Service, request: Request, error: ServiceError, request_id: str, now: datetime
) -> Response:
    headers = {**_frame(request, request_id, now), **error.headers}
    if request.method == "HEAD" or error.status == 304:
        return _json(error.status, None, headers)
    body = error_body(error, endpoint=service.endpoint, request_id=request_id, now=now)
    return _json(error.status, body, headers)

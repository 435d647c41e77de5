"""Downloads over HTTP that survive a bad network: retried, resumed, and never shorter than announced.

A retry waits as long as Retry-After asks (at most five minutes), else with growing pauses. It resumes where
the last one broke off if the server gave a strong ETag and still has that version (RFC 9110, If-Range), else
it starts again.
"""

import re
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import PurePosixPath

import httpx
import stamina

from batchctl_etl import __version__
from batchctl_etl.errors import WorkFailed
from batchctl_etl.retries import tell_retries
from batchctl_etl.storage.http_parts import CONTENT_RANGE, PartsRefused, Version, parts, version_of
from batchctl_etl.storage.http_retry import Interrupted, is_temporary, pause_after, retry_after_seconds
from batchctl_etl.storage.locations import base_name, shown
from batchctl_etl.storage.streams import NotModified, SinkStream

_HTML = re.compile(rb"(?i)(\xef\xbb\xbf)?\s*<(!doctype html|html[\s>])")
_PAGES = frozenset({"html", "htm", "xhtml", "xml", "php", "asp", "aspx", "jsp", "cgi"})
"""Of names that end so, a page may be what is wanted."""


@dataclass(frozen=True, kw_only=True)
class HttpRequest:
    """A GET. `timeout_seconds` bounds each wait for the server, not the whole; `retries` come after the first
    try."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    known: Mapping[str, str] = field(default_factory=dict)
    """Validators of a version that is not wanted again: `etag`, `last-modified`."""
    timeout_seconds: float = 60.0
    retries: int = 5
    connections: int = 1
    """At most, for a large file whose server sends parts of one version."""


@dataclass(frozen=True, kw_only=True)
class Downloaded:
    """`received` counts bytes, those received twice included; `validators` tell one version from another."""

    received: int
    validators: dict[str, str]


_CONDITIONS = {"etag": "If-None-Match", "last-modified": "If-Modified-Since"}


def download(request: HttpRequest, sink: SinkStream) -> Downloaded:
    """Write the whole body to `sink`.

    Raises `NotModified`, and `WorkFailed` for an answer that no retry improves, and when the retries are used up.
    """
    transfer = Transfer(request, sink)
    tries = request.retries + 1
    tell_retries(shown(request.url))
    try:
        with httpx.Client(follow_redirects=True, timeout=request.timeout_seconds) as client:
            for attempt in stamina.retry_context(
                on=pause_after, attempts=tries, timeout=None, wait_initial=0.5, wait_max=30.0
            ):
                with attempt:
                    transfer.attempt(client)
    except (Interrupted, httpx.TransportError, httpx.TooManyRedirects, httpx.InvalidURL) as error:
        reason = str(error) or type(error).__name__
        tried = f" (tried {tries} times)" if is_temporary(error) and tries > 1 else ""
        remedy = "check the URL and the network, or try later"
        raise WorkFailed(shown(request.url), f"{reason}{tried}", remedy) from error
    return Downloaded(received=transfer.received, validators=transfer.validators)


class Transfer:
    """The state that lives from one try to the next: how far we are, and in which version of the file."""

    def __init__(self, request: HttpRequest, sink: SinkStream) -> None:
        self._request = request
        self._sink = sink
        self._etag: str | None = None
        self._version: Version | None = None
        self._connections = request.connections
        self.received = 0
        self.validators: dict[str, str] = {}

    def attempt(self, client: httpx.Client) -> None:
        """One try. Raises `Interrupted` or `httpx.TransportError` if another may help, else `WorkFailed`."""
        if self._version is not None and self._sink.count > 0:
            self._copy_parts(client, self._version)
            return
        plain = {"User-Agent": f"batchctl-etl/{__version__}"} | dict(self._request.headers)
        plain["Accept-Encoding"] = "identity"
        headers = dict(plain)
        resuming = self._sink.count > 0 and self._etag is not None
        if resuming and self._etag is not None:
            headers |= {"Range": f"bytes={self._sink.count}-", "If-Range": self._etag}
        else:
            known = self._request.known
            headers |= {_CONDITIONS[name]: value for name, value in known.items() if name in _CONDITIONS}
        with client.stream("GET", self._request.url, headers=headers) as response:
            if response.status_code == 206 and resuming:
                expected = self._resumed_total(response)
            else:
                self._etag = None
                if response.status_code == 304 and self._request.known:
                    raise NotModified
                self._check_status(response)
                self.validators = {
                    name: response.headers[name] for name in _CONDITIONS if name in response.headers
                }
                self._sink.rewind()
                expected = _content_length(response)
                if self._connections > 1:
                    self._version = version_of(response, self._request.url, plain)
            if self._version is None:
                self._copy(response, expected)
                return
            self._begin(response)
        self._copy_parts(client, self._version)

    def _begin(self, response: httpx.Response) -> None:
        """The first bytes, which tell whether it is the file at all; the rest of this answer is left."""
        first = next(response.iter_raw(), b"")
        self._check_beginning(first)
        self._sink.write(first)
        self.received += len(first)

    def _copy_parts(self, client: httpx.Client, version: Version) -> None:
        try:
            with closing(parts(client, version, self._sink.count, connections=self._connections)) as received:
                for data in received:
                    self._sink.write(data)
                    self.received += len(data)
        except PartsRefused:
            self._version, self._etag, self._connections = None, None, 1
            raise

    def _resumed_total(self, response: httpx.Response) -> int | None:
        match = CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
        same = response.headers.get("etag", self._etag) == self._etag
        if match is None or int(match[1]) != self._sink.count or not same:
            self._etag = None
            raise Interrupted("the server resumed at another place than it was asked to")
        return None if match[3] == "*" else int(match[3])

    def _check_status(self, response: httpx.Response) -> None:
        status = response.status_code
        reason = f"HTTP {status} {response.reason_phrase}".strip()
        if status in {408, 416, 429} or status >= 500:
            raise Interrupted(reason, retry_after_seconds(response.headers, now=datetime.now(UTC)))
        if status != 200:
            raise WorkFailed(shown(self._request.url), reason, _remedy(status))

    def _check_beginning(self, chunk: bytes) -> None:
        """Many servers say 200 to who has no right to a file, or asks in vain, and send a page that explains it."""
        kind = PurePosixPath(base_name(self._request.url)).suffix.lower().removeprefix(".")
        if kind and kind not in _PAGES and _HTML.match(chunk):
            remedy = "open the URL in a browser: it may be an error page, or one to sign in"
            raise WorkFailed(shown(self._request.url), f"it is a page of HTML, not {kind}", remedy)

    def _copy(self, response: httpx.Response, expected: int | None) -> None:
        if response.headers.get("content-encoding", "identity").lower() == "identity":
            etag = response.headers.get("etag", "")
            self._etag = etag if etag.startswith('"') else None
            # In the network's own pieces: a fixed size would hold bytes back, and lose them with the connection.
            chunks = response.iter_raw()
        else:
            # Compressed though we asked for plain bytes: what is announced and resumed counts compressed
            # bytes.
            self._etag, expected = None, None
            chunks = response.iter_bytes()
        try:
            for chunk in chunks:
                if self._sink.count == 0:
                    self._check_beginning(chunk)
                self._sink.write(chunk)
        except httpx.DecodingError as error:
            raise Interrupted(f"the compressed answer is broken: {error}") from error
        finally:
            self.received += response.num_bytes_downloaded
        if expected is not None and self._sink.count != expected:
            raise Interrupted(f"the server sent {self._sink.count} bytes and had announced {expected}")


def _content_length(response: httpx.Response) -> int | None:
    value = response.headers.get("content-length", "")
    return int(value) if value.isascii() and value.isdigit() else None


def _remedy(status: int) -> str:
    if status in {401, 403}:
        return "check the credentials in source.headers"
    if status in {404, 410}:
        return "check the URL"
    return "check the URL and the headers"

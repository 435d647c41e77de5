"""Blobs over plain HTTP(S), with the shared access signature that the URL itself carries: read, listed, written.

Source: Azure Storage REST, Get Blob, List Blobs, Put Blob, Put Block, Put Block List. Everything blocks, so call it in a
thread. Nothing here knows tasks or folders of nodes, and no SDK: the service must not depend on one.
"""

import base64
import http.client
import io
import ipaddress
import os
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote, unquote, urlsplit
from xml.etree import ElementTree

import stamina

_VERSION = {"x-ms-version": "2021-12-02"}
_TIMEOUT_SECONDS = 60.0
_CHUNK_BYTES = 2**20
_BLOCK_BYTES = 32 * 2**20
_RETRIED_STATUS = frozenset({408, 429, 500, 502, 503, 504})


class Problem(StrEnum):
    """Why a transfer failed, as far as the task's failure codes tell it apart."""

    MISSING = "missing"
    DENIED = "denied"
    TIMEOUT = "timeout"
    OTHER = "other"


class TransferError(Exception):
    """The other side said no, or nothing. `address` is the URL without its query, which may be a secret."""

    def __init__(self, problem: Problem, address: str, detail: str, *, is_passing: bool = False) -> None:
        super().__init__(f"{detail}: {address}")
        self.problem = problem
        self.address = address
        self.is_passing = is_passing


class TransferCancelled(Exception):
    """Nobody wants the result any more."""


def without_query(url: str) -> str:
    """The URL without what may be a signature."""
    return url.partition("?")[0]


def blob_url(container_url: str, name: str) -> str:
    """The URL of a blob in a container whose URL may carry a signature."""
    base, mark, query = container_url.partition("?")
    return f"{base.rstrip('/')}/{quote(os.fsencode(name))}{mark}{query}"


def fetch(url: str, target: Path, cancelled: threading.Event) -> None:
    """Write what `url` answers to the file `target`. Raises TransferError, TransferCancelled, OSError of the file."""
    for attempt in _attempts(cancelled):
        with attempt, _opened("GET", url) as answer, target.open("wb") as file:
            expected, written = answer.headers.get("Content-Length"), 0
            while chunk := _read(answer, url):
                if cancelled.is_set():
                    raise TransferCancelled
                written += file.write(chunk)
            if expected is not None and written != int(expected):
                detail = f"only {written} of {expected} bytes came"
                raise TransferError(Problem.OTHER, without_query(url), detail, is_passing=True)


def blob_names(container_url: str, prefix: str, cancelled: threading.Event) -> Iterator[str]:
    """The names of the container's blobs that begin with `prefix`, page by page. Raises like `fetch`."""
    base, _, query = container_url.partition("?")
    marker = ""
    while True:
        wish = f"restype=container&comp=list&prefix={quote(prefix, safe='')}&marker={quote(marker, safe='')}"
        page = _answer("GET", f"{base}?{wish}{'&' if query else ''}{query}", cancelled)
        try:
            root = ElementTree.fromstring(page)
        except ElementTree.ParseError as problem:
            raise TransferError(Problem.OTHER, base, f"not a list of blobs ({problem})") from None
        for blob in root.iter("Blob"):
            name = blob.find("Name")
            if name is not None and name.text and blob.findtext("Properties/ResourceType") != "directory":
                yield unquote(name.text) if name.get("Encoded") == "true" else name.text
        marker = root.findtext("NextMarker") or ""
        if not marker:
            return


def put(source: Path, url: str, headers: Mapping[str, str], cancelled: threading.Event) -> None:
    """Write the file to the blob at `url`, in blocks if it is large. Raises like `fetch`."""
    with source.open("rb") as file:
        size = file.seek(0, io.SEEK_END)
        if size <= _BLOCK_BYTES:
            _answer("PUT", url, cancelled, {"x-ms-blob-type": "BlockBlob", **headers}, _Part(file, 0, size))
            return
        blocks: list[str] = []
        for start in range(0, size, _BLOCK_BYTES):
            name = base64.b64encode(f"{start:020d}".encode()).decode()
            part = _Part(file, start, min(_BLOCK_BYTES, size - start))
            _answer("PUT", _with(url, f"comp=block&blockid={quote(name, safe='')}"), cancelled, {}, part)
            blocks.append(f"<Latest>{name}</Latest>")
        body = f'<?xml version="1.0" encoding="utf-8"?><BlockList>{"".join(blocks)}</BlockList>'.encode()
        part = _Part(io.BytesIO(body), 0, len(body))
        _answer("PUT", _with(url, "comp=blocklist"), cancelled, headers, part)


def _with(url: str, wish: str) -> str:
    base, _, query = url.partition("?")
    return f"{base}?{wish}{'&' if query else ''}{query}"


class _Part:
    """A stretch of a file as a request's body, from its beginning at every attempt."""

    def __init__(self, file: BinaryIO, start: int, length: int) -> None:
        self._file, self._start, self.length = file, start, length
        self._left = 0

    def rewind(self) -> None:
        self._file.seek(self._start)
        self._left = self.length

    def read(self, size: int = -1) -> bytes:
        # http.client asks for 8 KiB at a time, which is slow for large files.
        wanted = min(self._left, max(size, _CHUNK_BYTES))
        data = self._file.read(wanted)
        self._left -= len(data)
        return data


def _attempts(cancelled: threading.Event) -> "Iterator[stamina.Attempt]":
    def is_worth_it(problem: Exception) -> bool:
        return isinstance(problem, TransferError) and problem.is_passing and not cancelled.is_set()

    return iter(stamina.retry_context(on=is_worth_it, attempts=4, wait_initial=0.1, wait_max=2.0))


def _answer(
    method: str,
    url: str,
    cancelled: threading.Event,
    headers: Mapping[str, str] | None = None,
    body: _Part | None = None,
) -> bytes:
    for attempt in _attempts(cancelled):
        with attempt:
            if cancelled.is_set():
                raise TransferCancelled
            with _opened(method, url, headers, body) as answer:
                return b"".join(iter(lambda: _read(answer, url), b""))
    raise AssertionError("an attempt returns or raises")


@contextmanager
def _opened(
    method: str, url: str, headers: Mapping[str, str] | None = None, body: _Part | None = None
) -> Iterator[Any]:
    address = without_query(url)
    if urlsplit(url).scheme not in ("http", "https"):
        raise TransferError(Problem.OTHER, address, "only http and https are understood")
    sent = {**_VERSION, **(headers or {})}
    if body is not None:
        body.rewind()
        sent["Content-Length"] = str(body.length)
        sent.setdefault("Content-Type", "application/octet-stream")
    try:
        request = urllib.request.Request(url, method=method, headers=sent, data=body)
        answer = _opener(url).open(request, timeout=_TIMEOUT_SECONDS)
    except urllib.error.HTTPError as problem:
        with problem:
            raise _refused(problem, address) from None
    except (OSError, http.client.HTTPException, ValueError) as problem:
        raise _broken(problem, address) from None
    with answer:
        yield answer


def _read(answer: Any, url: str) -> bytes:
    try:
        data: bytes = answer.read(_CHUNK_BYTES)
    except (OSError, http.client.HTTPException) as problem:
        raise _broken(problem, without_query(url)) from None
    return data


def _refused(problem: urllib.error.HTTPError, address: str) -> TransferError:
    code = problem.headers.get("x-ms-error-code") or problem.reason
    detail = f"HTTP {problem.code} {code}"
    if problem.code in (404, 410):
        return TransferError(Problem.MISSING, address, detail)
    if problem.code in (401, 403):
        return TransferError(Problem.DENIED, address, detail)
    return TransferError(Problem.OTHER, address, detail, is_passing=problem.code in _RETRIED_STATUS)


def _broken(problem: Exception, address: str) -> TransferError:
    reason = problem.reason if isinstance(problem, urllib.error.URLError) else problem
    if isinstance(reason, TimeoutError):
        return TransferError(Problem.TIMEOUT, address, "no answer in time")
    is_passing = isinstance(problem, OSError | http.client.HTTPException)
    return TransferError(Problem.OTHER, address, f"{type(reason).__name__} {reason}", is_passing=is_passing)


def _opener(url: str) -> urllib.request.OpenerDirector:
    """Never through a proxy to this machine, whatever the environment says."""
    host = urlsplit(url).hostname or ""
    try:
        is_here = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_here = host == "localhost"
    return urllib.request.build_opener(*([urllib.request.ProxyHandler({})] if is_here else []))

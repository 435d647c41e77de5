"""The rest of a large file, fetched in parts over several connections, all of one version.

One connection is as fast as its window; on a long way, several are several times as fast.
"""

import re
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx

from batchctl_etl.ahead import in_order
from batchctl_etl.storage.http_retry import Interrupted, retry_after_seconds

PART_BYTES = 2 * 1024 * 1024
CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


class PartsRefused(Interrupted):
    """The server does not send parts of this version after all."""


@dataclass(frozen=True, kw_only=True)
class Version:
    """A file on the web as it is now: its strong ETag (with quotes) and its length in bytes."""

    url: str
    headers: Mapping[str, str]
    etag: str
    length: int


def version_of(response: httpx.Response, url: str, headers: Mapping[str, str]) -> Version | None:
    """What `response` says of the file `url`; `None` if it is better not taken apart: it is short, or the server names no
    version or does not offer ranges. Its parts are asked for with `headers`."""
    etag, length = response.headers.get("etag", ""), response.headers.get("content-length", "")
    if response.headers.get("accept-ranges", "").lower() != "bytes" or not etag.startswith('"'):
        return None
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        return None
    if not (length.isascii() and length.isdigit() and int(length) > 8 * PART_BYTES):
        return None
    return Version(url=url, headers=headers, etag=etag, length=int(length))


def parts(
    client: httpx.Client, version: Version, start: int, *, connections: int
) -> Generator[memoryview, None, None]:
    """The bytes from `start` to the end, in order, in pieces; each is good until the next is asked for.

    Raises `PartsRefused`, `Interrupted`, `httpx.TransportError`.
    """
    free: list[bytearray] = []

    def buffers() -> Iterator[tuple[int, bytearray]]:
        for first in range(start, version.length, PART_BYTES):
            yield first, free.pop() if free else bytearray(PART_BYTES)

    def fetch(part: tuple[int, bytearray]) -> tuple[bytearray, int]:
        first, buffer = part
        last = min(first + PART_BYTES, version.length) - 1
        length = last - first + 1
        headers = {**version.headers, "Range": f"bytes={first}-{last}", "If-Range": version.etag}
        with client.stream("GET", version.url, headers=headers) as response:
            status = response.status_code
            if status in {408, 429} or status >= 500:
                pause = retry_after_seconds(response.headers, now=datetime.now(UTC))
                raise Interrupted(f"HTTP {status} {response.reason_phrase}".strip(), pause)
            found = CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
            is_same = response.headers.get("etag", version.etag) == version.etag
            if (
                status != 206
                or found is None
                or (int(found[1]), int(found[2])) != (first, last)
                or not is_same
            ):
                raise PartsRefused("the server sent something else than the part that it was asked for")
            size = 0
            for data in response.iter_raw():
                wanted = data[: length - size]
                buffer[size : size + len(wanted)] = wanted
                size += len(data)
        if size != length:
            raise Interrupted(f"the server sent {size} bytes of a part of {length}")
        return buffer, length

    with closing(in_order(fetch, buffers(), connections)) as fetched:
        for buffer, length in fetched:
            yield memoryview(buffer)[:length]
            free.append(buffer)

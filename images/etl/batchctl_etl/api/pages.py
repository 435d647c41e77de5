"""Pages of a web API: fetched politely, with retries, and followed to their end. No rows, no files."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
import stamina

from batchctl_etl import __version__
from batchctl_etl.api.answer import parsed, value_at
from batchctl_etl.config.api import ApiSource, Cursor, NextLink, PageNumber
from batchctl_etl.errors import WorkFailed
from batchctl_etl.retries import tell_retries
from batchctl_etl.storage.http_retry import Interrupted, is_temporary, pause_after, retry_after_seconds

MAX_PAGE_BYTES = 256 * 1024 * 1024


class Pacer:
    """At most so many requests in a second; the clock and the sleep are arguments."""

    def __init__(
        self,
        per_second: float | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._pause = 1 / per_second if per_second else 0.0
        self._clock = clock
        self._sleep = sleep
        self._next = clock()

    def wait(self) -> None:
        """Return when the next request may go."""
        now = self._clock()
        if now < self._next:
            self._sleep(self._next - now)
        self._next = max(now, self._next) + self._pause


@dataclass(kw_only=True)
class Page:
    """An answer. `body` is `None` if nothing has changed (HTTP 304)."""

    body: Any
    headers: Mapping[str, str]


@dataclass(kw_only=True)
class Api:
    """A client of one API. `secrets` are query parameters that every request carries and no message shows."""

    source: ApiSource
    headers: Mapping[str, str]
    secrets: Mapping[str, str]
    pacer: Pacer
    received: int = 0
    pages: int = 0
    _client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        # Not redirected: a header that is a key would go along to wherever that leads.
        self._client = httpx.Client(timeout=self.source.timeout_seconds)

    def close(self) -> None:
        self._client.close()

    def follow(self, url: str, *, where: str, unless: Mapping[str, str]) -> Iterator[Page]:
        """All pages from `url` on; one page without a body if the headers `unless` say it is unchanged.

        Raises `WorkFailed`, also for pages that do not end.
        """
        pagination, seen, origin = self.source.pagination, set[str](), _origin(httpx.URL(url))
        target, number = httpx.URL(url), 0
        if isinstance(pagination, PageNumber):
            target = target.copy_set_param(pagination.parameter, str(pagination.start))
        while True:
            number += 1
            place = f"{where}, page {number}" if pagination else where
            if number > self.source.max_pages:
                what = f"there are more than {self.source.max_pages} pages"
                raise WorkFailed(where, what, "if that is right, raise source.max_pages")
            page = self._fetch(target, place, unless if number == 1 else {})
            yield page
            if page.body is None or pagination is None:
                return
            if isinstance(pagination, PageNumber):
                target = target.copy_set_param(pagination.parameter, str(pagination.start + number))
                continue
            found = value_at(page.body, pagination.path, None)
            if found in (None, "", False):
                return
            if str(found) in seen:
                what = f"the next page is {pagination.path} {str(found)[:80]!r} again: they never end"
                raise WorkFailed(place, what, "check source.pagination")
            seen.add(str(found))
            target = _next(target, pagination, str(found))
            if _origin(target) != origin:
                raise WorkFailed(
                    place, f"the next page is on another server, {target.host}", "do not follow it"
                )

    def _fetch(self, url: httpx.URL, where: str, unless: Mapping[str, str]) -> Page:
        for name, value in self.secrets.items():
            url = url.copy_set_param(name, value)
        tries = self.source.retries + 1
        tell_retries(where)
        try:
            for attempt in stamina.retry_context(
                on=pause_after, attempts=tries, timeout=None, wait_initial=0.5, wait_max=30.0
            ):
                with attempt:
                    self.pacer.wait()
                    status, body, headers = self._once(url, where, unless)
        except (Interrupted, httpx.TransportError) as error:
            tried = f" (tried {tries} times)" if is_temporary(error) and tries > 1 else ""
            reason = str(error) or type(error).__name__
            raise WorkFailed(
                where, f"{reason}{tried}", "check the URL and the network, or try later"
            ) from None
        self.pages += 1
        return Page(body=None if status == 304 else parsed(body, where=where), headers=headers)

    def _once(
        self, url: httpx.URL, where: str, unless: Mapping[str, str]
    ) -> tuple[int, bytes, Mapping[str, str]]:
        sent = {"User-Agent": f"batchctl-etl/{__version__}", "Accept": "application/json"}
        with self._client.stream("GET", url, headers=sent | dict(self.headers) | dict(unless)) as answer:
            status = answer.status_code
            reason = f"HTTP {status} {answer.reason_phrase}".strip()
            if status in {408, 429} or status >= 500:
                raise Interrupted(reason, retry_after_seconds(answer.headers, now=datetime.now(UTC)))
            if status != 200 and not (status == 304 and unless):
                redirect = (
                    "write the URL that it leads to" if 300 <= status < 400 else "check the URL and the key"
                )
                raise WorkFailed(where, reason, redirect)
            body = bytearray()
            for chunk in answer.iter_bytes():
                body += chunk
                if len(body) > MAX_PAGE_BYTES:
                    raise WorkFailed(where, "the answer is larger than 256 MiB", "ask for smaller pages")
            self.received += answer.num_bytes_downloaded
            return status, bytes(body), answer.headers


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _next(url: httpx.URL, pagination: NextLink | Cursor, found: str) -> httpx.URL:
    return (
        url.join(found)
        if isinstance(pagination, NextLink)
        else url.copy_set_param(pagination.parameter, found)
    )

"""`etl extract` from a web API: many requests, their pages followed, all rows as JSONL; all of them or none.

Into a folder, each request has a file of its own, and one that has not changed since the last time keeps it.
"""

import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import orjson

from batchctl_etl.api.answer import rows_at
from batchctl_etl.api.pages import Api, Pacer, Page
from batchctl_etl.config.api import ApiSource, NoData, PageNumber
from batchctl_etl.config.secrets import revealed, variable
from batchctl_etl.errors import WorkFailed
from batchctl_etl.report import Report
from batchctl_etl.stages.newer_objects import NewerObjects
from batchctl_etl.stages.sinks import Sinks
from batchctl_etl.storage.locations import shown
from batchctl_etl.storage.opening import is_there, joined, read_whole, written
from batchctl_etl.storage.streams import SinkStream
from batchctl_etl.writers.jsonl import json_lines

State = dict[str, dict[str, str]]
"""Request -> the headers that ask for it only if it has changed."""


def extract_api(
    source: ApiSource,
    sink: str,
    *,
    owner: str,
    newer: NewerObjects | None = None,
    end: Callable[[], None] = lambda: None,
) -> Report:
    """Fetch all rows, or those that are `newer`, into the file or folder `sink`; `end` is called before they appear.

    Raises `WorkFailed`, `BadConfig`, and what `end` raises; all is then as it was.
    """
    secrets = {name: variable(env, key=f"source.query_env.{name}") for name, env in source.query_env.items()}
    pacer = Pacer(source.requests_per_second)
    api = Api(source=source, headers=revealed(source.headers), secrets=secrets, pacer=pacer)
    known = _state(source.state)
    with closing(api):
        with ExitStack() as stack:
            transfer = ApiTransfer(api, Sinks(sink, owner, stack), sink, known, newer)
            transfer.run()
            end()
        # What is remembered must be there: the state comes last.
        if source.state is not None:
            with written(source.state, owner=owner) as stream:
                stream.write(orjson.dumps(transfer.state, option=orjson.OPT_INDENT_2))
    extra = {
        "source": shown(source.url),
        "sink": shown(sink),
        "requests": transfer.requests,
        "pages": api.pages,
    }
    extra |= {"not_modified": transfer.unchanged} if source.state is not None else {}
    return Report(
        rows_written=transfer.rows, bytes_read=api.received, bytes_written=transfer.sinks.bytes, extra=extra
    )


@dataclass(frozen=True, kw_only=True)
class RowPage:
    """A page and the rows in it."""

    page: Page
    rows: list[dict[str, Any]]


class ApiTransfer:
    """The requests of one extract, and what came of them."""

    def __init__(self, api: Api, sinks: Sinks, sink: str, known: State, newer: NewerObjects | None) -> None:
        self.sinks = sinks
        self.state: State = {}
        self.rows = self.requests = self.unchanged = 0
        self._api = api
        self._sink = sink
        self._known = known
        self._newer = newer

    def run(self) -> None:
        """All requests, one after the other."""
        combinations = list(self._api.source.combinations)
        if self._sink.endswith("/") or len(combinations) == 1:
            for values in combinations:
                self._own_file(values)
            return
        with self.sinks.file("rows.jsonl") as stream:
            for values in combinations:
                self._copy(self._pages(values, {}), values, stream)

    def _own_file(self, values: Mapping[str, str]) -> None:
        label, name = _label(values), _file_name(values)
        target = joined(self._sink, name) if self._sink.endswith("/") else self._sink
        known = self._known.get(label, {})
        pages = self._pages(values, known if known and is_there(target) else {})
        first = next(pages)
        if first.page.body is None:
            self.unchanged += 1
            self.state[label] = known
            return
        pairs = {"If-None-Match": "etag", "If-Modified-Since": "last-modified"}
        self.state[label] = {
            header: first.page.headers[key] for header, key in pairs.items() if key in first.page.headers
        }
        with self.sinks.file(name) as stream:
            self._copy(itertools.chain([first], pages), values, stream)

    def _copy(self, pages: Iterable[RowPage], values: Mapping[str, str], stream: SinkStream) -> None:
        count = sum(self._write(page.rows, values, stream) for page in pages)
        if count == 0 and self._api.source.no_data is NoData.KEEP:
            count = self._write([{}], values, stream)
        self.rows += count

    def _pages(self, values: Mapping[str, str], unless: Mapping[str, str]) -> Iterator[RowPage]:
        source, label, before = self._api.source, _label(values), b""
        url = source.url.format(**{name: quote(value, safe="") for name, value in values.items()})
        where = f"{shown(source.url)} ({label})" if label else shown(source.url)
        self.requests += 1
        for number, page in enumerate(self._api.follow(url, where=where, unless=unless), 1):
            rows = rows_at(page.body, source.rows, where=where) if page.body is not None else []
            yield RowPage(page=page, rows=rows)
            if isinstance(source.pagination, PageNumber):
                if not rows:
                    return
                digest = hashlib.sha256(json.dumps(rows, default=str).encode()).digest()
                if digest == before:
                    what = f"page {number} is page {number - 1} again: they never end"
                    raise WorkFailed(where, what, "check source.pagination.parameter")
                before = digest

    def _write(self, rows: list[dict[str, Any]], values: Mapping[str, str], stream: SinkStream) -> int:
        added = {name: template.format(**values) for name, template in self._api.source.add.items()}
        if self._newer is not None:
            rows = self._newer.kept(rows)
        if rows:
            stream.write(json_lines([row | added for row in rows]))
        return len(rows)


def _label(values: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in values.items())


def _file_name(values: Mapping[str, str]) -> str:
    parts = [f"{name}={quote(value, safe=' ')}" for name, value in values.items()]
    return ",".join(parts) + ".jsonl" if parts else "rows.jsonl"


def _state(url: str | None) -> State:
    if url is None or not is_there(url):
        return {}
    try:
        found = orjson.loads(read_whole(url))
        return {str(key): {str(k): str(v) for k, v in value.items()} for key, value in found.items()}
    except (ValueError, AttributeError) as error:
        raise WorkFailed(shown(url), "it is not a state of ours", "delete it: all is then fetched") from error

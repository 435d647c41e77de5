"""List answers: `maxresults`, `$filter`, `$select`, and a next link that makes every page cost the same.

The `$skiptoken` names the last row of the page (a key, not an offset). A page may come back short, even empty,
with a next link, when the filter selects few of the rows looked at; so no request runs for long.
"""

import base64
import binascii
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote, urlencode

from batchctl.server.batch.call import Call, Reply
from batchctl.server.batch.errors import ServiceError, invalid_query
from batchctl.server.batch.fields import property_type
from batchctl.server.batch.odata import Expression, FilterError, matches, parse_filter, required_value
from batchctl.server.batch.store import Collection, Row
from batchctl.server.batch.wire import Doc, integer

MOST_RESULTS = 1000
_MOST_ROWS_LOOKED_AT = 5000
_CHUNK = 500
_LAST_KEY = 2**63 - 1
_LAST_CHARACTER = chr(0x10FFFF)


class Page(NamedTuple):
    """What to fetch: at most `limit` documents behind the key `after`; `state` and `prefix` (of the id, in lower case) are
    what all that the filter selects have in common, if it is anything: others need not be fetched."""

    after: int
    limit: int
    state: str | None
    prefix: str | None

    def rows(self, table: Collection, condition: str = "1", values: Sequence[object] = ()) -> list[Row]:
        """Those of the page that meet the condition."""
        where, arguments = [condition, "seq > ?"], [*values, self.after]
        if self.state is not None:
            where, arguments = [*where, "state = ?"], [*arguments, self.state]
        if self.prefix is not None:
            where = [*where, "key >= ?", "key < ?"]
            arguments = [*arguments, self.prefix, self.prefix + _LAST_CHARACTER]
        return table.all(" AND ".join(where), arguments, limit=self.limit)


Fetch = Callable[[Page], Iterable[tuple[int, Doc]]]
"""(key, document) of the page, in ascending order of the key."""


def list_reply(call: Call, kind: str, model: str, fetch: Fetch, *, default: int = MOST_RESULTS) -> Reply:
    """One page of `fetch`'s documents as the answer; `model` names their type in the field table.

    `default` is the size of a page without `maxresults`.
    """
    expression = _filter(call, model)
    chosen = _selection(call, model)
    limit = _limit(call, default)
    state, prefix = required_value(expression, "state"), required_value(expression, "id", "startswith")
    found: list[Doc] = []
    key, looked_at, more = _start(call), 0, True
    while more and len(found) < limit and looked_at < _MOST_ROWS_LOOKED_AT:
        size = limit + 1 if expression is None else _CHUNK
        rows = list(fetch(Page(key, size, state, prefix)))
        more = len(rows) == size
        for row_key, doc in rows:
            if len(found) == limit:
                more = True
                break
            key, looked_at = row_key, looked_at + 1
            if expression is None or matches(expression, doc):
                found.append(doc)
    if chosen is not None:
        found = [_reduced(doc, chosen) for doc in found]
    body: Doc = {"odata.metadata": f"{call.endpoint}/$metadata#{kind}", "value": found}
    if more:
        body["odata.nextLink"] = _next_link(call, key)
    return Reply(status=200, body=body)


def selected(call: Call, model: str, doc: Doc) -> Doc:
    """A single document reduced to `$select`."""
    chosen = _selection(call, model)
    return doc if chosen is None else _reduced(doc, chosen)


def expands_stats(call: Call) -> bool:
    """Does the request want `stats`? (Anything else to expand is refused where the selection is read.)"""
    return call.query.get("$expand", "").strip() == "stats"


def _filter(call: Call, model: str) -> Expression | None:
    text = call.query.get("$filter")
    if not text:
        return None
    try:
        return parse_filter(text, model)
    except FilterError as problem:
        raise invalid_query("$filter", text, str(problem)) from None


Selection = dict[str, Any]
"""Name -> None (all of it) or the selection of its parts."""


def _selection(call: Call, model: str) -> Selection | None:
    expand = call.query.get("$expand")
    if expand and expand.strip() != "stats":
        raise invalid_query("$expand", expand, "Only stats can be expanded.")
    text = call.query.get("$select")
    if not text:
        return None
    chosen: Selection = {}
    for path in (tuple(part.strip() for part in name.split("/")) for name in text.split(",")):
        if property_type(model, path) is None:
            raise invalid_query("$select", text, f"The property '{'/'.join(path)}' does not exist.")
        _select(chosen, path)
    return chosen


def _select(chosen: Selection, path: tuple[str, ...]) -> None:
    if len(path) == 1:
        chosen[path[0]] = None
    elif chosen.get(path[0], chosen) is not None:
        _select(chosen.setdefault(path[0], {}), path[1:])


def _reduced(doc: Doc, chosen: Selection) -> Doc:
    kept = ((name, value, chosen[name]) for name, value in doc.items() if name in chosen)
    return {
        name: _reduced(value, parts) if parts and isinstance(value, dict) else value
        for name, value, parts in kept
    }


def _limit(call: Call, default: int) -> int:
    text = call.query.get("maxresults")
    if text is None:
        return default
    try:
        value = integer(text)
    except ValueError:
        raise invalid_query("maxresults", text, "MaxResults must be an integer") from None
    if value < 1:
        raise invalid_query("maxresults", text, "MaxResults cannot be less than 1")
    if value > MOST_RESULTS:
        raise invalid_query("maxresults", text, f"MaxResults cannot be greater than {MOST_RESULTS}")
    return value


def _start(call: Call) -> int:
    token = call.query.get("$skiptoken")
    if token is None:
        return 0
    try:
        key = int(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        return min(key, _LAST_KEY)
    except (ValueError, binascii.Error):
        raise ServiceError("InvalidQueryParameterValue", ("QueryParameterName", "$skiptoken")) from None


def _next_link(call: Call, key: int) -> str:
    kept = [(name, value) for name, value in parse_qsl(call.raw_query) if name != "$skiptoken"]
    token = base64.urlsafe_b64encode(str(key).encode()).decode().rstrip("=")
    query = urlencode([*kept, ("$skiptoken", token)], quote_via=quote, safe="$")
    return f"{call.endpoint}{call.path}?{query}"

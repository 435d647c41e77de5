"""The operations that look at the account: applications, images, node counts, usage metrics.

Source: Azure Batch REST, Application, Account, Pool - List Usage Metrics. There are no applications here.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from batchctl.server.batch.call import Call, Reply
from batchctl.server.batch.errors import ServiceError, invalid_query
from batchctl.server.batch.listing import Page, list_reply
from batchctl.server.batch.resources.images import SUPPORTED_IMAGES
from batchctl.server.batch.resources.node import counts_view
from batchctl.server.batch.resources.usage_metrics import INTERVAL, interval_of, metrics_views
from batchctl.server.batch.scheduler.node_lives import lives_between
from batchctl.server.batch.wire import Doc, parse_instant

_NODE_COUNTS_PAGE = 10
_START_BEFORE, _END_BEFORE = timedelta(hours=2, minutes=30), timedelta(hours=2)


def list_applications(call: Call) -> Reply:
    """No application (200)."""
    return _list(call, "applications", "BatchApplication", [])


def get_application(call: Call) -> Reply:
    """404: there is no application."""
    raise ServiceError("ApplicationNotFound", ("ApplicationId", call.params["applicationId"]))


def list_supported_images(call: Call) -> Reply:
    """The images that pools can name, and their node agents (200)."""
    return _list(call, "supportedimages", "BatchSupportedImage", SUPPORTED_IMAGES)


def list_node_counts(call: Call) -> Reply:
    """How many nodes of every pool are in which state (200); ten pools a page."""

    def fetch(page: Page) -> Iterator[tuple[int, Doc]]:
        for pool in page.rows(call.store.pools):
            yield pool.seq, counts_view(call.store, pool)

    return list_reply(call, "poolnodecounts", "BatchPoolNodeCounts", fetch, default=_NODE_COUNTS_PAGE)


def list_usage_metrics(call: Call) -> Reply:
    """The core hours of every pool in every half hour from `startTime` to `endtime` (200).

    As in the service the latest half hour that can be asked for ended two hours ago; it is the default.
    """
    latest = interval_of(call.now - _END_BEFORE) - INTERVAL
    begin = _bound(call, "startTime", latest, call.now - _START_BEFORE)
    end = _bound(call, "endtime", latest + INTERVAL, call.now - _END_BEFORE)
    if end <= begin:
        raise invalid_query("endtime", call.query.get("endtime", ""), "The end must be after the start.")
    lives = lives_between(call.store, interval_of(begin), end)
    return _list(
        call, "poolusagemetrics", "BatchPoolUsageMetrics", metrics_views(lives, begin, end, call.now)
    )


def _bound(call: Call, name: str, default: datetime, latest: datetime) -> datetime:
    text = call.query.get(name)
    if text is None:
        return default
    try:
        bound = parse_instant(text)
    except (ValueError, OverflowError) as problem:
        raise invalid_query(name, text, str(problem)) from None
    if bound > latest:
        details = (("QueryParameterName", name), ("QueryParameterValue", text))
        raise ServiceError(
            "OutOfRangeQueryParameterValue", *details, ("Reason", f"The time must be before {latest}.")
        )
    return bound


def _list(call: Call, kind: str, model: str, found: list[Doc] | tuple[Doc, ...]) -> Reply:
    def fetch(page: Page) -> list[tuple[int, Doc]]:
        return list(enumerate(found[page.after : page.after + page.limit], start=page.after + 1))

    return list_reply(call, kind, model, fetch)

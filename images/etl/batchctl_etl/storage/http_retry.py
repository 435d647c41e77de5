"""Which failures of a download deserve another try, and after how long. Pure: nobody waits here."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

LONGEST_PAUSE_SECONDS = 300.0


class Interrupted(Exception):
    """The transfer may succeed if it is tried again, after `retry_after` seconds if the server named a
    time."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


def is_temporary(error: Exception) -> bool:
    """Whether another try may succeed."""
    if isinstance(error, httpx.TransportError):
        return not isinstance(error, httpx.UnsupportedProtocol)
    return isinstance(error, Interrupted)


def pause_after(error: Exception) -> bool | float:
    """For stamina: whether to try again, or after how many seconds."""
    if isinstance(error, Interrupted) and error.retry_after is not None:
        return error.retry_after
    return is_temporary(error)


def retry_after_seconds(headers: Mapping[str, str], *, now: datetime) -> float | None:
    """What Retry-After (seconds or a date) asks for, at most `LONGEST_PAUSE_SECONDS`; `None` if it asks for
    nothing."""
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        seconds = float(value)
    else:
        try:
            seconds = (parsedate_to_datetime(value).astimezone(UTC) - now).total_seconds()
        except ValueError:
            return None
    return min(max(seconds, 0.0), LONGEST_PAUSE_SECONDS)

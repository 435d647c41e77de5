"""Rules that several resources share: ids, names, durations, constraints."""

import re
from datetime import timedelta

from batchctl.server.batch.errors import ServiceError, invalid_value
from batchctl.server.batch.wire import INFINITE, Doc, duration_ticks

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TICKS_PER_MICROSECOND = 10


def check_id(name: str, *, property_name: str = "id") -> None:
    """An id is 1 to 64 letters, digits, hyphens and underscores."""
    if not _ID.fullmatch(name):
        reason = "The id may have 1 to 64 letters, digits, hyphens and underscores."
        raise invalid_value(property_name, name, reason)


def check_display_name(body: Doc) -> None:
    """A display name has at most 1024 characters."""
    if len(body.get("displayName", "")) > 1024:
        raise invalid_value("displayName", body["displayName"], "The value may have at most 1024 characters.")


def check_range(body: Doc, name: str, low: int, high: int) -> None:
    """An integer property, if present, lies in low..high."""
    value = body.get(name)
    if value is not None and not low <= value <= high:
        raise invalid_value(name, value, f"The value must be between {low} and {high}.")


def check_at_least(body: Doc, name: str, least: timedelta) -> None:
    """A duration property, if present, is no shorter than `least`."""
    ticks = least // timedelta(microseconds=1) * _TICKS_PER_MICROSECOND
    if name in body and duration_ticks(body[name]) < ticks:
        raise invalid_value(name, body[name], f"The value must be at least {least}.")


def checked_constraints(constraints: Doc | None, *, retries: int = 0, retention: bool = False) -> Doc:
    """The constraints of a job or (with `retention`) a task, with defaults: no time limit, `retries` retries.

    Raises InvalidConstraintValue for a time that is not positive or a retry count below -1 (-1: no limit).
    """
    result: Doc = {"maxWallClockTime": INFINITE}
    if retention:
        result["retentionTime"] = "P7D"
    result |= {"maxTaskRetryCount": retries} | (constraints or {})
    for name in ("maxWallClockTime", "retentionTime"):
        if name in result and duration_ticks(result[name]) <= 0:
            raise ServiceError(
                "InvalidConstraintValue", ("PropertyName", name), ("PropertyValue", result[name])
            )
    if not -1 <= result["maxTaskRetryCount"] <= 2**31 - 1:
        value = str(result["maxTaskRetryCount"])
        raise ServiceError(
            "InvalidConstraintValue", ("PropertyName", "maxTaskRetryCount"), ("PropertyValue", value)
        )
    return result


def check_user(task: Doc) -> None:
    """A task runs as a named user of the pool or as an automatic one."""
    user = task.get("userIdentity", {})
    if "username" in user and "autoUser" in user:
        raise invalid_value("userIdentity", user["username"], "username and autoUser exclude each other.")


def check_environment(body: Doc, *, property_name: str = "environmentSettings") -> None:
    """Every environment setting has a name."""
    if any(not setting["name"] for setting in body.get(property_name, ())):
        raise invalid_value(property_name, "", "The name of an environment setting may not be empty.")


def check_packages(body: Doc) -> None:
    """This account has no application packages, so a reference to one cannot be met."""
    if references := body.get("applicationPackageReferences"):
        details = [("ApplicationId", item["applicationId"]) for item in references]
        raise ServiceError("InvalidApplicationPackageReferences", *details)


def check_metadata(body: Doc) -> None:
    """Every item of the metadata has a name."""
    if any(not item["name"] for item in body.get("metadata", ())):
        raise ServiceError("EmptyMetadataKey")

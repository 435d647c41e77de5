"""`schedule`: when the pipeline runs."""

from datetime import timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from batchctl.schedule import Cron, CronError, Duplicate, Missing, ZoneError, dst_for, parse, zone
from batchctl.schedule import Dst as DstRule
from batchctl.spec.model import Duration, Model


class Overlap(StrEnum):
    """What happens to an occurrence while the previous run is still going."""

    FORBID = "forbid"
    """It is skipped, and recorded as skipped with the run that was in the way."""
    QUEUE = "queue"
    """It waits for that run, up to `start_window`; then it is skipped."""
    REPLACE = "replace"
    """It ends that run, and runs."""
    ALLOW = "allow"
    """It runs beside it."""


class Dst(Model):
    """What happens on the two days a year when clocks change. Left out: as cron does."""

    missing: Missing | None = Field(
        None, description="A time the clock skips: shift (run at the first minute after) or skip."
    )
    duplicate: Duplicate | None = Field(None, description="A time the clock shows twice: first, or both.")


class Schedule(Model):
    """A cron line in a time zone."""

    cron: str = Field(description="Five fields as in cron(5), or @hourly … @yearly.", examples=["0 6 * * *"])
    timezone: str = Field("UTC", description="An IANA time zone, e.g. America/Los_Angeles.")
    dst: Dst = Field(default_factory=Dst, description="Rules for the days when clocks change.")
    start_window: Duration = Field(
        timedelta(hours=2),
        description="How late a run may start (Batch startWindow, at least PT1M); later, it is skipped.",
    )
    overlap: Overlap = Field(
        Overlap.FORBID,
        description="When another run of the pipeline is going: forbid (skip), queue, replace or allow.",
    )
    budget: int = Field(8, ge=1, le=100, description="How many Batch job schedules this pipeline may take.")

    @field_validator("cron")
    @classmethod
    def _cron_is_valid(cls, value: str) -> str:
        try:
            parse(value)
        except CronError as error:
            raise PydanticCustomError(
                "jobspec", "{message}", {"message": f"{error.field}: {error.message}", "hint": error.hint}
            ) from None
        return value

    @field_validator("timezone")
    @classmethod
    def _zone_exists(cls, value: str) -> str:
        try:
            zone(value)
        except ZoneError as error:
            raise PydanticCustomError(
                "jobspec", "{message}", {"message": error.message, "hint": error.hint}
            ) from None
        return value

    @field_validator("start_window")
    @classmethod
    def _window_is_long_enough(cls, value: timedelta) -> timedelta:
        if value < timedelta(minutes=1):
            raise PydanticCustomError(
                "jobspec", "{message}", {"message": "must be at least PT1M", "hint": ""}
            )
        return value

    @property
    def line(self) -> Cron:
        """The cron line, parsed."""
        return parse(self.cron)

    @property
    def zone(self) -> ZoneInfo:
        """The time zone, from the tzdata package."""
        return zone(self.timezone)

    @property
    def dst_rule(self) -> DstRule:
        """The rules for clock changes, with cron's defaults where the jobspec is silent."""
        return dst_for(self.line, missing=self.dst.missing, duplicate=self.dst.duplicate)

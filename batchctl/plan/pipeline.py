"""A pipeline: a jobspec at a site. What the CLI plans from, and what a schedule carries to its conductor."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from batchctl.plan.site import Site
from batchctl.spec import Jobspec

METADATA_PIPELINE = "batchctl:pipeline"
METADATA_DIGEST = "batchctl:digest"
METADATA_SCHEDULED_AT = "batchctl:scheduled_at"
METADATA_PARAMETERS = "batchctl:parameters"
METADATA_SKIPPED = "batchctl:skipped"
"""Why a scheduled run was skipped."""
METADATA_BLOCKED_BY = "batchctl:blocked_by"
"""The run because of which it was."""
METADATA_RUN = "batchctl:run"
"""On a job that holds nothing but a conductor: the run that it started."""
METADATA_TASKS = "batchctl:tasks"
"""How many tasks the run has, so that a run with fewer is not taken for a success."""


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """A jobspec and where it runs."""

    spec: Jobspec
    site: Site

    def as_json(self) -> dict[str, Any]:
        """Plain JSON data: only what the jobspec says, without its defaults."""
        return {
            "spec": self.spec.model_dump(mode="json", by_alias=True, exclude_defaults=True),
            "site": self.site.as_json(),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Pipeline":
        """The inverse of `as_json`."""
        return cls(
            spec=Jobspec.model_validate_json(orjson.dumps(data["spec"])), site=Site.from_json(data["site"])
        )

    @property
    def digest(self) -> str:
        """SHA-256 of what the pipeline is: the same jobspec at the same site has the same one."""
        return digest(self.as_json())


def digest(value: Any) -> str:
    """SHA-256, in hexadecimal, of JSON data; the order of keys does not matter."""
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()


def metadata_items(values: dict[str, str]) -> list[dict[str, str]]:
    """Batch's shape of metadata: a list of name and value."""
    return [{"name": name, "value": value} for name, value in values.items()]


def metadata_of(body: Mapping[str, Any]) -> dict[str, str]:
    """The inverse of `metadata_items`, from a wire body that may have none."""
    return {item["name"]: item["value"] for item in body.get("metadata") or []}

"""What is different about a pipeline from the one that is deployed, in words: for the reason of a plan's change. Pure.

A job schedule carries the whole pipeline that it was applied with (`bodies.job_specification`), without secrets.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from batchctl.plan.bodies import CONDUCTOR_VARIABLE
from batchctl.plan.pipeline import Pipeline

MOST_TOLD = 5
_LONGEST = 80
_DIGEST = re.compile(r"(sha256:[0-9a-f]{12})[0-9a-f]{52}")


def pipeline_changes(wanted: Pipeline, deployed: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """`images.etl: acr/etl@sha256:0b65… -> acr/etl@sha256:77c1…` for each thing that differs from the pipeline that the job
    schedules `deployed` (wire bodies) carry; at most `MOST_TOLD`, then how many more. Empty if none can be read."""
    for carried in _carried(deployed):
        told = [
            f"{path.removeprefix('spec.').removeprefix('site.')}: {_short(before)} -> {_short(after)}"
            for path, before, after in _differences("", carried, wanted.as_json())
        ]
        more = len(told) - MOST_TOLD
        return (*told[:MOST_TOLD], f"and {more} more") if more > 0 else tuple(told)
    return ()


def loses_containers(wanted: Pipeline, deployed: Sequence[Mapping[str, Any]]) -> bool:
    """Whether what is deployed runs in containers, and `wanted` would run as plain processes."""
    runs_in_containers = any(
        carried["site"].get("containers") and carried["spec"].get("images") for carried in _carried(deployed)
    )
    return runs_in_containers and not wanted.site.containers


def _carried(deployed: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for body in deployed:
        manager = body.get("jobSpecification", {}).get("jobManagerTask", {})
        settings = {item["name"]: item.get("value", "") for item in manager.get("environmentSettings", ())}
        try:
            yield orjson.loads(settings[CONDUCTOR_VARIABLE])
        except (KeyError, orjson.JSONDecodeError):
            continue


def _differences(path: str, before: Any, after: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in dict.fromkeys((*before, *after)):
            inner = f"{path}.{key}" if path else str(key)
            yield from _differences(inner, before.get(key), after.get(key))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for i, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from _differences(f"{path}[{i}]", old, new)
    elif before != after:
        yield path, before, after


def _short(value: Any) -> str:
    if value is None or value == "":
        return "not set"
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    text = _DIGEST.sub(r"\1", " ".join(text.split()))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"

"""What we send is what the SDK's models know: a property of ours that Batch does not have is a mistake of ours."""

import json
import typing
from pathlib import Path
from typing import Any

import pytest
from azure.batch import models

from batchctl.spec import Pool

GOLDEN = Path(__file__).parents[1] / "golden"
MODELS = {
    "pool": models.BatchPoolCreateOptions,
    "job_schedule": models.BatchJobScheduleCreateOptions,
    "job": models.BatchJobCreateOptions,
    "task": models.BatchTaskCreateOptions,
}


def unknown(model: Any, body: dict[str, Any], path: str) -> list[str]:
    """The properties in `body`, at any depth, that `model` does not have."""
    model(body)  # fills the class's table of fields
    known = {field._rest_name: field for field in model._attr_to_rest_field.values()}
    hints = typing.get_type_hints(model, vars(models._models) | {"_models": models})
    names = {field._rest_name: name for name, field in model._attr_to_rest_field.items()}
    found = []
    for key, value in body.items():
        if key not in known:
            found.append(f"{path}.{key}")
            continue
        inner = inner_model(hints[names[key]])
        for i, item in enumerate(value if isinstance(value, list) else [value]):
            if inner and isinstance(item, dict):
                found += unknown(
                    inner, item, f"{path}.{key}[{i}]" if isinstance(value, list) else f"{path}.{key}"
                )
    return found


def inner_model(hint: Any) -> Any:
    if isinstance(hint, type) and hasattr(hint, "_attr_to_rest_field"):
        return hint
    return next((m for arg in typing.get_args(hint) if (m := inner_model(arg))), None)


def bodies() -> list[tuple[str, str, dict[str, Any]]]:
    found = []
    for path in sorted(GOLDEN.glob("*/plan.json")):
        changes = json.loads(path.read_text())["changes"]
        found += [(path.parent.name, c["kind"], c["body"]) for c in changes if c["body"]]
    for path in sorted(GOLDEN.glob("*/run.json")):
        run = json.loads(path.read_text())
        found += [(path.parent.name, "job", run["job"])] + [
            (path.parent.name, "task", t) for t in run["tasks"]
        ]
    return found


@pytest.mark.parametrize(("case", "kind", "body"), bodies(), ids=lambda v: v if isinstance(v, str) else "")
def test_every_property_is_one_of_batch_s(case: str, kind: str, body: dict[str, Any]) -> None:
    assert unknown(MODELS[kind], body, kind) == []


def test_the_check_finds_a_wrong_property() -> None:
    body = {"id": "p", "vmSize": "x", "virtualMachineConfiguration": {"imageReference": {"publisherr": "x"}}}
    assert unknown(models.BatchPoolCreateOptions, body, "pool") == [
        "pool.virtualMachineConfiguration.imageReference.publisherr"
    ]


def test_pool_fields_are_named_as_the_sdk_names_them() -> None:
    theirs = set(vars(models.BatchPoolSpecification).get("_attr_to_rest_field", {})) or set(
        models.BatchPoolSpecification({}).__class__._attr_to_rest_field
    )
    ours = set(Pool.model_fields) - {"id", "lifetime", "vm_image", "identity"}
    assert ours <= theirs

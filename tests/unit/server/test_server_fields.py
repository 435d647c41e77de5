"""The field table: canonical bodies, and what is refused."""

import pytest
from azure.batch import models

from batchctl.server.batch.errors import ServiceError
from batchctl.server.batch.fields import canonical, properties, property_type


def test_canonical_form() -> None:
    body = {
        "id": "a",
        "poolInfo": {"poolId": "p"},
        "priority": "5",
        "usesTaskDependencies": "True",
        "onAllTasksComplete": "TerminateJob",
        "constraints": {"maxWallClockTime": "PT60M", "maxTaskRetryCount": 2.0},
        "metadata": [{"name": "n", "value": "v"}],
        "displayName": None,
        "odata.metadata": "ignored",
    }
    assert canonical("BatchJobCreateOptions", body) == {
        "id": "a",
        "poolInfo": {"poolId": "p"},
        "priority": 5,
        "usesTaskDependencies": True,
        "onAllTasksComplete": "terminatejob",
        "constraints": {"maxWallClockTime": "PT1H", "maxTaskRetryCount": 2},
        "metadata": [{"name": "n", "value": "v"}],
    }


@pytest.mark.parametrize(
    ("changes", "code", "named"),
    [
        ({"nope": 1}, "InvalidRequestBody", "nope"),
        ({"poolInfo": {"nope": 1}}, "InvalidRequestBody", "nope"),
        ({"id": 7}, "InvalidRequestBody", "id"),
        ({"priority": True}, "InvalidRequestBody", "priority"),
        ({"priority": "high"}, "InvalidRequestBody", "priority"),
        ({"priority": "1_0"}, "InvalidRequestBody", "priority"),
        ({"priority": "\uff11"}, "InvalidRequestBody", "priority"),
        ({"constraints": {"maxWallClockTime": "PT\uff11M"}}, "InvalidRequestBody", "maxWallClockTime"),
        ({"priority": 1.5}, "InvalidRequestBody", "priority"),
        ({"priority": "inf"}, "InvalidRequestBody", "priority"),
        ({"priority": 2**31}, "InvalidRequestBody", "priority"),
        ({"priority": float("inf")}, "InvalidRequestBody", "priority"),
        ({"priority": []}, "InvalidRequestBody", "priority"),
        ({"usesTaskDependencies": 1}, "InvalidRequestBody", "usesTaskDependencies"),
        ({"metadata": {}}, "InvalidRequestBody", "metadata"),
        ({"metadata": [{"name": "x"}]}, "MissingRequiredProperty", "value"),
        ({"onTaskFailure": "explode"}, "InvalidPropertyValue", "onTaskFailure"),
        ({"id": None}, "MissingRequiredProperty", "id"),
        ({"eTag": "read-only"}, "InvalidRequestBody", "eTag"),
    ],
)
def test_refusals(changes: dict[str, object], code: str, named: str) -> None:
    with pytest.raises(ServiceError) as caught:
        canonical("BatchJobCreateOptions", {"id": "a", "poolInfo": {"poolId": "p"}} | changes)
    assert caught.value.code == code
    assert named in str(caught.value.values)


def test_nested_types_for_filters() -> None:
    assert property_type("BatchTask", ("executionInfo", "exitCode")) == "int"
    assert property_type("BatchTask", ("executionInfo", "nope")) is None
    assert property_type("BatchTask", ("id", "nope")) is None
    assert {"id", "eTag", "executionInfo"} <= properties("BatchTask")


@pytest.mark.parametrize(
    "name",
    [
        "BatchPoolCreateOptions",
        "BatchJobCreateOptions",
        "BatchJobScheduleCreateOptions",
        "BatchTaskCreateOptions",
    ],
)
def test_the_table_has_what_the_sdk_can_send(name: str) -> None:
    known = {field._rest_name for field in getattr(models, name)()._attr_to_rest_field.values()}
    assert known == properties(name)

"""What older clients send, written by hand: az (2024-02-01.19.0) and @azure/batch (2022-10-01.16.0)."""

import json
from typing import Any

import pytest
from azure.batch import BatchClient

from batchctl.server import LocalServer
from tests.contract.conftest import eventually, pool
from tests.contract.test_protocol import send

AZ = "api-version=2024-02-01.19.0"
JS = "api-version=2022-10-01.16.0"


def ask(
    server: LocalServer, method: str, path: str, body: Any = None, *, query: str = AZ, **headers: str
) -> tuple[int, Any]:
    data = b"" if body is None else json.dumps(body).encode()
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    status, _, answer = send(server, method, path, query=query, body=data, headers=sent)
    return status, answer


def test_the_story_of_az(server: LocalServer, batch: BatchClient) -> None:
    batch.create_pool(pool())
    job = {
        "id": "daily",
        "priority": "5",
        "usesTaskDependencies": "false",
        "poolInfo": {"poolId": "etl", "autoPoolSpecification": None},
        "constraints": {"maxWallClockTime": "PT06M00S", "maxTaskRetryCount": "2"},
        "onAllTasksComplete": "noAction",
        "onTaskFailure": "PerformExitOptionsJobAction",
        "metadata": [{"name": "a", "value": "b"}],
        "jobManagerTask": {
            "id": "m",
            "commandLine": "true",
            "killJobOnCompletion": "False",
            "authenticationTokenSettings": {"access": ["job"]},
        },
    }
    assert ask(server, "POST", "/jobs", job, client_request_id="x", accept_language="en-US")[0] == 201
    status, found = ask(server, "GET", "/jobs/daily")
    assert (status, found["priority"], found["usesTaskDependencies"]) == (200, 5, False)
    assert found["constraints"] == {"maxWallClockTime": "PT6M", "maxTaskRetryCount": 2}
    assert (found["onTaskFailure"], found["onAllTasksComplete"]) == (
        "performexitoptionsjobaction",
        "noaction",
    )
    assert "authenticationTokenSettings" not in found["jobManagerTask"]
    task = {
        "id": "t",
        "commandLine": "true",
        "constraints": {"maxTaskRetryCount": "3", "retentionTime": "P1D"},
        "authenticationTokenSettings": {"access": ["job"]},
        "requiredSlots": "1",
    }
    assert ask(server, "POST", "/jobs/daily/tasks", task)[0] == 201
    results = ask(server, "POST", "/jobs/daily/addtaskcollection", {"value": [task | {"id": "u"}]})[1]
    assert results["value"][0]["status"] == "Success"
    wish = {"constraints": {"maxWallClockTime": "PT01M00S"}}
    assert ask(server, "PATCH", "/jobs/daily", wish)[0] == 200
    constraints = ask(server, "GET", "/jobs/daily")[1]["constraints"]
    assert constraints == {"maxWallClockTime": "PT1M", "maxTaskRetryCount": 0}, "replaced as a whole"
    assert ask(server, "PUT", "/jobs/daily", {"poolInfo": {"poolId": "etl"}, "priority": "-7"})[0] == 200
    assert ask(server, "GET", "/jobs/daily")[1]["priority"] == -7
    query = f"{AZ}&%24select=id%2Cstate&%24filter=startswith%28id%2C%27T%27%29&maxresults=10"
    assert ask(server, "GET", "/jobs/daily/tasks", query=query)[1]["value"][0]["id"] == "t"
    date = "Thu, 01 Jan 2015 00:00:00 GMT"
    assert (
        ask(server, "POST", "/jobs/daily/disable", {"disableTasks": "Terminate"}, if_unmodified_since=date)[0]
        == 412
    )
    eventually(lambda: ask(server, "GET", "/jobs/daily/taskcounts")[1]["taskCounts"]["succeeded"] == 3)
    assert ask(server, "POST", "/jobs/daily/disable", {"disableTasks": "Terminate"})[0] == 202
    assert ask(server, "POST", "/jobs/daily/terminate", {"terminateReason": None})[0] == 202
    eventually(lambda: ask(server, "GET", "/jobs/daily")[1]["state"] == "completed")
    assert ask(server, "GET", "/jobs/daily")[1]["executionInfo"]["terminateReason"] == "UserTerminate"
    assert send(server, "DELETE", "/jobs/daily", query=AZ, signed="0")[0] == 202


def test_the_story_of_javascript(server: LocalServer) -> None:
    specification = {
        "poolInfo": {
            "autoPoolSpecification": {
                "poolLifetimeOption": "Job",
                "pool": {
                    "vmSize": "STANDARD_D2S_V5",
                    "targetDedicatedNodes": 1,
                    "targetNodeCommunicationMode": "simplified",
                    "certificateReferences": [],
                    "cloudServiceConfiguration": None,
                },
            }
        },
        "jobManagerTask": {
            "id": "m",
            "commandLine": "true",
            "authenticationTokenSettings": {"access": ["job"]},
        },
    }
    schedule = {"recurrenceInterval": "P0DT24H", "startWindow": "PT0H90M"}
    body = {"id": "nightly", "schedule": schedule, "jobSpecification": specification}
    assert ask(server, "POST", "/jobschedules", body, query=JS)[0] == 201
    status, found = ask(server, "GET", "/jobschedules/nightly", query=JS)
    assert status == 200
    assert found["schedule"] == {"recurrenceInterval": "P1D", "startWindow": "PT1H30M"}
    eventually(lambda: ask(server, "GET", "/jobs/nightly:job-1", query=JS)[1]["state"] == "completed")
    found["jobSpecification"]["priority"] = "3"
    kept = {name: found[name] for name in ("schedule", "jobSpecification")}
    assert ask(server, "PUT", "/jobschedules/nightly", kept, query=JS)[0] == 200
    assert ask(server, "GET", "/jobschedules/nightly", query=JS)[1]["jobSpecification"]["priority"] == 3
    assert send(server, "POST", "/jobschedules/nightly/disable", query=JS, signed="")[0] == 204
    assert send(server, "DELETE", "/jobschedules/nightly", query=JS, signed="")[0] == 202
    eventually(lambda: ask(server, "GET", "/jobschedules", query=JS)[1]["value"] == [])


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"if_match": "0x1"}, 412, "ConditionNotMet"),
        ({"if_none_match": "*"}, 412, "ConditionNotMet"),
        ({"if_unmodified_since": "Thu, 01 Jan 2015 00:00:00 GMT"}, 412, "ConditionNotMet"),
        ({"if_modified_since": "Thu, 01 Jan 2099 00:00:00 GMT"}, 412, "ConditionNotMet"),
        ({"if_match": "*", "if_none_match": "0x1"}, 400, "MultipleConditionHeadersNotSupported"),
        ({"if_modified_since": "yesterday"}, 400, "InvalidHeaderValue"),
    ],
)
def test_conditions_of_a_change(server: LocalServer, headers: dict[str, str], status: int, code: str) -> None:
    ask(server, "POST", "/jobs", {"id": "daily", "poolInfo": {"poolId": "etl"}})
    ask(server, "POST", "/jobs/daily/tasks", {"id": "a", "commandLine": "true"})
    for path, body in (
        ("/jobs/daily", {"poolInfo": {"poolId": "etl"}}),
        ("/jobs/daily/tasks/a", {"constraints": {}}),
    ):
        found, answer = ask(server, "PUT", path, body, **headers)
        assert (found, answer["code"]) == (status, code)

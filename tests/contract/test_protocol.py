"""What all operations share: signatures, versions, lists, filters, conditions, errors, the route table."""

import http.client
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import azure.batch
import pytest
from azure.batch import BatchClient, models
from azure.core import MatchConditions
from azure.core.credentials import AzureNamedKeyCredential
from azure.core.exceptions import HttpResponseError, ResourceModifiedError

from batchctl.server import LocalServer
from batchctl.server.batch.auth import signature, string_to_sign
from batchctl.server.batch.routes import OPERATIONS
from tests.contract.conftest import code_of, completed, error_of, job, pool, task

VERSION = "api-version=2025-06-01"


def send(
    server: LocalServer,
    method: str,
    path: str,
    *,
    query: str = VERSION,
    body: bytes = b"",
    headers: dict[str, str] | None = None,
    signed: str | None = None,
    key: str | None = None,
) -> tuple[int, dict[str, str], Any]:
    """A raw signed request; `signed` is the content length that the signature covers."""
    sent = {"ocp-date": "Thu, 22 Jan 2026 20:18:17 GMT"} | (headers or {})
    if body:
        sent |= {"content-type": "application/json; odata=minimalmetadata", "content-length": str(len(body))}
    length = sent.get("content-length", "") if signed is None else signed
    text = string_to_sign(method, path, query, sent, account=server.account, content_length=length)
    sent.setdefault("Authorization", f"SharedKey {server.account}:{signature(text, key or server.key)}")
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    try:
        connection.request(method, f"{path}?{query}", body or None, sent)
        answer = connection.getresponse()
        data = answer.read()
        return (
            answer.status,
            {k.lower(): v for k, v in answer.getheaders()},
            json.loads(data) if data else None,
        )
    finally:
        connection.close()


def test_the_route_table_holds_the_whole_surface() -> None:
    assert len(OPERATIONS) == 72
    assert len({(operation.method, operation.path) for operation in OPERATIONS}) == 72
    assert len({operation.name for operation in OPERATIONS}) == 72


def test_the_route_table_is_what_the_sdk_calls() -> None:
    source = Path(azure.batch.__file__).parent / "_operations" / "_operations.py"
    pattern = r'\n    _url = "(/[^"]*)".*?HttpRequest\(method="(\w+)"'
    called = {(verb, path) for path, verb in re.findall(pattern, source.read_text(), flags=re.DOTALL)}
    assert {(one.method, one.path.replace(":path}", "}")) for one in OPERATIONS} == called
    methods = {name.removeprefix("begin_") for name in dir(BatchClient)}
    assert [one.name for one in OPERATIONS if one.name not in methods] == []


def test_every_operation_that_is_not_built_says_so(server: LocalServer) -> None:
    for operation in OPERATIONS:
        if operation.handler is None:
            path = re.sub(r"\{[^}]*\}", "x", operation.path)
            status, _, body = send(server, operation.method, path)
            if operation.method == "HEAD":
                assert (status, body) == (501, None), operation
            else:
                assert (status, body["code"]) == (501, "NotImplemented"), operation
                assert operation.name in body["message"]["value"]


def test_the_shape_of_an_error(batch: BatchClient, server: LocalServer) -> None:
    status, headers, body = send(server, "GET", "/pools/nope")
    assert (status, body["code"], body["message"]["lang"]) == (404, "PoolNotFound", "en-US")
    kind = "Microsoft.Azure.Batch.Protocol.Entities.Container.errors/@Element"
    assert body["odata.metadata"] == f"{server.endpoint}/$metadata#{kind}"
    pattern = (
        rf"The specified pool does not exist\.\nRequestId:{headers['request-id']}\nTime:[0-9T:.-]{{27}}Z"
    )
    assert re.fullmatch(pattern, body["message"]["value"])
    assert headers["dataserviceversion"] == "3.0"
    error = error_of(lambda: batch.create_pool({"id": "bad id", "vmSize": "x"}))
    details = {detail["key"]: detail["value"] for detail in error.model["values"]}
    assert (details["PropertyName"], details["PropertyValue"]) == ("id", "bad id")
    assert details["Reason"]


def test_a_wrong_key_is_refused(server: LocalServer) -> None:
    credential = AzureNamedKeyCredential(server.account, "d3Jvbmc=")
    with BatchClient(server.endpoint, credential, retry_total=0) as client:
        assert code_of(lambda: list(client.list_pools())) == (403, "AuthenticationFailed")
    credential = AzureNamedKeyCredential("somebody", server.key)
    with BatchClient(server.endpoint, credential, retry_total=0) as client:
        assert code_of(lambda: list(client.list_pools())) == (403, "AuthenticationFailed")


@pytest.mark.parametrize(
    ("header", "status", "code"),
    [
        ("", 401, "InvalidAuthenticationInfo"),
        ("Bearer abc", 401, "InvalidAuthenticationInfo"),
        ("SharedKey", 400, "InvalidAuthenticationInfo"),
        ("SharedKey devaccount", 400, "InvalidAuthenticationInfo"),
        ("SharedKey devaccount:***", 400, "InvalidAuthenticationInfo"),
        ("SharedKey devaccount:AAAA", 403, "AuthenticationFailed"),
    ],
)
def test_authorization_headers(server: LocalServer, header: str, status: int, code: str) -> None:
    found, _, body = send(server, "GET", "/pools", headers={"Authorization": header})
    assert (found, body["code"]) == (status, code)


@pytest.mark.parametrize("signed", ["", "0"])
def test_both_ways_to_sign_no_body(server: LocalServer, batch: BatchClient, signed: str) -> None:
    batch.create_pool(pool(nodes=0))
    assert send(server, "DELETE", "/pools/etl", signed=signed)[0] == 202


@pytest.mark.parametrize(
    "version",
    [
        "2025-06-01",
        "2024-07-01.20.0",
        "2024-02-01.19.0",
        "2022-10-01.16.0",
        "2020-09-01.12.0",
        "2018-12-01.8.0",
    ],
)
def test_known_versions(server: LocalServer, version: str) -> None:
    assert send(server, "GET", "/pools", query=f"api-version={version}")[0] == 200


def test_unknown_versions(server: LocalServer) -> None:
    status, _, body = send(server, "GET", "/pools", query="api-version=1999-01-01")
    assert (status, body["code"]) == (400, "UnsupportedRequestVersion")
    status, _, body = send(server, "GET", "/pools", query="timeOut=30")
    assert (status, body["code"]) == (400, "MissingRequiredQueryParameter")


def test_retired_properties_are_for_older_clients(server: LocalServer) -> None:
    body = json.dumps({"id": "etl", "vmSize": "x", "targetNodeCommunicationMode": "simplified"}).encode()
    assert send(server, "POST", "/pools", body=body)[2]["code"] == "InvalidRequestBody"
    assert send(server, "POST", "/pools", body=body, query="api-version=2024-02-01.19.0")[0] == 201


def test_a_property_by_its_old_name(server: LocalServer, batch: BatchClient) -> None:
    body = json.dumps({"id": "etl", "vmSize": "Standard_D2s_v5", "maxTasksPerNode": "4"}).encode()
    assert send(server, "POST", "/pools", body=body)[2]["code"] == "InvalidRequestBody"
    assert send(server, "POST", "/pools", body=body, query="api-version=2020-03-01.11.0")[0] == 201
    assert batch.get_pool("etl").task_slots_per_node == 4
    old = "api-version=2020-03-01.11.0"
    assert send(server, "GET", "/pools/etl", query=old)[2]["maxTasksPerNode"] == 4
    batch.create_job(job())
    assert send(server, "GET", "/jobs/daily/taskcounts", query=old)[2]["succeeded"] == 0


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("$orderby=id", "UnsupportedQueryParameter"),
        ("$top=10", "UnsupportedQueryParameter"),
        ("timeOut=soon", "InvalidQueryParameterValue"),
        ("timeOut=-1", "InvalidQueryParameterValue"),
        ("timeOut=%EF%BC%91", "InvalidQueryParameterValue"),
        ("maxresults=1_0", "InvalidQueryParameterValue"),
        ("maxresults=%EF%BC%91%EF%BC%90", "InvalidQueryParameterValue"),
    ],
)
def test_wrong_queries(server: LocalServer, query: str, code: str) -> None:
    status, _, body = send(server, "GET", "/pools", query=f"{VERSION}&{query}")
    assert (status, body["code"]) == (400, code)


@pytest.mark.parametrize("body", [b"{", b"[]", b"7", b"\xff\xfe"])
def test_a_body_that_is_no_object(server: LocalServer, body: bytes) -> None:
    status, _, answer = send(server, "POST", "/pools", body=body)
    assert (status, answer["code"]) == (400, "InvalidRequestBody")


def test_unknown_addresses_and_verbs(server: LocalServer) -> None:
    assert send(server, "GET", "/nowhere")[2]["code"] == "InvalidUri"
    status, _, body = send(server, "PUT", "/pools/etl")
    assert (status, body["code"]) == (405, "UnsupportedHttpVerb")
    assert send(server, "TRACE", "/pools")[2]["code"] == "UnsupportedHttpVerb"
    status, _, body = send(server, "GRAB", "/pools")
    assert (status, body["code"]) == (400, "InvalidHttpVerb")
    status, _, body = send(server, "GET", "/pools/")
    assert (status, body["code"]) == (400, "InvalidUri")


def test_headers_of_an_answer(server: LocalServer) -> None:
    body = json.dumps({"id": "etl", "vmSize": "x"}).encode()
    wanted = {"client-request-id": "mine", "return-client-request-id": "true"}
    status, headers, _ = send(server, "POST", "/pools", body=body, headers=wanted)
    assert (status, headers["client-request-id"]) == (201, "mine")
    assert headers["location"] == headers["dataserviceid"] == f"{server.endpoint}/pools/etl"
    assert re.fullmatch("0x8[0-9A-F]{14}", headers["etag"])
    assert headers["last-modified"].endswith("GMT")
    status, headers, _ = send(server, "GET", "/pools/etl", headers={"client-request-id": "mine"})
    assert headers["content-type"] == "application/json; odata=minimalmetadata"
    assert "client-request-id" not in headers


def test_the_address_of_a_new_job_is_the_services_own(server: LocalServer) -> None:
    body = json.dumps({"id": "daily", "poolInfo": {"poolId": "x"}}).encode()
    _, headers, _ = send(server, "POST", "/jobs", body=body)
    assert headers["location"] == f"{server.endpoint}/jobs/job-1"


def test_pages(batch: BatchClient, server: LocalServer) -> None:
    batch.create_job(job())
    names = [f"t{number:03}" for number in range(25)]
    for name in names:
        batch.create_task("daily", task(name))
    pages = [list(page) for page in batch.list_tasks("daily", max_results=10).by_page()]
    assert [len(page) for page in pages] == [10, 10, 5]
    assert [found.id for page in pages for found in page] == names
    _, _, body = send(server, "GET", "/jobs/daily/tasks", query=f"maxresults=10&{VERSION}")
    assert re.match(
        rf"{server.endpoint}/jobs/daily/tasks\?maxresults=10&{VERSION}&\$skiptoken=", body["odata.nextLink"]
    )
    assert body["odata.metadata"] == f"{server.endpoint}/$metadata#tasks"
    exact = [list(page) for page in batch.list_tasks("daily", max_results=25).by_page()]
    assert [len(page) for page in exact] == [25]


def test_a_page_continues_behind_its_last_row(batch: BatchClient) -> None:
    batch.create_job(job())
    for name in "abcd":
        batch.create_task("daily", task(name))
    pages = batch.list_tasks("daily", max_results=2).by_page()
    assert [found.id for found in next(pages)] == ["a", "b"]
    batch.delete_task("daily", "a")
    batch.create_task("daily", task("e"))
    assert [found.id for page in pages for found in page] == ["c", "d", "e"]


@pytest.mark.parametrize("value", [0, -1, 1001])
def test_wrong_page_sizes(batch: BatchClient, value: int) -> None:
    error = error_of(lambda: list(batch.list_pools(max_results=value)))
    assert error.model.code == "InvalidQueryParameterValue"


def test_a_wrong_token(server: LocalServer) -> None:
    _, _, body = send(server, "GET", "/pools", query=f"%24skiptoken=rubbish&{VERSION}")
    assert body["code"] == "InvalidQueryParameterValue"


def test_select(batch: BatchClient) -> None:
    batch.create_pool(pool(nodes=0))
    found = batch.get_pool("etl", select=["id, state"])
    assert {name for name in found if name != "odata.metadata"} == {"id", "state"}
    assert found.vm_size is None
    listed = next(iter(batch.list_pools(select=["id", "vmSize"])))
    assert set(listed) == {"id", "vmSize"}
    assert code_of(lambda: batch.get_pool("etl", select=["nope"])) == (400, "InvalidQueryParameterValue")


def test_filters(batch: BatchClient) -> None:
    for name, priority in (("etl-a", 1), ("etl-b", 2), ("other", 3)):
        batch.create_job(job(name, priority=priority))
    batch.begin_terminate_job("etl-b", {"terminateReason": "x"}, polling_interval=0).result()

    def ids(text: str) -> list[str]:
        return [found.id for found in batch.list_jobs(filter=text)]

    assert ids("startswith(id,'etl')") == ["etl-a", "etl-b"]
    assert ids("state eq 'completed'") == ["etl-b"]
    assert ids("startswith(id, 'ETL') and state eq 'Active'") == ["etl-a"]
    assert ids("priority ge 2 and (id eq 'other' or id eq 'etl-a')") == ["other"]
    assert ids("executionInfo/terminateReason eq 'x'") == ["etl-b"]
    assert ids("not (state eq 'completed')") == ["etl-a", "other"]
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    assert ids(f"creationTime gt DateTime'{tomorrow}'") == []
    assert len(ids(f"creationTime lt DateTime'{tomorrow}'")) == 3


@pytest.mark.parametrize(
    "text", ["nope eq 1", "id like 'x'", "id eq", "(id eq 'x'", "id eq 'x' and", "Id eq 'x'"]
)
def test_wrong_filters(batch: BatchClient, text: str) -> None:
    assert code_of(lambda: list(batch.list_jobs(filter=text))) == (400, "InvalidQueryParameterValue")


def test_a_filter_over_many_rows_still_finds_the_few(batch: BatchClient) -> None:
    batch.create_job(job())
    for start in range(0, 6000, 100):
        group = models.BatchTaskGroup(
            task_values=[task(f"t{number}") for number in range(start, start + 100)]
        )
        batch.create_task_collection("daily", group)
    found = [one.id for one in batch.list_tasks("daily", filter="id eq 't5999'", select=["id"])]
    assert found == ["t5999"]


def test_conditions(batch: BatchClient, server: LocalServer) -> None:
    batch.create_pool(pool(nodes=0))
    found = batch.get_pool("etl")
    with pytest.raises(ResourceModifiedError):
        batch.begin_delete_pool("etl", etag="0x1", match_condition=MatchConditions.IfNotModified)
    same = {"etag": found.etag, "match_condition": MatchConditions.IfModified}
    with pytest.raises(HttpResponseError) as caught:
        batch.get_pool("etl", **same)
    assert caught.value.status_code == 304
    assert caught.value.response is not None
    assert caught.value.response.headers["ETag"] == found.etag
    before, after = found.last_modified - timedelta(hours=1), found.last_modified + timedelta(hours=1)
    assert code_of(lambda: batch.begin_delete_pool("etl", if_unmodified_since=before)) == (
        412,
        "ConditionNotMet",
    )
    assert error_of(lambda: batch.get_pool("etl", if_modified_since=after)).status_code == 304
    several = {"if-match": found.etag, "if-none-match": "0x1"}
    assert (
        send(server, "GET", "/pools/etl", headers=several)[2]["code"]
        == "MultipleConditionHeadersNotSupported"
    )
    wrong = {"if-modified-since": "yesterday"}
    assert send(server, "GET", "/pools/etl", headers=wrong)[2]["code"] == "InvalidHeaderValue"
    matching = {"etag": found.etag, "match_condition": MatchConditions.IfNotModified}
    batch.begin_delete_pool("etl", polling_interval=0, **matching).result()


def test_the_etag_of_a_task_does_not_follow_its_state(batch: BatchClient) -> None:
    batch.create_job(job())
    batch.create_task("daily", task("a"))
    before = batch.get_task("daily", "a").etag
    batch.create_pool(pool())
    assert completed(batch, "daily", "a").etag == before


def test_state_survives_a_restart(tmp_path: Path) -> None:
    with LocalServer(tmp_path) as server:
        credential = AzureNamedKeyCredential(server.account, server.key)
        with BatchClient(server.endpoint, credential) as client:
            client.create_job(job())
            client.create_task("daily", task("a"))
        port = server.port
    with LocalServer(tmp_path) as server:
        assert server.port == port, "the port is used again"
        with BatchClient(server.endpoint, credential) as client:
            assert [found.id for found in client.list_tasks("daily")] == ["a"]

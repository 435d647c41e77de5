"""The filter language."""

import pytest

from batchctl.server.batch.odata import FilterError, matches, parse_filter, required_value

TASK = {
    "id": "Extract-1",
    "state": "completed",
    "creationTime": "2026-01-22T20:18:17.6076940Z",
    "executionInfo": {"exitCode": 3, "result": "failure"},
    "displayName": "it's",
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("id eq 'extract-1'", True),
        ("id ne 'extract-1'", False),
        ("startswith(id,'EXT')", True),
        ("startswith( id , 'tract' )", False),
        ("executionInfo/exitCode gt 2", True),
        ("executionInfo/exitCode le 2", False),
        ("executionInfo/retryCount eq 0", False),
        ("executionInfo/retryCount eq null", True),
        ("executionInfo/retryCount ge 0", False),
        ("state eq 'active' or state eq 'completed'", True),
        ("state eq 'active' or state eq 'completed' and id eq 'x'", False),
        ("(state eq 'completed' or state eq 'active') and id eq 'extract-1'", True),
        ("not state eq 'active'", True),
        ("not (state eq 'completed' and id eq 'extract-1')", False),
        ("creationTime ge DateTime'2026-01-22T20:18:17Z'", True),
        ("creationTime lt datetime'2026-01-22T20:18:17Z'", False),
        ("creationTime gt DateTime'2026-01-22T22:00:00+02:00'", True),
        ("displayName eq 'it''s'", True),
    ],
)
def test_matching(text: str, expected: bool) -> None:
    assert matches(parse_filter(text, "BatchTask"), TASK) is expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "id",
        "id eq",
        "id eq 'open",
        "id eq 'x' 'y'",
        "eq 'x'",
        "nope eq 'x'",
        "executionInfo/nope eq 1",
        "id/deeper eq 'x'",
        "executionInfo/exitCode eq 'three'",
        "executionInfo/exitCode gt true",
        "id eq 5",
        "id eq DateTime'2026-01-22T22:00:00Z' or state eq 5",
        "executionInfo eq 'x'",
        "startswith(executionInfo/exitCode, '3')",
        "startswith(id, null)",
        "ID eq 'x'",
        "id has 'x'",
        "(id eq 'x'",
        "id eq 'x')",
        "startswith(id)",
        "startswith(id, 'x'",
        "id startswith 'x'",
        "creationTime gt DateTime'soon'",
        "creationTime gt DateTime'0001-01-01T00:00:00+23:59'",
        "executionInfo/exitCode eq " + "9" * 5000,
        "id eq other",
        "id eq 'x' and",
        "id == 'x'",
        "(" * 2000,
        "not " * 2000,
    ],
)
def test_what_is_not_a_filter(text: str) -> None:
    with pytest.raises(FilterError):
        parse_filter(text, "BatchTask")


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("state eq 'Active'", "active"),
        ("startswith(id,'x') and state eq 'active'", "active"),
        ("state ne 'active'", None),
        ("state eq 'active' or id eq 'x'", None),
        ("not state eq 'active'", None),
    ],
)
def test_the_state_an_index_can_use(text: str, state: str | None) -> None:
    assert required_value(parse_filter(text, "BatchTask"), "state") == state


@pytest.mark.parametrize(
    ("text", "prefix"),
    [
        ("startswith(id,'ETL-')", "etl-"),
        ("state eq 'active' and startswith(id, 'x')", "x"),
        ("startswith(id,'x') or state eq 'active'", None),
        ("not startswith(id,'x')", None),
        ("startswith(displayName,'x')", None),
        ("id eq 'x'", None),
    ],
)
def test_the_beginning_of_an_id_that_an_index_can_use(text: str, prefix: str | None) -> None:
    assert required_value(parse_filter(text, "BatchTask"), "id", "startswith") == prefix

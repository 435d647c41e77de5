"""`etl extract` from a web API: all rows of all requests and pages, or none."""

import json
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest
from batchctl_etl.api.pages import Pacer


@pytest.fixture
def api(server):
    """A web API: set `answer(path, query) -> document | Reply`; read `asked` (paths with queries)."""

    class Api:
        url = f"{server.url}/v1/prices"
        asked: ClassVar[list[str]] = []
        answer = None

    api = Api()
    api.asked = []

    def reply(handler):
        parts = urlsplit(handler.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        api.asked.append(handler.path)
        found = api.answer(parts.path, query)
        if callable(found):
            found(handler)
        else:
            handler.reply(200, json.dumps(found).encode(), ETag=f'"{len(json.dumps(found))}"')

    server.replies = [reply]
    return api


@pytest.fixture
def work(etl, tmp_path):
    return tmp_path / "work"


@pytest.fixture
def extract(etl, api):
    def extract(sink="out/prices.jsonl", query="", **source):
        source = {"type": "api", "url": api.url + query, "retries": 0, **source}
        return etl("extract", {"source": source, "sink": {"url": sink}})

    return extract


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


LISTS = {"code": ["A", "B&C"], "day": ["2026-01-01", "2026-01-02"]}
QUERY = "?code={code}&day={day}"


def test_every_combination_of_the_lists(api, extract, work):
    api.answer = lambda _, query: {"data": {"items": [{"price": 1.5, **query}]}}
    done = extract(query=QUERY, lists=LISTS, rows="data.items", add={"asked": "{code}/{day}"})
    assert done.exit_code == 0, done.stderr
    assert lines(work / "out/prices.jsonl") == [
        {"price": 1.5, "code": code, "day": day, "asked": f"{code}/{day}"}
        for code in LISTS["code"]
        for day in LISTS["day"]
    ]
    assert (done.report["requests"], done.report["pages"], done.report["rows_written"]) == (4, 4, 4)


def test_a_folder_has_a_file_for_each_request(api, extract, etl, work):
    api.answer = lambda _, query: [] if query["code"] == "A" else [{"n": 1}, {"n": 2}]
    assert extract("out/", query=QUERY, lists=LISTS).exit_code == 0
    assert sorted(path.name for path in (work / "out").iterdir()) == [
        f"code={code},day={day}.jsonl" for code in ("A", "B%26C") for day in LISTS["day"]
    ]
    config = {
        "input": {"url": "out/*.jsonl"},
        "sql": "SELECT sum(n)::INT AS s FROM input",
        "sink": {"url": "s.jsonl"},
    }
    assert etl("transform", config).exit_code == 0
    assert lines(work / "s.jsonl") == [{"s": 6}]


def test_requests_without_data(api, extract, work):
    api.answer = lambda _, query: {"rows": None} if query["code"] == "A" else {"rows": [{"n": 1}]}
    more = {"query": "?code={code}", "lists": {"code": ["A", "B"]}, "rows": "rows", "add": {"code": "{code}"}}
    extract(**more)
    assert lines(work / "out/prices.jsonl") == [{"n": 1, "code": "B"}]
    extract(**more, no_data="keep")
    assert lines(work / "out/prices.jsonl") == [{"code": "A"}, {"n": 1, "code": "B"}]


def test_numbers_keep_their_digits(api, extract, work):
    body = b'[{"a": 0.12345678901234567890123, "b": 123456789012345678901234567890, "c": 1E2, "d": -7}]'
    api.answer = lambda *_: lambda handler: handler.reply(200, body)
    assert extract().exit_code == 0
    text = (work / "out/prices.jsonl").read_text()
    assert text == '{"a":0.12345678901234567890123,"b":123456789012345678901234567890,"c":100,"d":-7}\n'


PAGES = {
    "next_link": {"type": "next_link", "path": "links.next"},
    "page": {"type": "page", "parameter": "page"},
    "cursor": {"type": "cursor", "path": "next", "parameter": "after"},
}


@pytest.mark.parametrize("kind", PAGES)
def test_pages_are_followed_to_the_end(api, extract, work, kind, monkeypatch):
    monkeypatch.setenv("API_KEY", "sesame")

    def answer(path, query):
        assert query["key"] == "sesame"
        number = int(query.get("page") or query.get("after") or 1)
        last = number == 3
        found = {"rows": [{"n": number}] if number <= 3 else []}
        found["links"] = {"next": None if last else f"/v1/prices?page={number + 1}"}
        return found | ({} if last else {"next": number + 1})

    api.answer = answer
    done = extract(
        rows="rows", pagination=PAGES[kind], query_env={"key": "API_KEY"}, headers={"X-Key": "${API_KEY}"}
    )
    assert done.exit_code == 0, done.stderr
    assert [row["n"] for row in lines(work / "out/prices.jsonl")] == [1, 2, 3]
    assert done.report["pages"] == (4 if kind == "page" else 3)
    assert "sesame" not in json.dumps(done.report) + done.stderr


@pytest.mark.parametrize(
    ("kind", "answer", "message"),
    [
        (
            "next_link",
            {"rows": [{"n": 1}], "links": {"next": "?page=2"}},
            "page 2: the next page is links.next '?page=2' again",
        ),
        (
            "cursor",
            {"rows": [{"n": 1}], "next": "x"},
            "page 2: the next page is next 'x' again: they never end",
        ),
        (
            "page",
            {"rows": [{"n": 1}]},
            "page 2 is page 1 again: they never end; check source.pagination.parameter",
        ),
        (
            "next_link",
            {"rows": [], "links": {"next": "http://other.invalid/x"}},
            "is on another server, other.invalid",
        ),
        ("count", None, "there are more than 5 pages; if that is right, raise source.max_pages"),
    ],
)
def test_pages_that_never_end(api, extract, work, kind, answer, message):
    (work / "out").mkdir()
    (work / "out/prices.jsonl").write_text("old")
    counter = iter(range(1000))
    api.answer = lambda *_: answer or {"rows": [{"n": next(counter)}]}
    done = extract(rows="rows", pagination=PAGES.get(kind, PAGES["page"]), max_pages=5)
    assert (done.exit_code, len(done.stderr.splitlines())) == (1, 1)
    assert message in done.stderr
    assert (work / "out/prices.jsonl").read_text() == "old"


HTML = b"<html><body>Please log in</body></html>"


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (
            lambda h: h.reply(200, HTML),
            "the answer is not JSON (Expecting value: line 1 column 1 (char 0)); it begins with '<html>",
        ),
        (lambda h: h.reply(200, b'{"rows": [1'), "the answer is not JSON"),
        (lambda h: h.reply(200, b'{"rows": [NaN]}'), "NaN is no JSON"),
        (
            lambda h: h.reply(200, b'{"error": "quota"}'),
            "there is no 'rows' of 'rows', but error; check source.rows",
        ),
        (lambda h: h.reply(200, b'{"rows": {"a": 1}}'), "rows are an array of objects, and this is a dict"),
        (lambda h: h.reply(200, b'{"rows": [1]}'), "this is a array of other things"),
        (lambda h: h.reply(401), "HTTP 401 Unauthorized; check the URL and the key"),
        (lambda h: h.reply(302, Location="/elsewhere"), "HTTP 302 Found; write the URL that it leads to"),
        (lambda h: h.reply(503), "HTTP 503 Service Unavailable; check the URL and the network"),
        (lambda h: h.reply(200, HTML, sent=5), "peer closed connection"),
    ],
)
def test_an_answer_that_is_none_names_the_request_and_nothing_is_written(api, extract, work, reply, message):
    api.answer = lambda _, query: {"rows": [{"n": 1}]} if query["code"] == "A" else reply
    done = extract("out/", query="?code={code}", lists={"code": ["A", "B"]}, rows="rows")
    assert (done.exit_code, len(done.stderr.splitlines())) == (1, 1)
    assert f"{api.url}?… (code=B): " in done.stderr
    assert message in done.stderr
    assert not (work / "out").exists()


def test_a_bad_moment_is_tried_again(api, extract, work, no_pauses):
    replies = [
        lambda h: h.reply(503),
        lambda h: h.reply(429, Retry_After="0"),
        lambda h: h.reply(200, b'[{"n": 1}]'),
    ]
    api.answer = lambda *_: replies.pop(0)
    assert extract(retries=2).exit_code == 0
    assert lines(work / "out/prices.jsonl") == [{"n": 1}]


def test_what_has_not_changed_is_not_fetched_again(api, extract, server, work):
    data = {"A": [{"n": 1}], "B": [{"n": 2}]}

    def answer(_, query):
        found = data[query["code"]]
        etag = f'"{found[0]["n"]}"'
        if server.requests[-1].get("if-none-match") == etag:
            return lambda handler: handler.reply(304)
        return lambda handler: handler.reply(200, json.dumps(found).encode(), ETag=etag)

    api.answer = answer
    more = {"query": "?code={code}", "lists": {"code": ["A", "B"]}, "state": "state.json"}
    assert extract("out/", **more).report["not_modified"] == 0
    assert extract("out/", **more).report["not_modified"] == 2
    data["A"] = [{"n": 9}]
    done = extract("out/", **more)
    assert (done.report["not_modified"], done.report["files" if "files" in done.report else "requests"]) == (
        1,
        2,
    )
    assert [lines(work / f"out/code={code}.jsonl")[0]["n"] for code in "AB"] == [9, 2]
    (work / "out/code=B.jsonl").unlink()
    assert extract("out/", **more).report["not_modified"] == 1
    assert lines(work / "out/code=B.jsonl") == [{"n": 2}]
    state = (work / "state.json").read_text()
    data["B"], api.answer = (
        [{"n": 5}],
        lambda _, query: answer(_, query) if query["code"] == "B" else {"no": 1},
    )
    assert extract("out/", **more).exit_code == 1
    assert (work / "state.json").read_text() == state
    assert lines(work / "out/code=B.jsonl") == [{"n": 2}]
    (work / "state.json").write_text("[]")
    assert "state.json: it is not a state of ours; delete it" in extract("out/", **more).stderr


def test_requests_are_paced():
    now, slept = [0.0], []

    def sleep(seconds):
        slept.append(round(seconds, 3))
        now[0] += seconds

    pacer = Pacer(4, clock=lambda: now[0], sleep=sleep)
    for _ in range(3):
        pacer.wait()
    now[0] += 10
    pacer.wait()
    pacer.wait()
    assert slept == [0.25, 0.25, 0.25]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"query": "?code={code}"}, "lists: 'code' is missing, which the template names"),
        ({"lists": {"code": ["A"]}}, "url: {code} is missing, so all its requests would be the same"),
        (
            {"lists": {"code": []}, "query": "?c={code}"},
            "source.lists.code: tuple should have at least 1 item",
        ),
        ({"no_data": "keep"}, "no_data keep needs add"),
        ({"rows": "a..b"}, "source.rows"),
        (
            {"query_env": {"key": "NOT_SET"}},
            "source.query_env.key: NOT_SET is not set; list it in the task's secrets",
        ),
        (
            {"lists": {"c": ["A"]}, "query": "?c={c}", "state": "s.json"},
            "state needs a file for each request",
        ),
        ({"query": "?c={"}, "source"),
    ],
)
def test_a_configuration_that_is_refused(extract, api, change, message):
    done = extract(**change)
    assert done.exit_code == 2, done.stderr
    assert message in done.stderr
    assert api.asked == []

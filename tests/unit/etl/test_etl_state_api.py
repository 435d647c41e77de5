"""The watermark of a web API: its URL asks for what is new, and load records how far that was."""

import json
from urllib.parse import parse_qs, urlsplit

import duckdb
import pytest

STATE = "state/api.json"


@pytest.fixture
def api(etl, tmp_path, server):
    """`api(run)`: extract and load of one run; `api.rows` is what the server has, `api.asked` what it was asked."""

    class Api:
        rows, asked, inclusive, work = [], [], False, tmp_path / "work"

        def __call__(self, run, *, first="2026-01-01", sink=None, stages=("extract", "load"), **watermark):
            source = {"type": "api", "url": f"{server.url}/orders?since={{after}}", "rows": "data"}
            column = {"type": "column", "column": "at", "first": first, "state": STATE} | watermark
            folder = f"raw/{run}/"
            configs = {
                "extract": {"source": source, "sink": {"url": sink or folder}, "watermark": column},
                "load": {
                    "source": {"url": f"{folder}*.jsonl", "options": {"types": {"at": "string"}}},
                    "sink": {"type": "duckdb", "url": "x.duckdb", "table": "t", "mode": "append"},
                    "watermark": {"type": "run", "state": STATE},
                },
            }
            return [etl(stage, configs[stage], run=run) for stage in stages]

        def loaded(self):
            with duckdb.connect(self.work / "x.duckdb") as connection:
                return [row[0] for row in connection.execute("SELECT id FROM t ORDER BY id").fetchall()]

        def value(self):
            return json.loads((self.work / STATE).read_text())["value"]

    found = Api()

    def answer(handler):
        since = parse_qs(urlsplit(handler.path).query)["since"][0]
        found.asked.append(since)
        handler.reply(
            200,
            json.dumps({"data": [row for row in found.rows if str(row.get("at", since)) >= since]}).encode(),
        )

    server.replies = [answer]
    return found


def row(number, at=None):
    return {"id": number, "at": at or f"2026-01-{number:02}T00:00:00+00:00"}


def test_each_run_asks_for_what_is_new(api):
    api.rows = [row(2), row(1)]
    assert [done.exit_code for done in api("r1")] == [0, 0]
    api.rows += [row(3)]
    assert [done.exit_code for done in api("r2")] == [0, 0]
    assert api.asked == ["2026-01-01", "2026-01-02T00:00:00+00:00"]
    # The server answers with the row that is equal, too; it is not loaded twice.
    assert (api.loaded(), api.value()) == ([1, 2, 3], "2026-01-03T00:00:00+00:00")
    extract, load = api("r3")
    assert (extract.report["nothing_new"], load.report["nothing_new"]) == (True, True)
    assert not (api.work / "raw/r3").exists()


def test_a_second_attempt_keeps_to_its_batch(api):
    api.rows = [row(2)]
    api("r1", stages=["extract"])
    api.rows += [row(3)]
    assert [done.exit_code for done in api("r1")] == [0, 0]
    assert (api.loaded(), api.value()) == ([2], "2026-01-02T00:00:00+00:00")
    api("r2")
    assert api.loaded() == [2, 3]


def test_numbers_compare_as_numbers(api):
    api.rows = [{"id": 1, "at": 9}, {"id": 2, "at": 10}]
    (done,) = api("r1", first="0", stages=["extract"])
    assert (done.exit_code, done.report["watermark"]["until"]) == (0, "10")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"id": 1}], "a row has no value in 'at', and would never be read"),
        ([{"id": 1, "at": None}], "a row has no value in 'at'"),
        ([{"id": 1, "at": 9999}], "'at' is a number, and the watermark is '2026-01-01'"),
    ],
)
def test_a_row_that_cannot_be_compared(api, rows, message):
    api.rows = rows
    (done,) = api("r1", stages=["extract"])
    assert (done.exit_code, message in done.stderr) == (1, True), done.stderr
    assert not (api.work / "raw").exists()


@pytest.mark.parametrize(
    ("source", "watermark", "message"),
    [
        ({}, {}, "an api needs first"),
        ({"url": "http://h/x"}, {"first": "1"}, "need each other"),
        ({"state": "s.json"}, {"first": "1"}, "state and no_data keep mean nothing beside it"),
        ({}, None, "need each other"),
        ({}, {"first": "1", "input": "x"}, "has no input"),
    ],
)
def test_a_configuration_that_cannot_be(etl, source, watermark, message):
    config = {"source": {"type": "api", "url": "http://h/x?since={after}"} | source, "sink": {"url": "raw/"}}
    if watermark is not None:
        config["watermark"] = {"type": "column", "column": "at", "state": STATE} | watermark
    done = etl("extract", config)
    assert (done.exit_code, message in done.stderr) == (2, True), done.stderr


def test_first_is_for_other_sources_too(etl, tmp_path):
    (tmp_path / "work/in.csv").write_text("n\n1\n2\n3\n")
    sink = {"type": "parquet", "url": "out/", "mode": "append"}
    watermark = {"type": "column", "column": "n", "first": "1", "state": STATE}
    assert (
        etl("load", {"source": {"url": "in.csv"}, "sink": sink, "watermark": watermark}).report[
            "rows_written"
        ]
        == 2
    )

"""`etl extract`: complete or not at all, whatever the network does."""

import gzip
from datetime import UTC, datetime
from pathlib import Path

import pytest
from batchctl_etl.storage.http_retry import Interrupted, pause_after, retry_after_seconds

BODY = b"".join(b"%06d\n" % number for number in range(30000))
ETAG = '"v1"'


def _http(server, path="data.csv", **source):
    return {"source": {"type": "http", "url": f"{server.url}/{path}", **source}, "sink": {"url": "raw/x.csv"}}


def test_a_file_is_copied_under_its_own_name_into_a_folder(etl, tmp_path):
    (tmp_path / "in é.csv").write_bytes(BODY)
    config = {
        "source": {"type": "file", "url": (tmp_path / "in é.csv").as_uri()},
        "sink": {"url": "raw/2026/"},
    }
    done = etl("extract", config)
    assert done.exit_code == 0
    assert (tmp_path / "work/raw/2026/in é.csv").read_bytes() == BODY
    assert done.report["bytes_read"] == done.report["bytes_written"] == len(BODY)


def test_a_missing_file_is_one_clear_line_and_leaves_nothing(etl, tmp_path):
    done = etl("extract", {"source": {"type": "file", "url": "nowhere.csv"}, "sink": {"url": "raw/x.csv"}})
    assert done.exit_code == 1
    assert done.stderr == (
        "etl: extract: nowhere.csv: cannot be read: No such file or directory; check the path\n"
    )
    assert list((tmp_path / "work").iterdir()) == []
    assert done.report == {}


def test_a_folder_is_not_a_file(etl):
    done = etl("extract", {"source": {"type": "file", "url": "."}, "sink": {"url": "raw/x.csv"}})
    assert done.exit_code == 1
    assert "Is a directory; name a file, not a folder" in done.stderr


def test_a_failure_leaves_the_old_file(etl, tmp_path, server):
    (tmp_path / "work/raw").mkdir()
    (tmp_path / "work/raw/x.csv").write_text("old")
    server.replies = [lambda h: h.reply(404)]
    done = etl("extract", _http(server))
    assert done.exit_code == 1
    assert f"{server.url}/data.csv: HTTP 404 Not Found; check the URL" in done.stderr
    assert (tmp_path / "work/raw/x.csv").read_text() == "old"
    assert len(server.requests) == 1


def test_a_sink_that_may_not_be_written_names_it(etl, tmp_path):
    (tmp_path / "work/in.csv").write_bytes(BODY)
    (tmp_path / "work/raw").write_text("a file")
    done = etl("extract", {"source": {"type": "file", "url": "in.csv"}, "sink": {"url": "raw/x.csv"}})
    assert done.exit_code == 1
    assert "etl: extract: raw: cannot be made" in done.stderr


def test_a_full_disk_is_a_failure_of_the_sink(etl, tmp_path, monkeypatch):
    (tmp_path / "work/in.csv").write_bytes(BODY)
    real = Path.open

    def full(path, mode="r", *args, **kwargs):
        if mode != "xb":
            return real(path, mode, *args, **kwargs)
        real(path, mode).close()
        return real(Path("/dev/full"), "wb")

    monkeypatch.setattr(Path, "open", full)
    done = etl("extract", {"source": {"type": "file", "url": "in.csv"}, "sink": {"url": "raw/x.csv"}})
    assert done.exit_code == 1
    assert "raw/x.csv: cannot be written: No space left on device; free some space" in done.stderr


def test_a_download_is_complete(etl, tmp_path, server):
    server.replies = [lambda h: h.reply(200, BODY)]
    done = etl("extract", _http(server) | {"sink": {"url": "raw/"}})
    assert done.exit_code == 0
    assert (tmp_path / "work/raw/data.csv").read_bytes() == BODY
    assert done.report["bytes_read"] == len(BODY)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_temporary_failure_is_tried_again(etl, tmp_path, server, no_pauses, status):
    server.replies = [lambda h: h.reply(status)] * 2 + [lambda h: h.reply(200, BODY)]
    done = etl("extract", _http(server))
    assert done.exit_code == 0
    assert (tmp_path / "work/raw/x.csv").read_bytes() == BODY
    assert done.stderr.count(f"HTTP {status}") == 2
    assert "trying again in" in done.stderr


def test_the_pause_that_retry_after_asks_for_is_kept(etl, server):
    server.replies = [lambda h: h.reply(503, Retry_After="1"), lambda h: h.reply(200, BODY)]
    done = etl("extract", _http(server))
    assert done.exit_code == 0
    assert "HTTP 503 Service Unavailable; trying again in 1.0 s" in done.stderr


def test_retries_are_used_up(etl, server, no_pauses):
    server.replies = [lambda h: h.reply(500)]
    done = etl("extract", _http(server, retries=3))
    assert done.exit_code == 1
    assert "HTTP 500 Internal Server Error (tried 4 times)" in done.stderr.splitlines()[-1]
    assert len(server.requests) == 4


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_a_refusal_is_not_tried_again(etl, server, no_pauses, status):
    server.replies = [lambda h: h.reply(status)]
    assert etl("extract", _http(server)).exit_code == 1
    assert len(server.requests) == 1


def _resumable(handler):
    start = int(handler.headers["Range"].removeprefix("bytes=").rstrip("-"))
    rest = BODY[start:]
    handler.reply(206, rest, ETag=ETAG, Content_Range=f"bytes {start}-{len(BODY) - 1}/{len(BODY)}")


def test_a_dropped_connection_is_resumed_where_it_broke(etl, tmp_path, server, no_pauses):
    server.replies = [lambda h: h.reply(200, BODY, sent=100_000, ETag=ETAG), _resumable]
    done = etl("extract", _http(server))
    assert done.exit_code == 0
    assert (tmp_path / "work/raw/x.csv").read_bytes() == BODY
    assert server.requests[1]["range"] == "bytes=100000-"
    assert server.requests[1]["if-range"] == ETAG
    assert done.report["bytes_read"] == len(BODY)


def test_a_file_that_changed_meanwhile_is_fetched_anew(etl, tmp_path, server, no_pauses):
    new = BODY.replace(b"0", b"1")
    server.replies = [
        lambda h: h.reply(200, BODY, sent=100_000, ETag=ETAG),
        lambda h: h.reply(200, new, ETag='"v2"'),
    ]
    assert etl("extract", _http(server)).exit_code == 0
    assert (tmp_path / "work/raw/x.csv").read_bytes() == new


def test_a_server_that_resumes_another_version_is_not_believed(etl, tmp_path, server, no_pauses):
    def wrong(handler):
        handler.reply(206, b"x" * 10, ETag='"v2"', Content_Range=f"bytes 100000-100009/{len(BODY)}")

    server.replies = [
        lambda h: h.reply(200, BODY, sent=100_000, ETag=ETAG),
        wrong,
        lambda h: h.reply(200, BODY, ETag='"v2"'),
    ]
    assert etl("extract", _http(server)).exit_code == 0
    assert (tmp_path / "work/raw/x.csv").read_bytes() == BODY
    assert "range" not in server.requests[2]


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_without_a_strong_etag_it_starts_again(etl, tmp_path, server, no_pauses, etag):
    headers = {"ETag": etag} if etag else {}
    server.replies = [
        lambda h: h.reply(200, BODY, sent=100_000, **headers),
        lambda h: h.reply(200, BODY, **headers),
    ]
    done = etl("extract", _http(server))
    assert done.exit_code == 0
    assert (tmp_path / "work/raw/x.csv").read_bytes() == BODY
    assert "range" not in server.requests[1]
    assert done.report["bytes_read"] == len(BODY) + 100_000
    assert done.report["bytes_written"] == len(BODY)


def test_fewer_bytes_than_announced_are_an_error(etl, tmp_path, server, no_pauses):
    server.replies = [lambda h: h.reply(200, BODY, sent=10)]
    done = etl("extract", _http(server, retries=2))
    assert done.exit_code == 1
    assert "(tried 3 times)" in done.stderr.splitlines()[-1]
    assert list((tmp_path / "work").iterdir()) == []


def test_nobody_listening_is_one_clear_line(etl, no_pauses):
    config = {
        "source": {"type": "http", "url": "http://127.0.0.1:1/x.csv", "retries": 1},
        "sink": {"url": "raw/"},
    }
    done = etl("extract", config)
    assert done.exit_code == 1
    assert "http://127.0.0.1:1/x.csv: [Errno 111] Connection refused (tried 2 times)" in done.stderr


def test_the_bytes_are_stored_as_they_are(etl, tmp_path, server):
    packed = gzip.compress(BODY)
    server.replies = [lambda h: h.reply(200, packed, Content_Type="application/gzip")]
    assert etl("extract", _http(server)).exit_code == 0
    assert (tmp_path / "work/raw/x.csv").read_bytes() == packed
    assert server.requests[0]["accept-encoding"] == "identity"


def test_an_encoding_nobody_asked_for_is_undone(etl, tmp_path, server):
    server.replies = [lambda h: h.reply(200, gzip.compress(BODY), Content_Encoding="gzip")]
    assert etl("extract", _http(server)).exit_code == 0
    assert (tmp_path / "work/raw/x.csv").read_bytes() == BODY


def test_a_header_takes_a_secret_from_the_environment_and_shows_it_nowhere(etl, server, monkeypatch):
    monkeypatch.setenv("API_TOKEN", "hunter2")
    server.replies = [lambda h: h.reply(404)]
    config = _http(server, path="data.csv?sig=hunter3", headers={"Authorization": "Bearer ${API_TOKEN}"})
    done = etl("extract", config)
    assert server.requests[0]["authorization"] == "Bearer hunter2"
    assert "hunter" not in done.stderr
    assert f"{server.url}/data.csv?…: HTTP 404" in done.stderr


def test_a_header_whose_variable_is_not_set_is_a_wrong_configuration(etl, server):
    done = etl("extract", _http(server, headers={"Authorization": "Bearer ${API_TOKEN}"}))
    assert done.exit_code == 2
    assert "source.headers: ${API_TOKEN} is not set" in done.stderr
    assert server.requests == []


NOW = datetime(2026, 1, 31, 6, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("Sat, 31 Jan 2026 06:00:30 GMT", 30.0),
        ("Sat, 31 Jan 2026 05:00:00 GMT", 0.0),
        ("86400", 300.0),
        ("soon", None),
        ("", None),
    ],
)
def test_retry_after_is_honoured_within_reason(value, seconds):
    assert retry_after_seconds({"retry-after": value}, now=NOW) == seconds


def test_the_pause_is_what_the_server_asked_for():
    assert pause_after(Interrupted("HTTP 429", retry_after=7.0)) == 7.0
    assert pause_after(Interrupted("HTTP 500")) is True
    assert pause_after(ValueError()) is False

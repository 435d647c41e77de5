"""Large files over several connections: in parts, in order, of one version, or else over one."""

import random
import threading
from pathlib import Path

import pytest
from batchctl_etl.storage import http_parts

BODY = random.Random(1).randbytes(1_000_003)
OTHER = random.Random(2).randbytes(1_000_003)
PART = 65_536


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(http_parts, "PART_BYTES", PART)


class Files:
    """A server of one file that knows ranges; `change` is called before each answer with the number of the request."""

    def __init__(self, change=lambda files, number: None, ranges="bytes"):
        self.body, self.etag, self.ranges = BODY, '"1"', ranges
        self.change = change
        self.status = 200
        self.asked = []
        self.meeting = None
        self.lock = threading.Lock()

    def __call__(self, handler):
        with self.lock:
            wanted = handler.headers.get("Range")
            self.asked.append(wanted)
            self.change(self, len(self.asked))
            status, body, etag, number = self.status, self.body, self.etag, len(self.asked)
        if self.meeting is not None and 2 <= number <= 5:
            self.meeting.wait(timeout=120)
        try:
            headers = {"ETag": etag, "Accept_Ranges": self.ranges}
            if status != 200:
                handler.reply(status, Retry_After="0")
            elif wanted and self.ranges == "bytes" and handler.headers["If-Range"] == etag:
                first, _, last = wanted.removeprefix("bytes=").partition("-")
                end = int(last) + 1 if last else len(body)
                headers["Content_Range"] = f"bytes {first}-{end - 1}/{len(body)}"
                handler.reply(206, body[int(first) : end], **headers)
            else:
                handler.reply(200, body, **headers)
        except OSError:
            pass  # Who has begun to read a part leaves the whole.


def fetched(etl, server, files, **more):
    server.replies = [files]
    source = {"type": "http", "url": f"{server.url}/x.bin", **more}
    done = etl("extract", {"source": source, "sink": {"url": "x.bin"}})
    assert done.exit_code == 0, done.stderr
    return Path("x.bin").read_bytes()


def test_parts_arrive_in_order(etl, server):
    files = Files()
    files.meeting = threading.Barrier(4)  # All four are asked for at once, or nobody goes on.
    assert fetched(etl, server, files, connections=4) == BODY
    ranges = [wanted for wanted in files.asked if wanted]
    assert len(ranges) == len(set(ranges)) >= (len(BODY) - PART) // PART


@pytest.mark.parametrize(
    ("files", "more"),
    [(Files(), {"connections": 1}), (Files(ranges="none"), {})],
    ids=["as asked", "a server without ranges"],
)
def test_over_one_connection(etl, server, files, more):
    assert fetched(etl, server, files, **more) == BODY
    assert files.asked == [None]


def test_a_part_that_fails_is_fetched_again_and_none_that_arrived(etl, server, no_pauses):
    def change(files, number):
        files.status = 503 if number in {5, 6} else 200

    files = Files(change)
    assert fetched(etl, server, files, connections=2) == BODY
    assert files.asked.count(None) == 1
    assert len(files.asked) < 2 * len(BODY) // PART


def test_a_file_that_changes_meanwhile_is_fetched_anew_as_it_is(etl, server, no_pauses):
    def change(files, number):
        if number == 6:
            files.body, files.etag = OTHER, '"2"'

    assert fetched(etl, server, Files(change)) == OTHER


def test_a_server_that_promises_ranges_and_sends_all(etl, server, no_pauses):
    def change(files, number):
        files.etag = f'"{number}"'

    files = Files(change)
    assert fetched(etl, server, files) == BODY
    assert files.asked.count(None) == 2


def test_a_part_that_is_longer_than_it_was_announced_is_fetched_again(etl, server, no_pauses):
    class Longer(Files):
        def __call__(self, handler):
            if len(self.asked) != 3:
                super().__call__(handler)
                return
            self.asked.append(None)
            first, last = map(int, handler.headers["Range"].removeprefix("bytes=").split("-"))
            piece = b"x" * (last - first + 2)
            handler.send_response(206)
            handler.send_header("ETag", self.etag)
            handler.send_header("Content-Range", f"bytes {first}-{last}/{len(BODY)}")
            handler.send_header("Transfer-Encoding", "chunked")
            handler.end_headers()
            handler.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(piece), piece))

    assert fetched(etl, server, Longer(), connections=2) == BODY


def test_an_error_page_is_told_before_any_part(etl, server):
    files = Files()
    files.body = b"<!DOCTYPE html><html>" + BODY
    server.replies = [files]
    source = {"type": "http", "url": f"{server.url}/x.csv"}
    done = etl("extract", {"source": source, "sink": {"url": "x.csv"}})
    assert "it is a page of HTML, not csv" in done.stderr
    assert not Path("x.csv").exists()

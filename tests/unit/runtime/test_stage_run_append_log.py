"""The append log of an `az://` lake, without Azure: what it sends, and what it does when the service
refuses."""

from types import SimpleNamespace

import pytest
from azure.core.exceptions import HttpResponseError
from batchctl_runtime import append_log
from batchctl_runtime.append_log import AppendLog
from batchctl_runtime.azure_lake import place_of
from batchctl_runtime.errors import LakeError, StageError


class FakeBlob:
    """An append blob in memory. `lost` answers arrive as 412, as after a retry whose first try had
    succeeded."""

    url = "https://acct.blob.core.windows.net/lake/stdout.txt"

    def __init__(self, *, lost: bool = False, refuses: int = 0) -> None:
        self.content = b""
        self.blocks = 0
        self.lost, self.refuses = lost, refuses

    def append_block(self, data, *, appendpos_condition):
        if self.refuses:
            raise _http_error(self.refuses)
        assert appendpos_condition == len(self.content)
        self.content += data
        self.blocks += 1
        if self.lost:
            raise _http_error(412)

    def get_blob_properties(self):
        return SimpleNamespace(size=len(self.content))


def _http_error(status):
    error = HttpResponseError(message="refused\nRequestId: 1")
    error.status_code = status
    return error


def test_what_is_added_is_sent_in_order_in_blocks_the_service_accepts(monkeypatch):
    monkeypatch.setattr(append_log, "BLOCK_BYTES", 4)
    blob = FakeBlob()
    log = AppendLog(blob)
    for word in (b"abc", b"def", b"gh"):
        log.add(word)
    log.flush()
    assert (blob.content, blob.blocks) == (b"abcdefgh", 2)


def test_a_block_whose_answer_was_lost_is_not_sent_twice():
    blob = FakeBlob(lost=True)
    log = AppendLog(blob)
    for word in (b"one ", b"two"):
        log.add(word)
        log.flush()
    assert blob.content == b"one two"


@pytest.mark.parametrize("status", [403, 412, 503])
def test_a_refusal_ends_the_log_and_is_told_to_the_next_writer(status):
    log = AppendLog(FakeBlob(refuses=status))
    log.add(b"x")
    log.flush()
    with pytest.raises(LakeError, match=r"stdout\.txt: cannot write to the lake: refused$"):
        log.add(b"y")


def test_a_long_log_is_sent_less_often_so_that_its_blocks_last(monkeypatch):
    monkeypatch.setattr(append_log, "BLOCKS_BEFORE_SLOWING", 2)
    log = AppendLog(FakeBlob())
    paces = []
    for _ in range(3):
        paces.append(log.flush_seconds)
        log.add(b"x")
        log.flush()
    assert paces == [1.0, 1.0, 60.0]


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("az://acct/lake/runs/r1/", ("acct", "lake", "runs/r1")),
        ("az://acct/lake", ("acct", "lake", "")),
    ],
)
def test_the_place_a_url_names(url, place):
    assert place_of(url) == place


@pytest.mark.parametrize("url", ["az://", "az://acct", "az://acct/", "az:///lake/"])
def test_a_url_without_account_or_container_is_refused(url):
    with pytest.raises(StageError, match="write az://account/container/folder/"):
        place_of(url)

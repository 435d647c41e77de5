"""Documents in the lake that several programs change: nobody's change is lost."""

import subprocess
import sys

import pytest
from batchctl_etl.errors import Changed, WorkFailed
from batchctl_etl.storage.documents import read_document, replace_document


def test_a_document_that_another_has_changed_is_not_written(tmp_path):
    url = str(tmp_path / "a/x.json")
    first = read_document(url)
    replace_document(first, {"n": 1})
    with pytest.raises(Changed):
        replace_document(first, {"n": 2})
    second = read_document(url)
    replace_document(second, {"n": 3})
    with pytest.raises(Changed):
        replace_document(second, {"n": 4})
    assert (read_document(url).content, [path.name for path in (tmp_path / "a").iterdir()]) == (
        {"n": 3},
        ["x.json"],
    )


def test_a_document_where_a_folder_is(tmp_path):
    (tmp_path / "x.json").mkdir()
    with pytest.raises(WorkFailed, match="cannot be read: Is a directory; name a file"):
        read_document(str(tmp_path / "x.json"))


COUNTING = """
import sys
from batchctl_etl.state.changing import change_document
for _ in range(25):
    change_document(sys.argv[1], lambda found: ({"n": (found.content or {"n": 0})["n"] + 1}, None))
"""


def test_four_programs_that_count_at_once_lose_nothing(tmp_path):
    url = str(tmp_path / "n.json")
    programs = [subprocess.Popen([sys.executable, "-c", COUNTING, url]) for _ in range(4)]
    assert [program.wait(timeout=120) for program in programs] == [0] * 4
    assert read_document(url).content == {"n": 100}

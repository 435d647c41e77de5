"""`etl load` into a folder of Parquet files: replaced whole or added to, and the same after a second attempt."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from batchctl_etl.errors import WorkFailed
from batchctl_etl.storage.asides import folder_aside, written_aside


def _load(mode, partition=None, url="lake/", source="in.csv"):
    sink = {"type": "parquet", "url": url, "mode": mode}
    return {"source": {"url": source}, "sink": sink | ({"partition": partition} if partition else {})}


@pytest.fixture
def work(tmp_path, etl):
    (tmp_path / "work/in.csv").write_text("a,b\n1,x\n2,y\n")
    return tmp_path / "work"


def _rows(folder):
    return sorted(row["a"] for path in folder.glob("*.parquet") for row in pq.read_table(path).to_pylist())


def test_replace_leaves_these_rows_only(etl, work):
    done = etl("load", _load("replace", "day=2026-01-31"))
    (part,) = (work / "lake/day=2026-01-31").iterdir()
    assert done.report["rows_read"] == done.report["rows_written"] == 2
    assert done.report["bytes_read"] == (work / "in.csv").stat().st_size
    assert done.report["bytes_written"] == part.stat().st_size
    (work / "in.csv").write_text("a,b\n3,z\n")
    etl("load", _load("replace", "day=2026-01-31"))
    assert _rows(work / "lake/day=2026-01-31") == [3]


def test_replace_leaves_other_partitions_alone(etl, work):
    etl("load", _load("replace", "day=1"))
    (work / "in.csv").write_text("a\n3\n")
    etl("load", _load("replace", "day=2"))
    assert _rows(work / "lake/day=1") == [1, 2]
    assert _rows(work / "lake/day=2") == [3]


def test_append_adds_once_per_run(etl, work):
    for _ in range(2):
        etl("load", _load("append"), run="r1")
    assert _rows(work / "lake") == [1, 2]
    etl("load", _load("append"), run="r2")
    assert _rows(work / "lake") == [1, 1, 2, 2]


def test_a_second_attempt_of_an_append_replaces_its_own_rows(etl, work):
    etl("load", _load("append"), run="r1")
    (work / "in.csv").write_text("a\n9\n")
    etl("load", _load("append"), run="r1")
    assert _rows(work / "lake") == [9]


def test_runs_whose_names_look_alike_have_files_of_their_own(etl, work):
    for run in ("r/1", "r-1", "r 1"):
        etl("load", _load("append"), run=run)
    assert len(list((work / "lake").iterdir())) == 3


def test_replacing_a_folder_never_deletes_what_is_not_its_own(etl, work):
    done = etl("load", _load("replace", url="./"))
    assert done.exit_code == 1
    assert "replacing it would delete 'in.csv', which is not a Parquet file of this folder" in done.stderr
    etl("load", _load("replace", "day=1"))
    done = etl("load", _load("replace"))
    assert "replacing it would delete 'day=1'" in done.stderr
    assert _rows(work / "lake/day=1") == [1, 2]


def test_the_partitions_column_may_not_be_in_the_rows_too(etl, work):
    done = etl("load", _load("replace", "a=1"))
    assert done.exit_code == 1
    assert "the source has a column 'a', which the partition 'a=1' is too; drop the column" in done.stderr
    assert not (work / "lake").exists()


def test_a_partitions_value_is_escaped(etl, work):
    etl("load", _load("replace", "at=06:00 é%"))
    assert [path.name for path in (work / "lake").iterdir()] == ["at=06%3A00 %C3%A9%25"]


def test_bad_input_leaves_the_folder_as_it_was(etl, work):
    etl("load", _load("replace"))
    (work / "in.csv").write_text("a\n" + "1\n" * 3_000_000 + "x\n")
    for mode in ("replace", "append"):
        assert etl("load", _load(mode)).exit_code == 1
        assert _rows(work / "lake") == [1, 2]


def test_a_sink_that_is_a_file(etl, work):
    done = etl("load", _load("replace", url="in.csv"))
    assert (done.exit_code, done.stderr) == (1, "etl: load: in.csv: is a file; name a folder\n")


def test_no_rows_are_a_load(etl, work):
    (work / "in.csv").write_text("a,b\n")
    done = etl("load", _load("replace"))
    assert (done.exit_code, done.report["rows_written"]) == (0, 0)


def test_what_a_killed_attempt_left_is_removed_by_the_next_of_the_same_task(tmp_path):
    (tmp_path / ".x.csv.aaaaaaaaaaaa.12345678.aside").write_text("left")
    (tmp_path / ".x.csv.bbbbbbbbbbbb.12345678.aside").write_text("someone else's")
    with written_aside(tmp_path / "x.csv", owner="aaaaaaaaaaaa") as stream:
        stream.write(b"new")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".x.csv.bbbbbbbbbbbb.12345678.aside", "x.csv"]


def test_a_process_killed_between_the_two_renames_is_made_good(tmp_path):
    (tmp_path / ".lake.old.aside").mkdir()
    (tmp_path / ".lake.old.aside/old").touch()
    with folder_aside(tmp_path / "lake", owner="a") as aside:
        (aside / "new").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["lake", "new"]


def test_a_replaced_folder_is_exchanged_in_one_step(tmp_path, monkeypatch):
    (tmp_path / "lake").mkdir()
    (tmp_path / "lake/old").touch()
    monkeypatch.setattr(Path, "rename", None)
    with folder_aside(tmp_path / "lake", owner="a") as aside:
        (aside / "new").touch()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["lake", "new"]


def test_a_swap_that_fails_puts_the_old_folder_back(tmp_path, monkeypatch):
    (tmp_path / "lake").mkdir()
    (tmp_path / "lake/old").touch()
    real = Path.rename

    def rename(path, target):
        if path.name.endswith("aside") and "old" not in path.name:
            raise OSError(5, "Input/output error")
        return real(path, target)

    monkeypatch.setattr(Path, "rename", rename)
    monkeypatch.setattr("batchctl_etl.storage.asides._exchanged", lambda one, other: False)
    with (
        pytest.raises(WorkFailed, match="lake: cannot be written: Input/output error"),
        folder_aside(tmp_path / "lake", owner="a"),
    ):
        pass
    assert [path.name for path in tmp_path.rglob("*")] == ["lake", "old"]

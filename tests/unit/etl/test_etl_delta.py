"""Delta tables as a sink and as a source, and their upkeep."""

import json
import threading
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from batchctl_etl.delta import merge as delta_merge
from batchctl_etl.delta.sink import load_delta
from batchctl_etl.main import main
from deltalake import DeltaTable, write_deltalake

SINK = {"type": "delta", "url": "t/", "mode": "append"}


def put(rows, name="in.parquet"):
    table = rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(rows)
    pq.write_table(table, name)
    return {"url": name}


def rows(url="t", version=None):
    table = DeltaTable(url, version=version)
    found = pa.table(pa.RecordBatchReader.from_stream(table.scan())).to_pylist()
    return sorted(found, key=lambda row: str(sorted(row.items(), key=lambda pair: pair[0])))


def load(etl, source, run="r1", **sink):
    return etl("load", {"source": put(source), "sink": SINK | sink}, run=run)


A, B, C = ({"i": 1, "v": "a"}, {"i": 2, "v": "b"}, {"i": 3, "v": "c"})


class TestAppend:
    def test_a_table_is_made_and_rows_are_added(self, etl):
        first = load(etl, [A, B])
        assert (first.exit_code, first.report["rows_written"], first.report["version"]) == (0, 2, 0)
        second = load(etl, [C], run="r2")
        assert second.report["version"] == 1
        assert rows() == [A, B, C]

    def test_the_same_load_is_not_appended_twice(self, etl):
        load(etl, [A, B])
        load(etl, [C], run="r2")
        again = load(etl, [A, B])
        assert again.exit_code == 0
        assert (again.report["already_loaded"], again.report["rows_written"]) == (True, 2)
        assert rows() == [A, B, C]

    def test_two_attempts_at_once_append_once(self, etl, monkeypatch):
        from batchctl_etl.delta import sink as module

        load(etl, [A])
        found = module.table_at
        opened = threading.Event()

        def meanwhile(where):
            table = found(where)
            if not opened.is_set():
                opened.set()
                assert load(etl, [B], run="r2").exit_code == 0
            return table

        monkeypatch.setattr(module, "table_at", meanwhile)
        loser = load(etl, [B], run="r2")
        assert loser.exit_code == 1
        assert "another program has changed the table" in loser.stderr
        assert rows() == [A, B]
        assert load(etl, [B], run="r2").report["already_loaded"]

    def test_columns_come_in_any_order_and_case(self, etl):
        load(etl, [A])
        assert load(etl, [{"V": "x", "I": 9}], run="r2").exit_code == 0
        assert rows() == [A, {"i": 9, "v": "x"}]

    def test_no_rows_make_an_empty_table(self, etl):
        assert load(etl, pa.table({"i": pa.array([], pa.int64())})).exit_code == 0
        assert rows() == []

    def test_partition_columns(self, etl):
        day = {"day": date(2026, 1, 31)}
        assert load(etl, [A | day], partition_by=["day"]).exit_code == 0
        assert [path.name for path in Path("t").glob("day=*")] == ["day=2026-01-31"]
        wrong = load(etl, [B | day], run="r2", partition_by=["i"])
        assert "the table is partitioned by day; correct partition_by" in wrong.stderr
        missing = load(etl, [A], url="u", partition_by=["nix"])
        assert "partition_by names the column 'nix', which is not there" in missing.stderr


class TestOverwrite:
    def test_it_holds_these_rows_only(self, etl):
        load(etl, [A, B])
        for _ in range(2):
            assert load(etl, [C], run="r2", mode="overwrite").exit_code == 0
            assert rows() == [C]

    def test_part_of_the_table(self, etl):
        load(etl, [A, B, C])
        new = load(etl, [{"i": 2, "v": "new"}], run="r2", mode="overwrite", overwrite_where="i = 2")
        assert new.exit_code == 0
        assert rows() == [A, C, {"i": 2, "v": "new"}] or sorted(r["v"] for r in rows()) == ["a", "c", "new"]

    def test_rows_outside_of_the_part_are_refused(self, etl):
        load(etl, [A, B])
        bad = load(etl, [C], run="r2", mode="overwrite", overwrite_where="i = 2")
        assert bad.exit_code == 1
        assert "overwrite_where" in bad.stderr
        assert rows() == [A, B]

    def test_a_condition_that_is_none(self, etl):
        load(etl, [A, B])
        bad = load(etl, [C], run="r2", mode="overwrite", overwrite_where="nix = 2")
        assert bad.exit_code == 1
        assert "nix" in bad.stderr
        assert rows() == [A, B]


class TestMerge:
    def merge(self, etl, source, **sink):
        return load(etl, source, mode="merge", key=["i"], **sink)

    def test_rows_with_the_key_give_way_and_others_are_added(self, etl):
        self.merge(etl, [A, B])
        new = [{"i": 2, "v": "new"}, C]
        for _ in range(2):
            done = self.merge(etl, new)
            assert (done.exit_code, done.report["rows_written"]) == (0, 2)
            assert sorted(row["v"] for row in rows()) == ["a", "c", "new"]

    def test_only_files_in_the_range_of_the_keys_are_written_again(self, etl):
        load(etl, [A])
        load(etl, [C], run="r2")
        before = set(DeltaTable("t").file_uris())
        self.merge(etl, [{"i": 3, "v": "new"}])
        assert len(before & set(DeltaTable("t").file_uris())) == 1

    def test_keys_of_two_columns_and_odd_values(self, etl):
        key = {"mode": "merge", "key": ["s", "d"]}
        old = [{"s": "it's", "d": date(2026, 1, 1), "v": 1}, {"s": "", "d": date(2026, 1, 2), "v": 2}]
        load(etl, old, **key)
        load(
            etl,
            [{"s": "it's", "d": date(2026, 1, 1), "v": 3}, {"s": 'a"\n', "d": date(2026, 1, 1), "v": 4}],
            **key,
        )
        assert sorted(row["v"] for row in rows()) == [2, 3, 4]

    @pytest.mark.parametrize(
        "values",
        [
            [1.5, float("nan")],
            [Decimal("1.50"), Decimal("2.25")],
            [datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)],
            [b"\0a", b"b"],
            [True, False],
            ["ä", "z" * 500],
        ],
        ids=lambda values: type(values[0]).__name__,
    )
    def test_keys_of_every_type(self, etl, values):
        self.merge(etl, [{"i": value, "v": 0} for value in values])
        self.merge(etl, [{"i": values[1], "v": 1}])
        assert [row["v"] for row in sorted(rows(), key=lambda row: row["v"])] == [0, 1]

    def test_a_key_twice_or_missing(self, etl):
        self.merge(etl, [A])
        twice = self.merge(etl, [B, B | {"v": "last"}])
        assert "2 rows of the source have the key i=2" in twice.stderr
        assert self.merge(etl, [B, B | {"v": "last"}], on_duplicate="last").exit_code == 0
        assert rows() == [A, {"i": 2, "v": "last"}]
        assert "1 rows have no value in the key (i)" in self.merge(etl, [{"i": None, "v": "x"}, C]).stderr
        assert "the key names the column 'i'" in self.merge(etl, [{"v": "x"}]).stderr

    def test_a_change_in_the_meantime_is_a_conflict(self, etl, monkeypatch):
        load(etl, [A, B])
        scanned = delta_merge.write

        def meanwhile(reader, target, predicate=None):
            write_deltalake("t", pa.table({"i": [2], "v": ["other"]}), mode="append")
            return scanned(reader, target, predicate=predicate)

        monkeypatch.setattr(delta_merge, "write", meanwhile)
        lost = self.merge(etl, [{"i": 2, "v": "new"}])
        assert lost.exit_code == 1
        assert "another program has changed the table in the meantime; nothing was written" in lost.stderr
        assert sorted(row["v"] for row in rows()) == ["a", "b", "other"]

    def test_no_rows_change_nothing(self, etl):
        self.merge(etl, [A])
        done = self.merge(etl, pa.table({"i": pa.array([], pa.int64()), "v": pa.array([], pa.string())}))
        assert (done.exit_code, done.report["version"]) == (0, 0)


class TestSchema:
    def test_every_difference_is_named(self, etl):
        load(etl, [A | {"w": 1}])
        bad = load(etl, [{"i": "x", "v": "a", "n": 1}], run="r2")
        assert bad.exit_code == 1
        for part in (
            "'w' is missing in the source",
            "'n' is not in the table",
            "'i' is string in the source",
        ):
            assert part in bad.stderr
        assert rows() == [A | {"w": 1}]

    @pytest.mark.parametrize("value", [1.5, 2.0, 2**62])
    def test_a_value_is_never_changed_to_fit(self, etl, value):
        load(etl, pa.table({"i": pa.array([1], pa.int32())}))
        assert load(etl, pa.table({"i": [value]}), run="r2").exit_code == 1
        assert rows() == [{"i": 1}]

    def test_evolution_on_request(self, etl):
        load(etl, [A])
        bad = load(etl, [B | {"n": 1.5}], run="r2")
        assert "'n' is not in the table" in bad.stderr
        assert "let evolve be true for columns that are new or missing" in bad.stderr
        assert load(etl, [B | {"n": 1.5}], run="r2", evolve=True).exit_code == 0
        assert load(etl, [C], run="r3", evolve=True).exit_code == 0
        assert rows() == [A | {"n": None}, B | {"n": 1.5}, C | {"n": None}]

    @pytest.mark.parametrize("mode", ["merge", "overwrite"])
    def test_evolution_in_the_other_modes(self, etl, mode):
        load(etl, [A, B])
        key = {"key": ["i"]} if mode == "merge" else {"overwrite_where": "i = 2"}
        assert load(etl, [{"i": 2, "v": "x", "n": 7}], run="r2", mode=mode, evolve=True, **key).exit_code == 0
        assert sorted(rows(), key=lambda row: row["i"]) == [A | {"n": None}, {"i": 2, "v": "x", "n": 7}]

    def test_a_column_without_a_type(self, etl):
        bad = load(etl, pa.table({"i": [1], "n": pa.nulls(1)}))
        assert "the type of 'n' is unknown" in bad.stderr
        assert not Path("t").exists()
        load(etl, [A])
        assert load(etl, pa.table({"i": [2], "v": pa.nulls(1)}), run="r2").exit_code == 0
        assert rows() == [A, {"i": 2, "v": None}]

    def test_types_that_delta_has_not(self, etl):
        table = pa.table(
            {
                "u8": pa.array([255], pa.uint8()),
                "u64": pa.array([2**64 - 1], pa.uint64()),
                "word": pa.array(["x"]).dictionary_encode(),
                "seconds": pa.array([1], pa.timestamp("s")),
            }
        )
        assert load(etl, table).exit_code == 0
        [row] = rows()
        assert row == {
            "u8": 255,
            "u64": Decimal(2**64 - 1),
            "word": "x",
            "seconds": datetime.fromisoformat("1970-01-01T00:00:01"),
        }
        for kind in (pa.time64("us"), pa.duration("s"), pa.decimal256(50, 1)):
            bad = load(etl, pa.table({"x": pa.nulls(1, kind)}), url="u")
            assert "column 'x' is" in bad.stderr
            assert "which Delta has no place for; cast it in the transform" in bad.stderr

    def test_a_finer_moment_is_refused(self, etl):
        bad = load(etl, pa.table({"x": pa.array([1], pa.timestamp("ns"))}))
        assert "column 'x' does not fit timestamp[us]" in bad.stderr
        assert not Path("t").exists()


def test_values_of_every_type_come_back(etl):
    table = pa.table(
        {
            "b": [True, None],
            "i": pa.array([-128, 127], pa.int8()),
            "f": [float("nan"), float("-inf")],
            "g": pa.array([1.5, None], pa.float32()),
            "s": ["", None],
            "n": ['a\n"b"', "ü\0"],
            "x": [b"\0\xff", None],
            "d": [date(1, 1, 1), date(9999, 12, 31)],
            "t": pa.array([datetime.fromisoformat("1970-01-01T00:00:00.000001"), None], pa.timestamp("us")),
            "z": pa.array([datetime(2026, 1, 1, tzinfo=UTC), None], pa.timestamp("us", "UTC")),
            "c": pa.array([Decimal("-" + "9" * 38), Decimal("1")], pa.decimal128(38, 0)),
            "l": [[1, None], []],
            "st": [{"a": 1, "b": "x"}, None],
        }
    )
    for mode in ({"mode": "append"}, {"mode": "overwrite"}, {"mode": "merge", "key": ["i"]}):
        assert load(etl, table, run=mode["mode"], **mode).exit_code == 0
    out = {"url": "out.parquet"}
    assert (
        etl(
            "transform", {"input": {"type": "delta", "url": "t"}, "sql": "FROM input ORDER BY i", "sink": out}
        ).exit_code
        == 0
    )
    found = pq.read_table("out.parquet")
    assert str(found.to_pylist()) == str(table.to_pylist())


class TestSource:
    def read(self, etl, **source):
        config = {"input": {"type": "delta", "url": "t"} | source, "sql": "FROM input ORDER BY i"}
        done = etl("transform", config | {"sink": {"url": "out.parquet"}})
        return done, (pq.read_table("out.parquet").to_pylist() if done.exit_code == 0 else None)

    def test_the_table_as_it_was(self, etl):
        load(etl, [A])
        load(etl, [B], run="r2")
        load(etl, [C], run="r3", mode="overwrite")
        assert self.read(etl)[1] == [C]
        done, found = self.read(etl, version=1)
        assert found == [A, B]
        assert done.report["inputs"] == {"input": "t (version 1)"}
        assert (done.report["rows_read"], done.report["bytes_read"] > 0) == (2, True)

    def test_the_table_at_a_moment(self, etl):
        load(etl, [A])
        at = DeltaTable("t").history(1)[0]["timestamp"]
        load(etl, [C], run="r2", mode="overwrite")
        assert DeltaTable("t").history(1)[0]["timestamp"] > at
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at)
        assert self.read(etl, timestamp=moment.isoformat())[1] == [A]
        assert self.read(etl, timestamp=(moment + timedelta(days=1)).isoformat())[1] == [C]
        early, _ = self.read(etl, timestamp=(moment - timedelta(days=1)).isoformat())
        assert "there is no version as old as" in early.stderr

    def test_what_is_not_there(self, etl):
        assert "t: there is no Delta table; check the URL" in self.read(etl)[0].stderr
        load(etl, [A])
        assert "there is no version 7; the last is 0" in self.read(etl, version=7)[0].stderr
        Path(next(iter(Path("t").glob("*.parquet")))).unlink()
        done, _ = self.read(etl)
        assert done.exit_code == 1
        assert "t (version 0)" in done.stderr

    @pytest.mark.parametrize(
        ("source", "message"),
        [
            ({"version": 1, "timestamp": "2026-01-01T00:00:00Z"}, "give version or timestamp"),
            ({"timestamp": "2026-01-01T00:00:00"}, "should have timezone info"),
            ({"version": -1}, "greater than or equal to 0"),
            ({"versions": 1}, "did you mean version?"),
        ],
    )
    def test_wrong_configuration(self, etl, source, message):
        done, _ = self.read(etl, **source)
        assert done.exit_code == 2
        assert message in done.stderr


class TestUpkeep:
    def called(self, capsys, *arguments):
        code = main(["delta", *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    def test_history(self, etl, capsys):
        load(etl, [A])
        load(etl, [B, C], run="r2", mode="overwrite")
        code, out, _ = self.called(capsys, "history", "t", "-o", "json")
        versions = json.loads(out)
        assert code == 0
        assert [(v["version"], v["mode"], v["rows_added"], v["load_id"]) for v in versions] == [
            (1, "Overwrite", 2, "r2/load"),
            (0, "Append", 1, "r1/load"),
        ]
        _, out, _ = self.called(capsys, "history", "t", "--limit", "1")
        assert len(out.splitlines()) == 2
        assert "r2/load" in out

    def test_vacuum(self, etl, capsys):
        load(etl, [A])
        load(etl, [B], run="r2", mode="overwrite")
        orphan = Path("t/part-00000-left-by-a-killed-load.parquet")
        orphan.write_bytes(b"x")
        code, _, err = self.called(capsys, "vacuum", "t", "--retention-hours", "0")
        assert (code, "less than 168 hours" in err) == (1, True)
        code, out, _ = self.called(capsys, "vacuum", "t")
        assert (code, json.loads(out)["deleted"]) == (0, 0)
        _, out, _ = self.called(capsys, "vacuum", "t", "--retention-hours", "0", "--force", "--dry-run")
        assert (len(json.loads(out)["files"]), json.loads(out)["deleted"], orphan.exists()) == (2, 0, True)
        _, out, _ = self.called(capsys, "vacuum", "t", "--retention-hours", "0", "--force")
        assert (json.loads(out)["deleted"], orphan.exists()) == (2, False)
        assert rows() == [B]

    @pytest.mark.parametrize("order", [[], ["--z-order", "i"]])
    def test_optimize(self, etl, capsys, order):
        for run in "abc":
            load(etl, [A, B], run=run)
        code, out, _ = self.called(capsys, "optimize", "t", *order)
        assert (code, json.loads(out)["files_added"], json.loads(out)["files_removed"]) == (0, 1, 3)
        assert rows() == [A, A, A, B, B, B]

    def test_nothing_there(self, etl, capsys):
        for verb in ("history", "vacuum", "optimize"):
            code, _, err = self.called(capsys, verb, "nix")
            assert (code, "nix: there is no Delta table" in err) == (1, True)
        assert self.called(capsys, "history", "http://x/y")[0] in (1, 2)


def test_bad_rows_leave_the_table_as_it_was(etl):
    load(etl, [A])
    Path("bad.csv").write_text("i,v\n" + "1,a\n" * 200_000 + "x,b\n" + "1,c\n" * 200_000)
    types = {"types": {"i": "int64"}}
    bad = etl("load", {"source": {"url": "bad.csv", "options": types}, "sink": SINK})
    assert bad.exit_code == 1
    assert "bad.csv" in bad.stderr
    assert rows() == [A]
    new = etl("load", {"source": {"url": "bad.csv", "options": types}, "sink": SINK | {"url": "new/"}})
    assert (new.exit_code, Path("new").exists()) == (1, False)


@pytest.mark.parametrize("name", ["with space", "hash#x", "ä"])
def test_names_of_folders(etl, name):
    assert load(etl, [A], url=name).exit_code == 0
    assert load(etl, [B], url=name, run="r2").exit_code == 0
    assert rows(Path(name)) == [A, B]
    assert load(etl, [A], url=f"{Path.cwd().as_uri()}/u").exit_code == 0
    assert rows("u") == [A]


def test_a_folder_s_name_with_a_percent_sign(etl):
    bad = load(etl, [A], url="per%20cent")
    assert (bad.exit_code, "the path of a Delta table holds no %" in bad.stderr) == (2, True)


def test_the_library_is_an_extra(etl, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "deltalake", None)
    bad = load(etl, [A])
    assert bad.exit_code == 2
    assert "pip install 'batchctl-etl[delta]'" in bad.stderr


def test_memory_is_bounded_by_the_stream(tmp_path):
    """Batches are asked for as they are written, never all at once."""
    batch = pa.record_batch([pa.array([b"x" * 100_000] * 20)], names=["x"])
    asked = []

    def batches():
        for number in range(200):
            asked.append(pa.total_allocated_bytes())
            yield batch
            del number

    from batchctl_etl.config.delta import DeltaMode, DeltaSink

    sink = DeltaSink(type="delta", url=str(tmp_path / "t"), mode=DeltaMode.APPEND)
    load_delta(pa.RecordBatchReader.from_batches(batch.schema, batches()), sink, load_id="x")
    assert max(asked) - min(asked) < 100 * batch.nbytes

"""Watermarks: what is new is read once, whatever is killed, repeated or done at the same time."""

import json
import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from batchctl_etl.main import main

STATE = "state/orders.json"


@pytest.fixture
def work(etl, tmp_path):
    return tmp_path / "work"


def orders(work, *numbers, name="in.csv"):
    text = "".join(f"{n},2026-01-{n:02},x{n}\n" for n in numbers)
    (work / name).parent.mkdir(parents=True, exist_ok=True)
    (work / name).write_text("id,day,text\n" + text)


def loading(mode="append", url="in.csv", **watermark):
    sink = {"type": "duckdb", "url": "x.duckdb", "table": "t", "mode": mode}
    sink |= {"key": ["id"]} if mode == "merge" else {}
    return {"source": {"url": url, "format": "csv"}, "sink": sink, "watermark": {"state": STATE} | watermark}


COLUMN = {"type": "column", "column": "day"}


def loaded(work):
    with duckdb.connect(work / "x.duckdb") as connection:
        return [row[0] for row in connection.execute("SELECT id FROM t ORDER BY id").fetchall()]


def state(work):
    return json.loads((work / STATE).read_text())


# One stage: a column.


@pytest.mark.parametrize("column", ["id", "day", "text"])
def test_only_what_is_new_is_loaded(etl, work, column):
    config = loading(type="column", column=column)
    for run, there, total in [
        ("r1", [1, 2], [1, 2]),
        ("r2", [1, 2, 3], [1, 2, 3]),
        ("r3", [2, 3], [1, 2, 3]),
    ]:
        orders(work, *there)
        done = etl("load", config, run=run)
        assert done.exit_code == 0, done.stderr
        assert loaded(work) == total
    assert done.report["nothing_new"]
    assert (done.report["rows_written"], "nothing is new" in done.stderr) == (0, True)
    assert (state(work)["generation"], state(work)["claim"], state(work)["plans"]) == (2, None, {})


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (pa.timestamp("us", "UTC"), ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000001Z"]),
        (pa.timestamp("ns"), ["2026-01-01T00:00:00", "2026-01-01T00:00:00.000000001"]),
        (pa.timestamp("s", "Asia/Tokyo"), ["2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"]),
        (pa.decimal128(20, 3), ["-9999999999999.001", "-9999999999999.000"]),
        (pa.uint64(), ["18446744073709551614", "18446744073709551615"]),
        (pa.date32(), ["0999-01-01", "1000-01-01"]),
        (pa.string(), ["Z", "ä"]),
    ],
    ids=str,
)
def test_a_value_of_every_type_comes_back_from_its_text(etl, work, kind, values):
    sink = {"type": "parquet", "url": "out/", "mode": "append"}
    config = {
        "source": {"url": "in.parquet"},
        "sink": sink,
        "watermark": COLUMN | {"column": "v", "state": STATE},
    }
    for count in (1, 2):
        column = pa.array(values[:count]).cast(kind)
        pq.write_table(pa.table({"v": column}), work / "in.parquet")
        done = etl("load", config, run=f"r{count}")
        assert done.exit_code == 0, done.stderr
    found = pa.concat_tables([pq.read_table(path) for path in sorted((work / "out").iterdir())])
    assert sorted(found["v"].cast(kind).cast(pa.string()).to_pylist()) == sorted(
        column.cast(pa.string()).to_pylist()
    )


def test_equal_values_once_more_for_a_merge(etl, work):
    config = loading("merge", **COLUMN, inclusive=True)
    (work / "in.csv").write_text("id,day\n1,2026-01-01\n2,2026-01-02\n")
    assert etl("load", config, run="r1").exit_code == 0
    (work / "in.csv").write_text("id,day\n1,2026-01-01\n2,2026-01-02\n3,2026-01-02\n")
    done = etl("load", config, run="r2")
    assert (loaded(work), done.report["rows_written"]) == ([1, 2, 3], 2)


def test_an_empty_source_is_nothing_new(etl, work):
    orders(work)
    done = etl("load", loading(type="column", column="id"), run="r1")
    assert (done.exit_code, done.report.get("nothing_new"), (work / STATE).exists()) == (0, True, False)


def test_a_second_attempt_of_a_run_repeats_its_own_batch(etl, work):
    orders(work, 1, 2)
    assert etl("load", loading(**COLUMN), run="r1").exit_code == 0
    orders(work, 1, 2, 3)
    done = etl("load", loading(**COLUMN), run="r1")
    assert (done.report["already_loaded"], loaded(work)) == (True, [1, 2])
    assert etl("load", loading(**COLUMN), run="r2").exit_code == 0
    assert loaded(work) == [1, 2, 3]


def test_an_old_merge_that_is_run_again_does_not_undo_a_newer_one(etl, work):
    (work / "in.csv").write_text("id,day,text\n1,2026-01-01,old\n")
    assert etl("load", loading("merge", **COLUMN), run="r1").exit_code == 0
    before = (work / STATE).read_text()
    (work / "in.csv").write_text("id,day,text\n1,2026-01-02,new\n")
    assert etl("load", loading("merge", **COLUMN), run="r2").exit_code == 0
    (work / STATE).write_text(before)  # As r1 saw it, which was thought dead.
    (work / "in.csv").write_text("id,day,text\n1,2026-01-01,old\n")
    assert etl("load", loading("merge", **COLUMN), run="r1").report["already_loaded"]
    with duckdb.connect(work / "x.duckdb") as connection:
        assert connection.execute("SELECT text FROM t").fetchall() == [("new",)]


def test_by_hand_each_call_is_another_run(etl, work):
    for there in ([1], [1, 2]):
        orders(work, *there)
        assert etl("load", loading(**COLUMN)).exit_code == 0
    assert loaded(work) == [1, 2]


def test_a_failed_gate_advances_nothing(etl, work):
    orders(work, 1, 2)
    config = loading(**COLUMN) | {"checks": [{"type": "row_count", "max": 1}]}
    assert etl("load", config, run="r1").exit_code == 3
    assert not (work / STATE).exists()
    assert etl("load", loading(**COLUMN), run="r2").exit_code == 0
    assert loaded(work) == [1, 2]


@pytest.mark.parametrize(
    ("config", "exit_code", "message"),
    [
        (loading(type="column", column="nope"), 1, "the column 'nope' of the watermark is not there"),
        (loading(type="column", column="f"), 1, "is double; take whole numbers"),
        (loading(type="column", column="n"), 1, "1 rows have no value in 'n', and would never be read"),
        (loading("replace", **COLUMN), 2, "watermark: only what is new is read, and mode replace would"),
        (loading(type="etag"), 2, "input tag 'etag'"),
        (loading(**COLUMN, input="x"), 2, "input is for a transform"),
        (loading(type="run"), 1, "run by hand has read nothing for it; run the pipeline again"),
    ],
)
def test_a_watermark_that_cannot_be(etl, work, config, exit_code, message):
    (work / "in.csv").write_text("id,day,f,n\n1,2026-01-01,1.5,1\n2,2026-01-02,2.5,\n")
    done = etl("load", config)
    assert (done.exit_code, message in done.stderr) == (exit_code, True), done.stderr
    assert not (work / "x.duckdb").exists()


def test_a_state_of_something_else(etl, work):
    orders(work, 1)
    assert etl("load", loading(**COLUMN), run="r1").exit_code == 0
    message = "it is the watermark of column 'day', not of column 'id'"
    assert message in etl("load", loading(type="column", column="id"), run="r2").stderr
    assert "not of files 'in.csv'" in etl("load", loading(type="files"), run="r2").stderr
    (work / STATE).write_text('{"format": 2}')
    assert "it is no watermark of ours (format 2)" in etl("load", loading(**COLUMN), run="r2").stderr


# One stage: files.


def test_only_new_files_are_read(etl, work):
    config = loading(type="files", url="drop/*.csv")
    assert etl("load", config, run="r0").report["nothing_new"]
    for run, number in [("r1", 1), ("r2", 2)]:
        orders(work, number, name=f"drop/{number}.csv")
        assert etl("load", config, run=run).report["watermark"]["files"] == 1
    assert (loaded(work), state(work)["value"]) == ([1, 2], ["drop/1.csv", "drop/2.csv"])
    assert etl("load", config, run="r3").report["nothing_new"]


# Stages apart: extract (or transform) reads, load commits.


def pipeline(etl, run, *, url="drop/*.csv", watermark=None, until="load"):
    """extract -> load of one run, each with its part of the watermark; the outcomes."""
    watermark = watermark or {"type": "files"}
    source = {"type": "http" if url.startswith("http") else "file", "url": url}
    done = [
        etl(
            "extract",
            {"source": source, "sink": {"url": f"raw/{run}/"}, "watermark": watermark | {"state": STATE}},
            run=run,
        )
    ]
    if until == "load":
        done.append(etl("load", loading(type="run", url=f"raw/{run}/*"), run=run))
    return done


def test_what_extract_has_read_is_recorded_by_load(etl, work):
    orders(work, 1, name="drop/1.csv")
    pipeline(etl, "r1", until="extract")
    assert (state(work)["generation"], list(state(work)["plans"])) == (0, ["r1"])
    assert [done.exit_code for done in pipeline(etl, "r1")] == [0, 0]
    assert (state(work)["generation"], state(work)["plans"], loaded(work)) == (1, {}, [1])
    orders(work, 2, name="drop/2.csv")
    assert [done.exit_code for done in pipeline(etl, "r2")] == [0, 0]
    assert [path.name for path in (work / "raw/r2").iterdir()] == ["2.csv"]
    assert loaded(work) == [1, 2]
    extract, load = pipeline(etl, "r3")
    assert (extract.report["nothing_new"], load.report["nothing_new"], (work / "raw/r3").exists()) == (
        True,
        True,
        False,
    )


def test_a_second_attempt_of_extract_reads_the_same_files(etl, work):
    orders(work, 1, name="drop/1.csv")
    pipeline(etl, "r1", until="extract")
    orders(work, 2, name="drop/2.csv")
    assert [done.exit_code for done in pipeline(etl, "r1")] == [0, 0]
    assert (loaded(work), state(work)["value"]) == ([1], ["drop/1.csv"])
    pipeline(etl, "r1")  # Also after its load has been recorded.
    assert (loaded(work), state(work)["value"]) == ([1], ["drop/1.csv"])


def test_of_two_runs_at_once_the_slower_is_told_and_changes_nothing(etl, work):
    orders(work, 1, name="drop/1.csv")
    pipeline(etl, "slow", until="extract")
    orders(work, 2, name="drop/2.csv")
    pipeline(etl, "fast", until="extract")
    config = loading(type="run", url="raw/fast/*")
    assert etl("load", config, run="fast").exit_code == 0
    before = state(work)
    done = etl("load", loading(type="run", url="raw/slow/*"), run="slow")
    assert done.exit_code == 1
    assert "run slow has read nothing for it, or another run has advanced it since" in done.stderr
    assert (state(work), loaded(work)) == (before, [1, 2])


def test_a_run_that_is_loading_is_not_overtaken(etl, work):
    orders(work, 1, name="drop/1.csv")
    pipeline(etl, "one", until="extract")
    orders(work, 2, name="drop/2.csv")
    pipeline(etl, "two", until="extract")
    killed(work, "load", loading(type="run", url="raw/one/*"), run="one", at="into_sink")
    done = etl("load", loading(type="run", url="raw/two/*"), run="two")
    assert (done.exit_code, "run one is loading from the same place, or was killed" in done.stderr) == (
        1,
        True,
    )
    assert not (work / "x.duckdb").exists()


def test_transform_reads_by_column_and_load_records_it(etl, work):
    for run, there in [("r1", [1, 2]), ("r2", [1, 2, 3])]:
        orders(work, *there)
        pq.write_table(pa.table({"id": [1, 2, 3]}), work / "names.parquet")
        inputs = {"orders": {"url": "in.csv"}, "names": {"url": "names.parquet"}}
        watermark = COLUMN | {"state": STATE, "input": "orders"}
        sql = "SELECT orders.id, day, text FROM orders JOIN names USING (id) UNION ALL (FROM orders LIMIT 0)"
        config = {"inputs": inputs, "sql": sql, "sink": {"url": f"mid/{run}.csv"}, "watermark": watermark}
        assert etl("transform", config, run=run).exit_code == 0
        second = {
            "input": {"url": f"mid/{run}.csv"},
            "sql": "FROM input",
            "sink": {"url": f"mid/{run}-2.csv"},
        }
        assert (
            etl("transform", second | {"watermark": {"type": "run", "state": STATE}}, run=run).exit_code == 0
        )
        assert etl("load", loading(type="run", url=f"mid/{run}-2.csv"), run=run).exit_code == 0
    assert (loaded(work), state(work)["value"]) == ([1, 2, 3], "2026-01-03")
    assert (
        "watermark: input names one of orders, names"
        in etl("transform", config | {"watermark": COLUMN | {"state": STATE}}).stderr
    )


def test_a_file_of_a_web_server_is_fetched_when_it_has_changed(etl, work, server):
    def answer(handler):
        version = etags[0]
        if handler.headers.get("If-None-Match") == version:
            return handler.reply(304)
        return handler.reply(200, f"id\n{version[1:-1]}\n".encode(), ETag=version)

    server.replies, etags, watermark = [answer], ['"1"'], {"type": "etag"}
    assert [
        done.exit_code for done in pipeline(etl, "r1", url=f"{server.url}/x.csv", watermark=watermark)
    ] == [0, 0]
    extract, load = pipeline(etl, "r2", url=f"{server.url}/x.csv", watermark=watermark)
    assert (extract.report["nothing_new"], load.report["nothing_new"], (work / "raw/r2").exists()) == (
        True,
        True,
        False,
    )
    etags[0] = '"2"'
    # Its load is killed after the commit, and then the server's file changes once more.
    pipeline(etl, "r3", url=f"{server.url}/x.csv", watermark=watermark, until="extract")
    killed(work, "load", loading(type="run", url="raw/r3/*"), run="r3", at="Progress.advance")
    assert (loaded(work), state(work)["value"]) == ([1, 2], {"etag": '"1"'})
    pipeline(etl, "r4", url=f"{server.url}/x.csv", watermark=watermark)
    assert (loaded(work), state(work)["value"]) == ([1, 2], {"etag": '"2"'})
    pipeline(etl, "r5", url=f"{server.url}/x.csv", watermark=watermark, until="extract")
    etags[0] = '"3"'
    assert [
        done.exit_code for done in pipeline(etl, "r5", url=f"{server.url}/x.csv", watermark=watermark)
    ] == [0, 0]
    assert loaded(work) == [1, 2, 3]


@pytest.mark.parametrize(
    ("source", "watermark", "sink", "message"),
    [
        ({"type": "file", "url": "*.csv"}, "etag", "raw/", "etag is of a source of type http"),
        ({"type": "http", "url": "http://h/x.zip", "unpack": {}}, "etag", "raw/", "without unpack"),
        ({"type": "http", "url": "http://h/x.csv"}, "files", "raw/", "files are of a source of type file"),
        ({"type": "file", "url": "x.csv"}, "files", "raw/x.csv", "new files need a folder"),
    ],
)
def test_an_extract_that_cannot_be(etl, source, watermark, sink, message):
    done = etl(
        "extract", {"source": source, "sink": {"url": sink}, "watermark": {"type": watermark, "state": STATE}}
    )
    assert (done.exit_code, message in done.stderr) == (2, True)


# Killed.

KILLING = """
import os, signal, sys
import batchctl_etl.stages.{module} as module
from batchctl_etl.main import main
module.{name} = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
sys.exit(main())
"""


def killed(work: Path, stage: str, config: dict, *, run: str, at: str) -> None:
    """Run a stage in a process that gets SIGKILL where it would call the function `at`."""
    module = "incremental" if at.startswith("Progress") else "load"
    environ = os.environ | {
        "BATCHCTL_RUN": run,
        "AZ_BATCH_TASK_ID": "load",
        "BATCHCTL_CONFIG": json.dumps(config),
    }
    environ |= {"TMPDIR": str(work.parent / "killed")}
    (work.parent / "killed").mkdir(exist_ok=True)
    code = KILLING.format(module=module, name=at)
    done = subprocess.run([sys.executable, "-c", code, stage], cwd=work, env=environ, capture_output=True)
    assert done.returncode == -9, done.stderr


@pytest.mark.parametrize("at", ["into_sink", "Progress.advance"])
@pytest.mark.parametrize("again", ["r1", "r2"])
def test_killed_before_or_after_the_commit_the_next_attempt_or_run_heals_it(etl, work, at, again):
    orders(work, 1, 2)
    killed(work, "load", loading(**COLUMN), run="r1", at=at)
    assert (state(work)["generation"], state(work)["claim"]["load_id"][:8]) == (0, "r1/load@")
    orders(work, 1, 2, 3)  # Rows that came between are not of the batch that was begun.
    done = etl("load", loading(**COLUMN), run=again)
    assert done.exit_code == 0
    assert done.report.get("already_loaded", False) is (at == "Progress.advance")
    assert "first what r1/load@" in done.stderr
    assert (loaded(work), state(work)["value"], state(work)["generation"]) == ([1, 2], "2026-01-02", 1)
    assert etl("load", loading(**COLUMN), run="r3").exit_code == 0
    assert loaded(work) == [1, 2, 3]


def test_killed_in_the_load_of_a_pipeline_the_next_run_heals_it(etl, work):
    orders(work, 1, name="drop/1.csv")
    pipeline(etl, "r1", until="extract")
    killed(work, "load", loading(type="run", url="raw/r1/*"), run="r1", at="Progress.advance")
    orders(work, 2, name="drop/2.csv")
    assert [done.exit_code for done in pipeline(etl, "r2")] == [0, 0]
    assert (loaded(work), state(work)["value"]) == ([1], ["drop/1.csv"])
    assert [done.exit_code for done in pipeline(etl, "r3")] == [0, 0]
    assert loaded(work) == [1, 2]


# The command.


def test_show_and_reset(etl, work, capsys):
    orders(work, 1, 2)
    assert etl("load", loading(**COLUMN), run="r1").exit_code == 0
    assert main(["state", "show", STATE]) == 0
    assert capsys.readouterr().out.splitlines()[:3] == ["column day", "generation 1", "value: 2026-01-02"]
    assert main(["state", "show", STATE, "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["value"] == "2026-01-02"
    assert main(["state", "reset", STATE, "--to", "2026-01-01"]) == 0
    assert "the next run reads from 2026-01-01; it was at 2026-01-02" in capsys.readouterr().out
    assert etl("load", loading(**COLUMN), run="r2").report["rows_written"] == 1
    assert main(["state", "reset", STATE]) == 0
    assert "from the beginning" in capsys.readouterr().out
    assert etl("load", loading(**COLUMN), run="r3").report["rows_written"] == 2


def test_reset_ends_a_claim_and_says_so(etl, work, capsys):
    orders(work, 1)
    killed(work, "load", loading(**COLUMN), run="r1", at="into_sink")
    assert main(["state", "show", STATE]) == 0
    assert "being loaded, or not finished: r1/load@" in capsys.readouterr().out
    assert main(["state", "reset", STATE]) == 0
    assert "was not finished, or not recorded" in capsys.readouterr().out
    assert (state(work)["claim"], state(work)["generation"]) == (None, 1)


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (["show", "gone.json"], 1, "gone.json: there is no watermark"),
        (["reset", "gone.json"], 1, "there is no watermark"),
        (["show", "http://h/x"], 2, "is a file on disk or in Azure"),
        (["show", "raw://x"], 2, "a lake zone is resolved by batchctl"),
        (["reset", "files.json", "--to", "x"], 1, "it is of files, which has no value to begin at"),
    ],
)
def test_a_command_that_cannot_be(etl, work, capsys, arguments, exit_code, message):
    empty = {"format": 1, "kind": "files", "of": "x", "generation": 0, "value": None, "last": None}
    (work / "files.json").write_text(json.dumps(empty | {"claim": None, "plans": {}}))
    assert main(["state", *arguments]) == exit_code
    assert message in capsys.readouterr().err

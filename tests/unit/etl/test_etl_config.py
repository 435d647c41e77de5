"""The configuration: strict, every problem at once, exit 2, nothing touched."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from batchctl_etl.main import main

SOURCE = {"url": "x.csv"}


def _lines(etl, stage, config):
    done = etl(stage, config)
    assert done.exit_code == 2
    return [line.removeprefix(f"etl: {stage}: BATCHCTL_CONFIG: ") for line in done.stderr.splitlines()]


def test_all_problems_come_at_once_with_the_nearest_key(etl):
    config = {"source": {"type": "http", "urll": "x", "retries": "5", "headres": {}}, "snk": {}}
    assert _lines(etl, "extract", config) == [
        "source.url: missing",
        "source.retries: input should be a valid integer",
        "source.urll: unknown key; did you mean url?",
        "source.headres: unknown key; did you mean headers?",
        "sink: missing",
        "snk: unknown key; did you mean sink?",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON: EOF while parsing an object at line 1 column 1"),
        ("", "not JSON: EOF while parsing a value at line 1 column 0"),
        ("[]", "input should be an object"),
    ],
)
def test_text_that_is_no_json_object(etl, text, message):
    assert _lines(etl, "extract", text) == [message]


@pytest.mark.parametrize(
    ("source", "sink", "message"),
    [
        ({"type": "ftp", "url": "x"}, "raw/", "source: input tag 'ftp'"),
        ({"type": "file", "url": "https://x.org/a"}, "raw/", 'source.url: is on the web: set type to "http"'),
        ({"type": "http", "url": "a.csv"}, "raw/", 'source.url: is on disk or in Azure: set type to "file"'),
        ({"type": "http", "url": "https://x.org/"}, "raw/", "source.url: must name a file"),
        (
            {"type": "file", "url": "a.csv"},
            "https://x.org/",
            "sink.url: only a file:///… or az://… URL or a path",
        ),
        (
            {"type": "file", "url": "a.csv"},
            "az://A/c/",
            "sink.url: 'az://A/c/': write az://account/container/blob",
        ),
        ({"type": "file", "url": "a.csv"}, "az://acc/", "the container's name is not one"),
        ({"type": "file", "url": "s3://x/a.csv"}, "b/", "s3:// is not supported"),
        ({"type": "file", "url": "*.csv"}, "b.csv", "many files need a folder: end sink.url in /"),
        (
            {"type": "file", "url": "a.zip", "unpack": {}},
            "b.csv",
            "many files need a folder: end sink.url in /",
        ),
        ({"type": "file", "url": "a.csv"}, "b/*.csv", "a sink is one"),
        ({"type": "file", "url": "raw://x/a.csv"}, "b/", "a lake zone is resolved by batchctl"),
        ({"type": "file", "url": "file://host/a.csv"}, "b/", "three slashes"),
        ({"type": "file", "url": ""}, "b/", "may not be empty"),
        (
            {"type": "http", "url": "https://x.org/a", "retries": -1},
            "b/",
            "source.retries: input should be greater",
        ),
        (
            {"type": "http", "url": "https://x.org/a", "headers": {"A": "b\nc"}},
            "b/",
            "source.headers.A: a header",
        ),
    ],
)
def test_extract_refuses(etl, source, sink, message):
    (line,) = _lines(etl, "extract", {"source": source, "sink": {"url": sink}})
    assert message in line


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inputs": {}}, "give either inputs or input"),
        ({"input": SOURCE}, "give either inputs or input"),
        ({"inputs": {"a": SOURCE, "A": SOURCE}}, "names that differ only in case"),
        ({"inputs": {"a-b": SOURCE}}, "inputs.a-b"),
        ({"inputs": {"a": {"url": "x.txt"}}}, "inputs.a.format: missing: csv, json, jsonl or parquet"),
        ({"inputs": {"a": SOURCE | {"options": {"delimitr": ";"}}}}, "did you mean delimiter?"),
        ({"inputs": {"a": SOURCE | {"options": {"delimiter": ";;"}}}}, "must be one ASCII character"),
        ({"inputs": {"a": SOURCE | {"options": {"encoding": "utf-9"}}}}, "encoding 'utf-9' is not known"),
        ({"inputs": {"a": SOURCE | {"options": {"columns": ["a"]}}}}, "set header to false"),
        (
            {"inputs": {"a": SOURCE | {"options": {"types": {"x": "int"}}}}},
            "options.types.x: 'int' is not one of",
        ),
        ({"inputs": {"a": SOURCE | {"options": {"types": {"x": "decimal(39,2)"}}}}}, "is not one of"),
        ({"inputs": {"a": {"url": "x.parquet", "options": {"delimiter": ";"}}}}, "means nothing for parquet"),
        ({"sql": ""}, "sql: string should have at least 1 character"),
        ({"sink": {"url": "out/"}}, "sink.url: must name a file"),
        ({"sink": {"url": "out.json"}}, "choose jsonl"),
        ({"sink": {"url": "out.csv.gz"}}, "compressed text is not written"),
        ({"sink": {"url": "out.txt"}}, "sink.format: missing"),
        ({"memory_limit": "plenty"}, "memory_limit"),
        ({"threads": 0}, "threads"),
    ],
)
def test_transform_refuses(etl, change, message):
    config = {"inputs": {"a": SOURCE}, "sql": "SELECT 1", "sink": {"url": "out.parquet"}} | change
    lines = _lines(etl, "transform", config)
    assert any(message in line for line in lines), lines


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mode": "mrege"}, "sink.mode: input should be 'replace', 'append' or 'merge'"),
        ({"mode": "merge"}, "mode merge needs key"),
        ({"key": ["a"]}, "key and on_duplicate mean nothing in mode append"),
        ({"on_duplicate": "last"}, "key and on_duplicate mean nothing in mode append"),
        ({"mode": "merge", "key": ["a", "A"]}, "key names a column twice"),
        ({"table": "_batchctl_loads"}, "name another table"),
        ({"table": " "}, "sink.table: a name may not be blank"),
        ({"url": "db/"}, "sink.url: must name a file"),
        ({"url": "az://account/lake/x.db"}, "sink.url: a database is a file on disk"),
        ({"tabel": "x"}, "sink.tabel: unknown key; did you mean table?"),
        ({"type": "parquet"}, "sink.table: unknown key"),
    ],
)
def test_load_refuses(etl, change, message):
    sink = {"type": "sqlite", "url": "x.db", "table": "t", "mode": "append"} | change
    lines = _lines(etl, "load", {"source": SOURCE, "sink": sink})
    assert any(message in line for line in lines), lines


@pytest.mark.parametrize("partition", ["day", "day=", "a/b=c", "day=../x", "=x"])
def test_a_partition_is_one_folder(etl, partition):
    sink = {"type": "parquet", "url": "x/", "mode": "replace", "partition": partition}
    assert "sink.partition" in _lines(etl, "load", {"source": SOURCE, "sink": sink})[0]


def test_no_configuration_at_all(monkeypatch, capsys):
    monkeypatch.delenv("BATCHCTL_CONFIG", raising=False)
    assert main(["load"]) == 2
    assert "set BATCHCTL_CONFIG, or use --config FILE or --config-json TEXT" in capsys.readouterr().err


def test_by_hand_it_comes_from_a_file_standard_input_or_the_command_line(tmp_path, monkeypatch, capsys):
    (tmp_path / "in.csv").write_text("a\n1\n")
    monkeypatch.chdir(tmp_path)
    config = json.dumps({"source": {"type": "file", "url": "in.csv"}, "sink": {"url": "out/"}})
    (tmp_path / "config.json").write_text(config)
    monkeypatch.setattr(sys, "stdin", io.StringIO(config))
    for arguments in (["--config", "config.json"], ["--config", "-"], ["--config-json", config]):
        assert main(["extract", *arguments]) == 0
    assert (tmp_path / "out/in.csv").read_text() == "a\n1\n"
    assert main(["extract", "--config", "missing.json"]) == 2
    assert "--config missing.json: cannot be read: No such file" in capsys.readouterr().err


def test_the_report_cannot_be_written(tmp_path, monkeypatch, capsys):
    (tmp_path / "in.csv").write_text("a\n1\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BATCHCTL_REPORT", "nowhere/report.json")
    config = json.dumps({"source": {"type": "file", "url": "in.csv"}, "sink": {"url": "out/"}})
    assert main(["extract", "--config-json", config]) == 1
    assert "the report cannot be written: No such file or directory" in capsys.readouterr().err


def test_help_imports_no_data_library():
    program = (
        "import sys, batchctl_etl.main as m\n"
        "try: m.main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'pyarrow', 'duckdb', 'httpx', 'pydantic', 'stamina', 'orjson'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "extract" in done.stdout


def test_a_mere_copy_imports_no_data_library(tmp_path):
    (tmp_path / "x").write_text("x")
    program = (
        "import sys, batchctl_etl.main as m\n"
        """assert m.main(['extract', '--config-json', '{"source": {"type": "file", "url": "x"}, "sink": {"url": "y"}}']) == 0\n"""
        "heavy = {'pyarrow', 'duckdb', 'numpy'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "arguments", [[], ["lod"], ["load", "--confg", "x"], ["load", "--config", "a", "--config-json", "b"]]
)
def test_a_wrong_command_line_is_2(arguments, capsys):
    with pytest.raises(SystemExit) as raised:
        main(arguments)
    assert raised.value.code == 2


def test_sigterm_ends_it_with_143_and_leaves_nothing(tmp_path):
    """A fifo as the source: the stage waits for bytes that never come until it is told to end."""
    os.mkfifo(tmp_path / "in.csv")
    config = json.dumps({"source": {"type": "file", "url": "in.csv"}, "sink": {"url": "out/x.csv"}})
    etl = Path(sys.executable).with_name("etl")
    process = subprocess.Popen(
        [etl, "extract", "--config-json", config],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with (tmp_path / "in.csv").open("wb") as fifo:
        fifo.write(b"some")
        fifo.flush()
        deadline = time.monotonic() + 120
        while process.poll() is None:
            # One is not enough if it arrives in the instant before the stage blocks in `read`.
            process.send_signal(signal.SIGTERM)
            assert time.monotonic() < deadline
            time.sleep(0.05)
        _, stderr = process.communicate()
    assert (process.returncode, stderr) == (143, b"etl: extract: terminated\n")
    assert [path.name for path in tmp_path.rglob("*")] == ["in.csv"]

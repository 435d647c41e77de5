"""Bad input: each kind ends with one line that names file, row and column and what to do, and the destination as it was."""

import gzip
import io
import json
import resource
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from batchctl_etl.config.rows import Options
from batchctl_etl.readers.locate import Misfit, located

HEAD = b"i,v,d\n"
GOOD = b"".join(b"%d,a%d,2026-01-31\n" % (i, i) for i in range(250_000))
"""More than the first block, which tells the types."""
ROW = "x.csv, row 250001: "
LONG = [
    (
        b"7,x\n",
        ROW + "cannot be read as csv: CSV parse error: Expected 3 columns, got 2: 7,x; check the file",
    ),
    (b"7,x,2026-01-31,9\n", ROW + "cannot be read as csv: CSV parse error: Expected 3 columns, got 4"),
    (b"oops,x,2026-01-31\n", ROW + "column 'i': CSV conversion error to int64: invalid value 'oops'"),
    (b'"1,234",x,2026-01-31\n', ROW + "column 'i': CSV conversion error to int64: invalid value '1,234'"),
    (
        b"7,x,31/01/2026\n",
        ROW + "column 'd': CSV conversion error to date32[day]: invalid value '31/01/2026'",
    ),
    (b"7,x,Jan 31\n", ROW + "column 'd': CSV conversion error to date32[day]: invalid value 'Jan 31'"),
    (b"7,caf\xe9,2026-01-31\n", ROW + "the text is not in the expected encoding (column 'v'"),
    (
        b'7,"x,2026-01-31\n',
        ROW + 'cannot be read as csv: CSV parse error: Expected 3 columns, got 2: 7,"x',
    ),
    (b"7," + b"x" * 10_000_000 + b",2026-01-31\n", ROW + "a row is longer than 4 MB"),
]


def transform(etl, name="x.csv", sql="SELECT count(*) AS n, sum(i) AS s FROM input", **source):
    Path("out.parquet").write_text("old")
    done = etl("transform", {"input": {"url": name} | source, "sql": sql, "sink": {"url": "out.parquet"}})
    if done.exit_code != 0:
        assert len(done.stderr.splitlines()) == 1
        assert Path("out.parquet").read_text() == "old"
    return done


@pytest.mark.parametrize(("line", "message"), LONG, ids=[str(line[:12]) for line, _ in LONG])
@pytest.mark.parametrize("name", ["x.csv", "x.csv.gz"])
def test_a_row_deep_in_a_file_is_named_and_a_rerun_succeeds(etl, line, message, name):
    packed = gzip.compress if name.endswith("gz") else bytes
    Path(name).write_bytes(packed(HEAD + GOOD + line + (GOOD if b'"x' in line else b"")))
    bad = transform(etl, name)
    assert bad.exit_code == 1
    assert message.replace("x.csv", name) in bad.stderr
    Path(name).write_bytes(packed(HEAD + GOOD))
    assert transform(etl, name).exit_code == 0


def test_a_row_of_the_first_block_is_named_too(etl):
    Path("x.csv").write_bytes(HEAD + b"1,a,2026-01-31\n\noops,b,2026-01-31\n")
    bad = transform(etl, options={"types": {"i": "int64"}})
    assert "x.csv, row 2: column 'i': CSV conversion error to int64: invalid value 'oops'" in bad.stderr
    assert "; correct it, or give the column the type string and cast it in a step" in bad.stderr


def test_rows_with_line_breaks_count_once(etl):
    Path("x.csv").write_bytes(b"\xef\xbb\xbf" + HEAD + b'1,"a\r\nb",2026-01-31\r\n' * 3 + b"1\n")
    assert "x.csv, row 4: cannot be read as csv" in transform(etl).stderr


def test_another_delimiter_quote_and_encoding(etl):
    Path("x.csv").write_bytes("i;v\n1;'ü;'\nx;'b'\n".encode("latin-1"))
    options = {"delimiter": ";", "quote": "'", "encoding": "latin-1", "types": {"i": "int64"}}
    assert "x.csv, row 2: column 'i'" in transform(etl, options=options).stderr


def test_without_a_header(etl):
    Path("x.csv").write_bytes(b"1,a\nx,b\n")
    options = {"header": False, "columns": ["i", "v"], "types": {"i": "int64"}}
    assert "x.csv, row 2: column 'i'" in transform(etl, options=options).stderr


def test_three_formats_of_dates_in_one_column(etl):
    Path("x.csv").write_text("i,d\n1,2026-01-31\n2,31/01/2026\n3,Jan 31 2026\n4,2026-13-01\n")
    cast = {"type": "cast", "columns": {"d": {"to": "date", "formats": ["%Y-%m-%d", "%d/%m/%Y", "%b %d %Y"]}}}
    config = {"input": {"url": "x.csv"}, "steps": [cast], "sink": {"url": "out.parquet"}}
    bad = etl("transform", config)
    assert bad.exit_code == 1
    assert "x.csv, row 4: column 'd': '2026-13-01' is not of type date" in bad.stderr
    Path("x.csv").write_text("i,d\n1,2026-01-31\n2,31/01/2026\n3,Jan 31 2026\n")
    assert etl("transform", config).exit_code == 0
    assert {str(day) for day in pq.read_table("out.parquet")["d"].to_pylist()} == {"2026-01-31"}


def test_numbers_that_are_none(etl):
    Path("x.csv").write_text("i\n1.5\nNaN\ninf\n-inf\n")
    assert transform(etl, sql="SELECT i FROM input").exit_code == 0
    assert str(pq.read_table("out.parquet")["i"].to_pylist()) == "[1.5, nan, inf, -inf]"


@pytest.mark.parametrize("name", ["x.csv", "x.jsonl", "x.json"])
def test_an_error_page_with_status_200(etl, server, name):
    page = b"<!DOCTYPE html>\n<html><head><title>Sorry</title></head><body>Down, for now</body></html>\n"
    server.replies = [lambda h: h.reply(200, page)]
    bad = transform(etl, f"{server.url}/{name}", sql="FROM input")
    assert bad.exit_code == 1
    assert f"{server.url}/{name}" in bad.stderr
    if name == "x.csv":
        assert "it is a page of HTML, not csv; open the URL in a browser" in bad.stderr


@pytest.mark.parametrize(
    ("stage", "sink"),
    [
        ("transform", {"url": "out.parquet"}),
        ("transform", {"url": "out.csv"}),
        ("extract", {"url": "out.bin"}),
        ("load", {"type": "parquet", "url": "lake/", "mode": "replace"}),
        ("load", {"type": "delta", "url": "t/", "mode": "append"}),
        ("load", {"type": "duckdb", "url": "x.duckdb", "table": "t", "mode": "append"}),
        ("load", {"type": "sqlite", "url": "x.sqlite", "table": "t", "mode": "append"}),
    ],
    ids=lambda value: value if isinstance(value, str) else value.get("type", value["url"]),
)
def test_no_room_on_the_disk(tmp_path, stage, sink):
    """Files may grow to 3 MB only: the write fails as on a full disk, and a rerun with room succeeds."""
    import random

    chance = random.Random(7)
    rows = pa.table({"i": range(40_000), "v": [chance.randbytes(120) for _ in range(40_000)]})
    pq.write_table(rows, tmp_path / "in.parquet", compression=None)
    source = {"type": "file", "url": "in.parquet"}
    configs = {
        "transform": {"input": source, "sql": "SELECT i, hex(v) AS v FROM input"},
        "extract": {"source": source},
        "load": {"source": source},
    }
    config = json.dumps(configs[stage] | {"sink": sink})

    def run(limit):
        def confine():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        command = [sys.executable, "-m", "batchctl_etl.main", stage, "--config-json", config]
        environ = {"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path)}
        return subprocess.run(
            command,
            cwd=tmp_path,
            env=environ,
            capture_output=True,
            text=True,
            preexec_fn=confine,
            check=False,
        )

    before = {path.name for path in tmp_path.iterdir()}
    full = run(3_000_000)
    assert full.returncode == 1, full.stderr
    assert "Traceback" not in full.stderr
    assert full.stderr.splitlines()[-1].startswith(f"etl: {stage}: ")
    left = {path.name for path in tmp_path.iterdir()} - before
    assert left <= {"x.duckdb", "x.sqlite", "t"}
    again = run(resource.RLIM_INFINITY)
    assert again.returncode == 0, again.stderr


def test_a_stage_that_fails_while_arrow_reads_ahead_ends(tmp_path):
    """The reader's thread is still at work when the process winds down: once that crashed, or hung."""
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.csv", b"i\n" + b"0" * 200_000_000)
    source = {"url": "x.zip", "unpack": {}, "format": "csv"}
    config = json.dumps({"input": source, "sql": "FROM input", "sink": {"url": "out.parquet"}})
    command = [sys.executable, "-m", "batchctl_etl.main", "transform", "--config-json", config]
    for _ in range(3):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1


def zipped(**members):
    with zipfile.ZipFile("x.zip", "w") as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.csv", content)
    return {"name": "x.zip", "unpack": {}, "format": "csv"}


@pytest.mark.parametrize(("line", "message"), LONG, ids=[str(line[:12]) for line, _ in LONG])
def test_a_row_of_a_member_is_named(etl, line, message):
    deep = HEAD + GOOD + line + (GOOD if b'"x' in line else b"")
    bad = transform(etl, **zipped(a=HEAD + b"1,a,2026-01-31\n", x=deep, z=HEAD))
    assert bad.exit_code == 1
    assert message.replace("x.csv", "x.zip: x.csv") in bad.stderr


def test_that_the_archive_is_damaged_is_told_before_its_rows(etl):
    source = zipped(x=HEAD + GOOD)
    content = bytearray(Path("x.zip").read_bytes())
    content[len(content) // 2] = ord(",")
    content[len(content) // 2 + 1] = ord(",")
    Path("x.zip").write_bytes(content)
    bad = transform(etl, **source)
    assert "x.zip: x.csv: it is damaged: Bad CRC-32" in bad.stderr
    assert "fetch it again" in bad.stderr


def test_a_quote_that_is_never_closed_is_found_in_little_memory():
    class Endless(io.RawIOBase):
        given = 0

        def readable(self):
            return True

        def readinto(self, buffer):
            text = (b'i,v\n1,a\n\n2,"x' if not self.given else b"y\n" * 4096)[: len(buffer)]
            buffer[: len(text)] = text
            self.given += len(text)
            assert self.given < 32_000_000
            return len(text)

    error = Misfit(
        "x.csv", "too long", "shorten it", after=0, reason="straddling object straddles two blocks"
    )
    found = located(error, io.BufferedReader(Endless()), Options())
    assert found.lines == ("x.csv, row 2: too long; shorten it",)


PAGE = b"\n<!DOCTYPE html><html><head><title>Sign in</title></head></html>\n"
"""On one line it is a CSV file of one column, and no rows."""


@pytest.mark.parametrize("name", ["x.csv", "x.zip", "x.txt"])
def test_a_page_in_place_of_a_file_is_not_stored(etl, server, name):
    Path(name).write_text("old")
    config = {"source": {"type": "http", "url": f"{server.url}/{name}"}, "sink": {"url": name}}
    server.replies = [lambda h: h.reply(200, PAGE)]
    bad = etl("extract", config)
    assert bad.exit_code == 1
    assert f"/{name}: it is a page of HTML, not {name[2:]}; open the URL in a browser" in bad.stderr
    assert Path(name).read_text() == "old"
    server.replies = [lambda h: h.reply(200, b"i\n1\n")]
    assert etl("extract", config).exit_code == 0


@pytest.mark.parametrize("name", ["page.html", "page", "page.php?id=3"])
def test_a_page_that_is_wanted_is_stored(etl, server, name):
    server.replies = [lambda h: h.reply(200, PAGE)]
    config = {"source": {"type": "http", "url": f"{server.url}/{name}"}, "sink": {"url": "page"}}
    assert etl("extract", config).exit_code == 0
    assert Path("page").read_bytes() == PAGE


def test_a_page_that_was_stored_is_no_csv_file_without_rows(etl):
    Path("x.csv").write_bytes(PAGE)
    assert "x.csv: it is a page of HTML, not csv; look at where it came from" in transform(etl).stderr


@pytest.mark.parametrize("query", ['SELECT id AS a, "ID" AS b FROM input', "SELECT v FROM input"])
def test_columns_that_differ_only_in_case_are_never_mixed_up(etl, query):
    Path("x.csv").write_text("id,v,ID\n1,a,2\n")
    bad = transform(etl, sql=query)
    assert bad.exit_code == 1
    assert "input 'input': its columns 'id' and 'ID' are one name in SQL; rename one" in bad.stderr

"""`az://` everywhere, against Azurite: streamed both ways, whole or not at all."""

import gzip
import io
import json
import random
import subprocess
import sys
import uuid
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from azure.storage.blob import BlobServiceClient
from batchctl_etl.errors import WorkFailed
from batchctl_etl.storage.azure_blobs import BLOCK_BYTES, CHUNK_BYTES, BlockUpload, blob_aside, open_blob
from batchctl_etl.storage.locations import location

from tests.services.long_link import far_away


@pytest.fixture
def container(azurite, etl, monkeypatch):
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", azurite)
    with BlobServiceClient.from_connection_string(azurite) as service:
        client = service.create_container(f"lake-{uuid.uuid4().hex}")
        yield client
        client.delete_container()


@pytest.fixture
def lake(container):
    return f"az://{container.account_name}/{container.container_name}"


def put(container, **blobs):
    for name, content in blobs.items():
        container.upload_blob(name.replace("__", "/").replace("_", "."), content, overwrite=True)


def blobs(container):
    return {name: container.download_blob(name).readall() for name in container.list_blob_names()}


def extract(etl, source, sink, **more):
    return etl("extract", {"source": {"type": "file", "url": source, **more}, "sink": {"url": sink}})


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, BLOCK_BYTES, 3 * BLOCK_BYTES + 17])
def test_there_and_back(etl, container, lake, tmp_path, size):
    body = random.Random(size).randbytes(size)
    (tmp_path / "x.bin").write_bytes(body)
    done = extract(etl, "x.bin", f"{lake}/raw/")
    assert done.report == {
        "bytes_read": size,
        "bytes_written": size,
        "source": "x.bin",
        "sink": f"{lake}/raw/x.bin",
    }
    assert blobs(container) == {"raw/x.bin": body}
    assert extract(etl, f"{lake}/raw/x.bin", f"{lake}/copy.bin").exit_code == 0
    assert extract(etl, f"{lake}/copy.bin", "back/").report["bytes_read"] == size
    assert (tmp_path / "back/copy.bin").read_bytes() == body


MEMORY = """
import re, sys
from batchctl_etl.storage.azure_blobs import blob_aside, open_blob
from batchctl_etl.storage.locations import location
where, piece, count, size = location(sys.argv[1]), bytes(range(256)) * 4096, 400, 0
with blob_aside(where) as sink:
    for _ in range(count):
        sink.write(piece)
with open_blob(where) as stream:
    while chunk := stream.read(len(piece)):
        assert chunk == piece
        size += len(chunk)
assert size == count * len(piece)
print(int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) // 1024)  # ru_maxrss keeps the parent's
"""


def test_memory_is_bounded(container, lake):
    """400 MB there and back; about 45 MB are the interpreter's and the SDK's own."""
    arguments = [sys.executable, "-c", MEMORY, f"{lake}/big.bin"]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=120, check=True)
    assert int(done.stdout) < 260


FROM_THE_WEB = """
import re, sys
from batchctl_etl.main import main
assert main(["extract", "--config-json", sys.argv[1]]) == 0
print(int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) // 1024)
"""


def test_a_large_file_of_the_web_becomes_a_blob_in_little_memory(container, lake, tmp_path):
    body = random.Random(9).randbytes(100_000_003)
    (tmp_path / "x.bin").write_bytes(body)
    with far_away(tmp_path / "x.bin") as url:
        config = json.dumps({"source": {"type": "http", "url": url}, "sink": {"url": f"{lake}/x.bin"}})
        arguments = [sys.executable, "-c", FROM_THE_WEB, config]
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=120, check=True)
    assert blobs(container) == {"x.bin": body}
    assert int(done.stdout.splitlines()[-1]) <= 150


def test_reading_anywhere(container, lake):
    body = random.Random(7).randbytes(5 * CHUNK_BYTES + 5)
    put(container, x_bin=body)
    where = random.Random(8)
    with open_blob(location(f"{lake}/x.bin")) as stream:
        for _ in range(12):
            start, size = where.randrange(len(body) + 9), where.randrange(2 * CHUNK_BYTES)
            stream.seek(start)
            assert stream.read(size) == body[start : start + size]
        stream.seek(-5, io.SEEK_END)
        assert (stream.read(), stream.read()) == (body[-5:], b"")


def test_rows_in_every_format(etl, container, lake):
    file = io.BytesIO()
    pq.write_table(pa.table({"n": range(300_000)}), file, row_group_size=50_000)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as writer:
        writer.writestr("m.csv", "n\n7\n")
    put(container, a_parquet=file.getvalue(), b_csv_gz=gzip.compress(b"n\n1\n2\n"), c_zip=archive.getvalue())
    put(container, d__1_jsonl=b'{"n": 10}\n', d__2_jsonl=b'{"n": 20}\n', d__deep__3_jsonl=b'{"n": 30}\n')
    inputs = {
        "a": {"url": f"{lake}/a.parquet"},
        "b": {"url": f"{lake}/b.csv.gz"},
        "c": {"url": f"{lake}/c.zip", "unpack": {"members": "*.csv"}},
        "d": {"url": f"{lake}/d/*.jsonl"},
        "e": {"url": f"{lake}/d/**/*.jsonl"},
    }
    sums = ", ".join(f"(SELECT sum(n)::BIGINT FROM {name}) AS {name}" for name in inputs)
    for sink in ("out.jsonl", "out.csv", "out.parquet"):
        config = {"inputs": inputs, "sql": f"SELECT {sums}", "sink": {"url": f"{lake}/{sink}"}}
        done = etl("transform", config)
        assert done.exit_code == 0, done.stderr
        assert done.report["rows_read"] == 300_000 + 2 + 1 + 2 + 3
    found = blobs(container)
    expected = {"a": sum(range(300_000)), "b": 3, "c": 7, "d": 30, "e": 60}
    assert json.loads(found["out.jsonl"]) == expected
    assert pq.read_table(io.BytesIO(found["out.parquet"])).to_pylist() == [expected]
    assert found["out.csv"].splitlines()[1] == b"44999850000,3,7,30,60"


def test_a_folder_for_each_value(etl, container, lake, tmp_path):
    (tmp_path / "in.jsonl").write_text('{"k": "a/b", "v": 1}\n{"k": null, "v": 2}\n{"k": "a/b", "v": 3}\n')
    sink = {"type": "parquet", "url": f"{lake}/sales/", "partition_by": ["k"]}
    config = {"source": {"url": "in.jsonl"}, "sink": sink | {"mode": "append"}}
    for _ in range(2):
        assert etl("load", config, run="r1").exit_code == 0
    assert [name.rsplit("/", 1)[0] for name in blobs(container)] == [
        "sales/k=__HIVE_DEFAULT_PARTITION__",
        "sales/k=a%2Fb",
    ]
    source = {"url": f"{lake}/sales/**/*.parquet", "partitions": {"k": "string"}}
    reading = {"input": source, "sql": "SELECT k, v FROM input ORDER BY v", "sink": {"url": "out.csv"}}
    assert etl("transform", reading).exit_code == 0
    assert (tmp_path / "out.csv").read_text() == '"k","v"\n"a/b",1\n,2\n"a/b",3\n'

    before = blobs(container)
    (tmp_path / "bad.jsonl").write_text('{"k": "c", "v": 1}\n{"k": "", "v": 2}\n')
    replacing = {"sink": sink | {"mode": "replace"}}
    assert etl("load", {"source": {"url": "bad.jsonl"}} | replacing, run="r2").exit_code == 1
    assert blobs(container) == before
    (tmp_path / "in.jsonl").write_text('{"k": "c", "v": 9}\n')
    assert etl("load", config | replacing, run="r2").exit_code == 0
    assert [name.rsplit("/", 1)[0] for name in blobs(container)] == ["sales/k=c"]


def test_a_folder_of_parquet_files(etl, container, lake):
    put(container, in_csv=b"n\n1\n")
    sink = {"type": "parquet", "url": f"{lake}/curated/w/", "mode": "append", "partition": "day=1"}
    config = {"source": {"url": f"{lake}/in.csv"}, "sink": sink}
    for run in ("r1", "r1", "r2"):
        assert etl("load", config, run=run).exit_code == 0
    assert len(blobs(container)) == 3
    put(container, in_csv=b"n\n5\n")
    done = etl("load", config | {"sink": sink | {"mode": "replace"}})
    (name,) = [name for name in blobs(container) if name != "in.csv"]
    assert name == "curated/w/day=1/part-00000.parquet"
    assert pq.read_table(io.BytesIO(blobs(container)[name])).to_pylist() == [{"n": 5}]
    assert (done.report["rows_written"], done.report["sink"]) == (1, f"{lake}/curated/w/")
    whole = config | {"sink": {"type": "parquet", "url": f"{lake}/curated/w/", "mode": "replace"}}
    assert "replacing it would delete 'day=1/part-00000.parquet'" in etl("load", whole).stderr


def test_many_files_and_members_arrive_together(etl, container, lake, tmp_path):
    put(container, in__a_csv=b"n\n1\n", in__b_csv=b"n\n2\n")
    assert extract(etl, f"{lake}/in/*.csv", f"{lake}/out/").report["files"] == 2
    assert blobs(container)["out/b.csv"] == b"n\n2\n"
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as writer:
        for name in ("x/1.txt", "x/2.txt"):
            writer.writestr(name, name)
    bad = bytearray(archive.getvalue())
    bad[bad.rindex(b"x/2.txt", 0, bad.index(b"PK\x01\x02"))] ^= 1
    put(container, good_zip=archive.getvalue(), bad_zip=bytes(bad))
    done = extract(etl, f"{lake}/bad.zip", f"{lake}/u/", unpack={})
    assert "x/2.txt: it is damaged: Bad CRC-32" in done.stderr
    assert [name for name in blobs(container) if name.startswith("u/")] == []
    assert extract(etl, f"{lake}/good.zip", f"{lake}/u/", unpack={}).exit_code == 0
    assert blobs(container)["u/x/2.txt"] == b"x/2.txt"


def test_a_failure_leaves_the_old_blob(etl, container, lake):
    put(container, out_jsonl=b"old", in_csv=b"n\n" + b"1\n" * 3_000_000 + b"x\n")
    config = {"input": {"url": f"{lake}/in.csv"}, "sql": "FROM input", "sink": {"url": f"{lake}/out.jsonl"}}
    done = etl("transform", config)
    assert (done.exit_code, len(done.stderr.splitlines())) == (1, 1)
    assert blobs(container)["out.jsonl"] == b"old"


def test_blocks_that_a_killed_attempt_left_do_no_harm(container, lake):
    upload = BlockUpload(location(f"{lake}/x.bin"))
    upload.write(bytes(BLOCK_BYTES))
    upload.close()
    assert blobs(container) == {}
    with blob_aside(location(f"{lake}/x.bin")) as sink:
        sink.write(bytes(BLOCK_BYTES) + b"wrong")
        sink.rewind()
        sink.write(b"right")
    assert blobs(container) == {"x.bin": b"right"}


def test_blocks_that_another_program_left(container, lake):
    """Azure wants all block ids of a blob to be equally long, those that were never committed included."""
    container.get_blob_client("x.bin").stage_block("bGVmdA==", b"left")
    with (
        pytest.raises(
            WorkFailed, match="another program's unfinished upload is in the way; write another name"
        ),
        blob_aside(location(f"{lake}/x.bin")) as sink,
    ):
        sink.write(b"new")


def test_a_blob_that_changes_while_it_is_read(container, lake):
    put(container, x_bin=bytes(3 * CHUNK_BYTES))
    with open_blob(location(f"{lake}/x.bin")) as stream:
        stream.read(10)
        put(container, x_bin=b"\1" * 3 * CHUNK_BYTES)
        with pytest.raises(WorkFailed, match="it changed while it was read; run the task again"):
            stream.readall()


KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@pytest.mark.parametrize(
    ("url", "change", "message"),
    [
        (
            "az://devstoreaccount1/LAKE/nowhere.csv",
            {},
            "cannot be read: there is no such blob; check the URL",
        ),
        ("az://devstoreaccount1/nowhere/x.csv", {}, "cannot be read: there is no such container; make it"),
        ("az://devstoreaccount1/nowhere/*.csv", {}, "cannot be listed: there is no such container"),
        ("az://devstoreaccount1/LAKE/no/*.csv", {}, "no file matches"),
        (
            "az://someoneelse/LAKE/x.csv",
            {},
            "is for account 'devstoreaccount1': unset it, or correct the URL",
        ),
        ("az://devstoreaccount1/LAKE/x.csv", {KEY: "garbage"}, "is not a connection string"),
        ("az://devstoreaccount1/LAKE/x.csv", {KEY[:4]: "AAAA"}, "access is denied"),
    ],
)
def test_a_place_that_cannot_be_reached(etl, container, azurite, monkeypatch, tmp_path, url, change, message):
    for old, new in change.items():
        connection = new if new == "garbage" else azurite.replace(old, new)
        monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", connection)
    done = extract(etl, url.replace("LAKE", container.container_name), "raw/")
    assert done.exit_code in {1, 2}
    assert len(done.stderr.splitlines()) == 1
    assert message in done.stderr
    assert KEY[5:40] not in done.stderr
    assert not (tmp_path / "raw").exists()


def test_a_sink_that_cannot_be_reached(etl, container, tmp_path):
    (tmp_path / "x.csv").write_text("a")
    done = extract(etl, "x.csv", "az://devstoreaccount1/nowhere/x.csv")
    assert "az://devstoreaccount1/nowhere/x.csv: cannot be written: there is no such container" in done.stderr


def test_without_the_extra(etl, container, lake, monkeypatch):
    monkeypatch.setitem(sys.modules, "azure.storage.blob", None)
    done = extract(etl, f"{lake}/x.csv", "raw/")
    assert done.exit_code == 2
    assert "install it: pip install 'batchctl-etl[azure]'" in done.stderr

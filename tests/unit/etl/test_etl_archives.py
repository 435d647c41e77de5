"""Archives: members by pattern, streamed; damaged, unsafe and boundless ones refused, and nothing written."""

import bz2
import gzip
import io
import json
import lzma
import tarfile
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

LINES = b"".join(b'{"n": %d, "s": "x%d"}\n' % (n, n) for n in range(1000))


def zipped(members, method=zipfile.ZIP_DEFLATED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def tarred(members):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            if content is None:
                info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
            info.size = len(content or b"")
            archive.addfile(info, io.BytesIO(content or b""))
    return file.getvalue()


zstd = zstandard.ZstdCompressor(write_checksum=True).compress
MEMBERS = {"a/one.jsonl": LINES, "a/two.jsonl": LINES, "read.me": b"hello", "b/c/three.jsonl": LINES}
ARCHIVES = {
    "x.zip": zipped(MEMBERS),
    "stored.zip": zipped(MEMBERS, zipfile.ZIP_STORED),
    "x.tar": tarred(MEMBERS),
    "x.tar.gz": gzip.compress(tarred(MEMBERS)),
    "x.tar.zst": zstd(tarred(MEMBERS)),
    "x.tar.xz": lzma.compress(tarred(MEMBERS)),
    "x.tar.bz2": bz2.compress(tarred(MEMBERS)),
}


@pytest.fixture
def work(etl, tmp_path):
    return tmp_path / "work"


def unpack(etl, name, **options):
    source = {"type": "file", "url": name, "unpack": options}
    return etl("extract", {"source": source, "sink": {"url": "raw/"}})


def count(etl, name, members="**/*.jsonl", **source):
    """Count and sum of `n` of the rows of an archive's members."""
    config = {
        "input": {"url": name, "unpack": {"members": members}, **source},
        "sql": "SELECT count(*) AS c, sum(n)::BIGINT AS s FROM input",
        "sink": {"url": "out.jsonl"},
    }
    return etl("transform", config)


def written(work):
    return {str(path.relative_to(work / "raw")): path.read_bytes() for path in (work / "raw").rglob("*.*")}


@pytest.mark.parametrize("name", ARCHIVES)
def test_members_are_unpacked_by_pattern(etl, work, name):
    (work / name).write_bytes(ARCHIVES[name])
    done = unpack(etl, name, members="**/*.jsonl")
    assert done.exit_code == 0, done.stderr
    assert written(work) == {path: LINES for path in MEMBERS if path.endswith("jsonl")}
    assert (done.report["files"], done.report["bytes_written"]) == (3, 3 * len(LINES))
    assert done.report["bytes_read"] == len(ARCHIVES[name])
    done = unpack(etl, name, members="*.me")
    assert written(work)["read.me"] == b"hello"


@pytest.mark.parametrize("name", ARCHIVES)
def test_members_are_rows(etl, work, name):
    (work / name).write_bytes(ARCHIVES[name])
    done = count(etl, name)
    assert done.exit_code == 0, done.stderr
    assert json.loads((work / "out.jsonl").read_text()) == {"c": 3000, "s": 3 * 499500}
    assert done.report["rows_read"] == 3000
    done = count(etl, name, "a/*.jsonl")
    assert json.loads((work / "out.jsonl").read_text())["c"] == 2000


def test_parquet_members_are_rows_too(etl, work):
    file = io.BytesIO()
    pq.write_table(pa.table({"n": [1, 2]}), file)
    (work / "x.zip").write_bytes(zipped({"a.parquet": file.getvalue(), "b.parquet": file.getvalue()}))
    assert count(etl, "x.zip", "*.parquet").exit_code == 0
    assert json.loads((work / "out.jsonl").read_text()) == {"c": 4, "s": 6}


def test_archives_by_pattern_and_compressed_files(etl, work):
    for name, content in {
        "1.zip": ARCHIVES["x.zip"],
        "2.zip": zipped({"q.jsonl": b'{"n": 5, "s": ""}\n'}),
    }.items():
        (work / name).write_bytes(content)
    assert count(etl, "*.zip", format="jsonl").report["rows_read"] == 3001
    (work / "d.jsonl.zst").write_bytes(zstd(LINES) + zstd(LINES))
    (work / "e.jsonl.gz").write_bytes(gzip.compress(LINES))
    assert unpack(etl, "?.jsonl.*").exit_code == 0
    assert written(work) == {"d.jsonl": LINES * 2, "e.jsonl": LINES}


def flipped(data, where):
    changed = bytearray(data)
    changed[where] ^= 1
    return bytes(changed)


STORED = zipped({"a.jsonl": LINES}, zipfile.ZIP_STORED)
DEFLATED = zipped({"a.jsonl": LINES})
BAD = {
    "crc2.zip": (
        flipped(DEFLATED, DEFLATED.rindex(b"PK\x01\x02") + 16),
        "a.jsonl: it is damaged: Bad CRC-32",
    ),
    "crc.zip": (flipped(STORED, 500), "a.jsonl: it is damaged: Bad CRC-32"),
    "crc.gz": (flipped(gzip.compress(LINES), -6), "it is damaged: CRC check failed"),
    "crc.zst": (flipped(zstd(LINES), -2), "it is damaged"),
    "cut.zip": (ARCHIVES["x.zip"][:-100], "it is cut short or no zip file; fetch it again"),
    "cut.gz": (gzip.compress(LINES)[:-30], "it is cut short; fetch it again"),
    "cut.zst": (zstd(LINES)[:-30], "it is cut short; fetch it again"),
    "cut.xz": (lzma.compress(LINES)[:-30], "it is cut short; fetch it again"),
    "cut.tar": (ARCHIVES["x.tar"][:20000], "it is cut short"),
    "cut2.tar": (tarred({"a.jsonl": b'{"n": 1}\n'})[:1024], "it is cut short: the mark at the end of a tar"),
    "cut.tar.gz": (ARCHIVES["x.tar.gz"][:-300], "it is cut short"),
    "way.zip": (zipped({"../a.jsonl": b"{}"}), "../a.jsonl: its name leads out of the folder"),
    "way2.zip": (zipped({"/a.jsonl": b"{}"}), "/a.jsonl: its name leads out of the folder"),
    "way.tar": (tarred({"ok.jsonl": LINES, "x/../../a.jsonl": b"{}"}), "its name leads out of the folder"),
    "link.tar": (tarred({"a.jsonl": None}), "a.jsonl: it is a link or a device"),
    "none.zip": (zipped({}), "no member matches '**/*'; its members are none"),
    "no.zip": (b"what is this", "it is not an archive (zip, tar"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_archive_is_one_clear_line_and_nothing_is_written(etl, work, name):
    content, message = BAD[name]
    (work / name).write_bytes(content)
    done = unpack(etl, name)
    assert (done.exit_code, len(done.stderr.splitlines())) == (1, 1)
    assert f"etl: extract: {name}" in done.stderr
    assert message in done.stderr
    assert not (work / "raw").exists()
    if not name.startswith(("none", "link", "way")):
        done = count(etl, name, "**/*", format="jsonl")
        assert done.exit_code == 1
        assert message in done.stderr
        assert not (work / "out.jsonl").exists()


def test_what_was_there_stays_if_the_last_member_is_bad(etl, work):
    (work / "raw").mkdir()
    (work / "raw/a.jsonl").write_text("old")
    bad = bytearray(zipped({"a.jsonl": LINES, "z.jsonl": LINES}, zipfile.ZIP_STORED))
    bad[-300] ^= 1
    (work / "x.zip").write_bytes(bytes(bad))
    assert unpack(etl, "x.zip").exit_code == 1
    assert written(work) == {"a.jsonl": b"old"}


def test_a_bomb_is_stopped(etl, work, monkeypatch):
    (work / "x.zip").write_bytes(zipped({"a.jsonl": bytes(3_000_000), "b.jsonl": bytes(3_000_000)}))
    done = unpack(etl, "x.zip", max_bytes=5_000_000)
    assert "more than 5000000 bytes come out of it; if that is right, raise unpack.max_bytes" in done.stderr
    monkeypatch.setattr("batchctl_etl.readers.limits.FREE_BYTES", 1_000_000)
    done = unpack(etl, "x.zip")
    assert "as of a zip bomb; if that is right, raise unpack.max_ratio" in done.stderr
    assert not (work / "raw").exists()
    (work / "b.csv.gz").write_bytes(gzip.compress(b"a\n" + b"1\n" * 9_000_000))
    done = etl("transform", {"input": {"url": "b.csv.gz"}, "sql": "FROM input", "sink": {"url": "o.csv"}})
    assert "as of a zip bomb" in done.stderr
    assert unpack(etl, "x.zip", max_ratio=2000.0).exit_code == 0


def test_an_encrypted_member_and_two_of_one_name(etl, work):
    data = bytearray(zipped({"a.jsonl": b"{}"}))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + offset] |= 1
    (work / "x.zip").write_bytes(bytes(data))
    assert "a.jsonl: it is encrypted; provide it without a password" in unpack(etl, "x.zip").stderr
    (work / "y.tar").write_bytes(tarred({"./a.csv": b"1", "a.csv": b"2"}))
    assert "raw/a.csv: two files have this name" in unpack(etl, "y.tar").stderr
    assert not (work / "raw").exists()

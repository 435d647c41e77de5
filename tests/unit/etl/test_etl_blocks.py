"""Text that is parsed in blocks, several at once, has the rows that it has as a whole."""

import random
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as pq
import pytest
from batchctl_etl.ahead import ahead
from batchctl_etl.readers import blocks, csv, json

BOM = b"\xef\xbb\xbf"


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    assert csv.BLOCK_BYTES == json.BLOCK_BYTES == blocks.BLOCK_BYTES  # Imported before it is changed here.
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 64)


def transform(etl, name, body, **options):
    Path(name).write_bytes(body)
    done = etl(
        "transform",
        {"input": {"url": name, "options": options}, "sql": "FROM input", "sink": {"url": "out.parquet"}},
    )
    assert done.exit_code == 0, done.stderr
    return pq.read_table("out.parquet")


def lines(count, end="\n"):
    return "".join(f"{i},text {i * 7919 % 101},{i / 4}{end}" for i in range(count))


BODIES = {
    "plain": "i,s,f\n" + lines(100),
    "no end of the last line": "i,s,f\n" + lines(100) + "100,x,1",
    "quotes from the beginning": 'i,s,f\n0,"a\n,""b""",1\n' + lines(100),
    "quotes from somewhere on": "i,s,f\n"
    + lines(50)
    + '50,"a\n\n,""b""\n'
    + ("x" * 30 + "\n") * 5
    + '",1\n'
    + lines(50),
    "a quote in the middle of a text": "i,s,f\n" + lines(20) + '20,5" pipe,1\n' + lines(20),
    "empty lines": "\n\ni,s,f\n\n" + lines(20, "\n\n"),
    "lines of Windows": "i,s,f\r\n" + lines(60, "\r\n"),
    "lines of an old Macintosh": "i,s,f\r" + lines(60, "\r"),
    "no value": "i,s,f\n" + lines(9) + ",,\n" * 60,
    "one row": "i,s,f\n1,x,2\n",
    "a header only": "i,s,f\n",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("mark", [b"", BOM], ids=["", "with a mark"])
def test_csv(etl, body, mark):
    Path("whole.csv").write_bytes(mark + body.encode())
    expected = arrow_csv.read_csv(
        "whole.csv",
        parse_options=arrow_csv.ParseOptions(newlines_in_values=True),
        convert_options=arrow_csv.ConvertOptions(
            null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
        ),
    )
    found = transform(etl, "x.csv", mark + body.encode())
    assert found.to_pylist() == expected.to_pylist()


def test_a_mark_of_utf_8_in_the_middle_is_text(etl):
    found = transform(etl, "x.csv", b"s\n" + b"\xef\xbb\xbfx\n" * 40)
    assert set(found["s"].to_pylist()) == {"\ufeffx"}


def test_without_a_header_and_with_names(etl):
    body = lines(40).encode()
    named = transform(etl, "x.csv", body, header=False, columns=["a", "b", "c"])
    assert (named.column_names, named.num_rows) == (["a", "b", "c"], 40)
    unnamed = transform(etl, "x.csv", body, header=False)
    assert (unnamed.column_names, unnamed.num_rows) == (["f0", "f1", "f2"], 40)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("text", ["x", '"y"'], ids=["plain", "quoted"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_an_empty_line_of_one_column_is_a_row_without_a_value(etl, end, text, encoding):
    body = (end * 2 + "s" + end * 2 + (text + end * 3) * 60).encode(encoding)
    options = {} if encoding == "utf-8-sig" else {"encoding": encoding}
    value = text.strip('"')
    assert transform(etl, "x.csv", body, **options)["s"].to_pylist() == [None] + [value, None, None] * 60
    bare = transform(etl, "x.csv", body, **options, header=False, columns=["s"])
    assert bare["s"].to_pylist() == [None, None, "s", None] + [value, None, None] * 60


def test_one_column_goes_through_a_file_and_back(etl):
    values = [None, "", "x", None, *["y", None] * 60]
    pq.write_table(pa.table({"s": values}), "in.parquet")
    config = {"input": {"url": "in.parquet"}, "sql": "FROM input", "sink": {"url": "back.csv"}}
    assert etl("transform", config).exit_code == 0
    assert transform(etl, "x.csv", Path("back.csv").read_bytes())["s"].to_pylist() == values


def test_the_row_of_an_error_counts_the_empty_lines_of_one_column(etl):
    Path("x.csv").write_bytes(b"\n\ni\n\n1\n\nx\n")
    config = {"input": {"url": "x.csv", "options": {"types": {"i": "int64"}}}, "sql": "FROM input"}
    assert "x.csv, row 4: column 'i'" in etl("transform", config | {"sink": {"url": "o.parquet"}}).stderr


@pytest.mark.parametrize("before", ["", "\n", "\r\n\r\n"])
@pytest.mark.parametrize("after", ["", "\n", "\r"])
@pytest.mark.parametrize("header", ["a", '"a"', "a,b", '"a","b"'])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "latin-1"])
def test_a_header_is_enough(etl, before, header, after, encoding):
    found = transform(etl, "x.csv", (before + header + after).encode(encoding), encoding=encoding)
    assert (found.column_names, found.num_rows) == (header.replace('"', "").split(","), 0)


def test_one_row_without_the_end_of_its_line(etl):
    assert transform(etl, "x.csv", b"1,x", header=False).to_pylist() == [{"f0": 1, "f1": "x"}]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le"])
def test_no_value_at_the_end_of_a_file_after_a_quoted_one(etl, encoding):
    found = transform(etl, "x.csv", 'i,s,n\n1,x,2\n1,"x",'.encode(encoding), encoding=encoding)
    assert found.to_pylist() == [{"i": 1, "s": "x", "n": 2}, {"i": 1, "s": "x", "n": None}]


@pytest.mark.parametrize("shift", range(4))
def test_a_line_end_of_windows_in_quotes_where_a_block_ends(etl, monkeypatch, shift):
    monkeypatch.setattr(csv, "BLOCK_BYTES", 64)
    body = b"s\n" + b"x" * (shift + 1) + b"\n" + b'"y\r\n"\n' * 200
    assert transform(etl, "x.csv", body)["s"].to_pylist()[1:] == ["y\r\n"] * 200


def test_json_lines(etl):
    body = b"".join(b'{"i": %d, "s": "a\\n%d", "o": {"x": [%d]}}\n' % (i, i, i) for i in range(60))
    found = transform(etl, "x.jsonl", BOM + body + b"\n" * 200 + b'{"i": 60}')
    assert found["i"].to_pylist() == list(range(61))
    assert found["o"].to_pylist() == [{"x": [i]} for i in range(60)] + [None]


def test_a_field_that_only_a_later_block_has_is_refused(etl):
    Path("x.jsonl").write_bytes(b'{"i": 1}\n' * 60 + b'{"i": 1, "new": 2}\n')
    found = transform(etl, "x.jsonl", Path("x.jsonl").read_bytes(), types={"new": "int64"})
    assert found["new"].to_pylist() == [None] * 60 + [2]
    done = etl(
        "transform", {"input": {"url": "x.jsonl"}, "sql": "FROM input", "sink": {"url": "out.parquet"}}
    )
    assert done.exit_code == 1
    assert (
        "x.jsonl, after row 56: the first rows have not all of 'new'; give it a type in options.types"
        in done.stderr
    )


def test_a_row_that_cannot_be_read_is_counted_over_all_blocks(etl):
    Path("x.jsonl").write_bytes(b'{"i": 1}\n' * 60 + b'{"i": "x"}\n' + b'{"i": 1}\n' * 60)
    config = {"input": {"url": "x.jsonl"}, "sql": "FROM input", "sink": {"url": "out.parquet"}}
    assert "x.jsonl, row 61: column 'i' changed from number to string" in etl("transform", config).stderr
    Path("x.jsonl").write_bytes(b'{"i": 1}\n' * 60 + b"[1]\n")
    assert (
        "x.jsonl, row 61: cannot be read as jsonl: it is no object, but has the type array"
        in etl("transform", config).stderr
    )


def test_whole_lines_are_all_lines():
    where = random.Random(3)
    for _ in range(200):
        body = b"".join(where.choice([b"a", b"bb", b"\n", b"\r\n"]) for _ in range(where.randrange(600)))
        left = body

        def read(size):
            nonlocal left
            size = where.randrange(1, size + 1)
            piece, left = left[:size], left[size:]
            return piece

        try:
            found = list(blocks.whole_lines(read))
        except pa.ArrowInvalid:
            assert max(map(len, body.split(b"\n"))) > 32
            continue
        assert b"".join(found) == body
        assert all(block.endswith((b"\n", b"\r")) for block in found[:-1])


def test_what_is_made_ahead_is_in_order_and_no_further_than_asked():
    made = []

    def making():
        for i in range(100):
            made.append(i)
            yield i

    with ahead(making(), 3) as items:
        assert next(items) == 0
        assert [next(items) for _ in range(50)] == list(range(1, 51))
    assert len(made) <= 51 + 3 + 1
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ahead")]


def test_what_fails_ahead_fails_in_its_place():
    def making():
        yield 1
        yield 2
        raise ValueError("broken")

    with ahead(making(), 8) as items:
        assert (next(items), next(items)) == (1, 2)
        with pytest.raises(ValueError, match="broken"):
            next(items)

"""Nested JSON as columns, and the user's own function."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

STATION = {
    "station": {"id": "S1", "name": "Überlingen"},
    "tags": ["a", "b"],
    "readings": [{"t": "2026-01-31T06:00:00Z", "the value": 1.50}, {"t": "2026-01-31T07:00:00Z"}],
}


def read(etl, objects, name="in.jsonl", **flatten):
    if isinstance(objects, bytes):
        Path(name).write_bytes(objects)
    elif name.endswith("l"):
        Path(name).write_text("".join(json.dumps(item) + "\n" for item in objects))
    else:
        Path(name).write_text(json.dumps(objects))
    source = {"url": name, "options": {"flatten": flatten}}
    done = etl("transform", {"input": source, "sql": "FROM input", "sink": {"url": "out.parquet"}})
    return done, (pq.read_table("out.parquet").to_pylist() if done.exit_code == 0 else None)


@pytest.mark.parametrize("name", ["in.jsonl", "in.json"])
class TestColumns:
    def test_of_one_object(self, etl, name):
        columns = {
            "id": "$.station.id",
            "last": "$.tags[-1]",
            "all": "$.tags",
            "no": "$.x.y",
            "name": "$.station.name",
        }
        _, found = read(etl, [STATION, {"station": {"id": 7}}], name, columns=columns)
        assert found == [
            {"id": "S1", "last": "b", "all": '["a","b"]', "no": None, "name": "Überlingen"},
            {"id": "7", "last": None, "all": None, "no": None, "name": None},
        ]

    def test_of_items(self, etl, name):
        columns = {"id": "$.station.id", "t": "@.t", "v": '@."the value"'}
        other = {"station": {"id": "S2"}, "readings": []}
        _, found = read(etl, [STATION, other, {}], name, columns=columns, explode="$.readings")
        assert [(row["id"], row["v"]) for row in found] == [("S1", "1.5"), ("S1", None)]
        _, found = read(
            etl, [STATION, other, {}], name, columns=columns, explode="$.readings", keep_empty=True
        )
        assert [row["id"] for row in found] == ["S1", "S1", "S2", None]

    def test_digits_and_odd_values(self, etl, name):
        texts = [
            "0.1234567890123456789",
            "12345678901234567890123",
            "9007199254740993",
            "true",
            "null",
            '""',
            '"\\n"',
        ]
        text = "[" + ",".join(f'{{"v": {value}}}' for value in texts) + "]"
        body = text if name == "in.json" else text[1:-1].replace("},{", "}\n{")
        _, found = read(etl, body.encode(), name, columns={"v": "$.v"})
        assert [row["v"] for row in found] == [*texts[:4], None, "", "\n"]


def test_values_are_cast_in_a_step(etl):
    Path("in.jsonl").write_text(json.dumps(STATION))
    flatten = {"columns": {"t": "@.t", "v": '@."the value"'}, "explode": "$.readings"}
    steps = [{"type": "cast", "columns": {"t": "timestamptz", "v": "decimal(5,2)"}}]
    config = {"input": {"url": "in.jsonl", "options": {"flatten": flatten}}, "steps": steps}
    assert etl("transform", config | {"sink": {"url": "out.csv"}}).exit_code == 0
    assert Path("out.csv").read_text().splitlines()[1:] == [
        "2026-01-31 06:00:00.000000Z,1.50",
        "2026-01-31 07:00:00.000000Z,",
    ]


def test_blank_lines_byte_order_mark_and_crlf(etl):
    body = b"\xef\xbb\xbf" + b'{"v": 1}\r\n\r\n{"v": 2}'
    assert read(etl, body, columns={"v": "$.v"})[1] == [{"v": "1"}, {"v": "2"}]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"v": 1}\n\n{"v": 2\n', 'in.jsonl: cannot be read as jsonl: line 3 is no JSON object: {"v": 2'),
        (b'{"v": 1}\n[1]\n', "line 2 is no JSON object: [1]"),
        (b'{"v": "\xff"}\n', "the text is not in the expected encoding"),
        (b"", "the file is empty"),
    ],
)
def test_what_is_no_json(etl, body, message):
    done, _ = read(etl, body, columns={"v": "$.v"})
    assert done.exit_code == 1
    assert message in done.stderr


def test_many_lines_keep_their_order(etl):
    _, found = read(etl, [{"a": {"i": i, "pad": "x" * 200}} for i in range(50_000)], columns={"i": "$.a.i"})
    assert [row["i"] for row in found] == [str(i) for i in range(50_000)]


def test_a_line_of_ten_megabytes(etl):
    _, found = read(etl, [{"v": "x" * 10_000_000}, {"v": "y"}], columns={"v": "$.v"})
    assert [len(row["v"]) for row in found] == [10_000_000, 1]


@pytest.mark.parametrize(
    ("flatten", "message"),
    [
        ({"columns": {}}, "at least 1"),
        ({"columns": {"a": "station.id"}}, "is no path such as $.station.id"),
        ({"columns": {"a": "$.x[*]"}}, "is no path"),
        ({"columns": {"a": "@.x"}}, "@ is an item of explode, which is missing"),
        ({"columns": {"a": "$.x"}, "explode": "@.x"}, "explode begins with $"),
        ({"columns": {"a": "$.x"}, "keep_empty": True}, "keep_empty means nothing without explode"),
        ({"columns": {"a": "$.x", "A": "$.y"}}, "one name in SQL"),
    ],
)
def test_wrong_configuration(etl, flatten, message):
    done, _ = read(etl, [{}], **flatten)
    assert done.exit_code == 2
    assert message in done.stderr


class TestFunction:
    def run(self, etl, code, *more):
        Path("in.csv").write_text("i,v\n1,a\n2,b\n")
        Path("mine.py").write_text(f"import pyarrow as pa\n{code}")
        steps = [
            {"type": "derive", "columns": {"j": "i + 1"}},
            {"type": "python", "function": "mine:rows"},
            *more,
        ]
        done = etl("transform", {"input": {"url": "in.csv"}, "steps": steps, "sink": {"url": "out.csv"}})
        return done, (Path("out.csv").read_text().split() if done.exit_code == 0 else None)

    @pytest.fixture(autouse=True)
    def _own_modules(self, monkeypatch):
        import sys

        before = set(sys.modules)
        monkeypatch.setattr(sys, "path", list(sys.path))
        monkeypatch.setattr(sys, "dont_write_bytecode", True)
        yield
        for name in set(sys.modules) - before:
            if name.startswith("mine"):
                del sys.modules[name]

    def test_batches_in_and_out(self, etl):
        code = (
            "def rows(reader):\n  for batch in reader:\n    yield batch.select(['j']).rename_columns(['k'])\n"
        )
        assert self.run(etl, code)[1] == ['"k"', "2", "3"]

    def test_steps_go_on_after_it(self, etl):
        code = "def rows(reader):\n  return reader.read_all().select(['j'])\n"
        more = [{"type": "filter", "where": "j > 2"}, {"type": "python", "function": "mine:rows"}]
        assert self.run(etl, code, *more)[1] == ['"j"', "3"]

    @pytest.mark.parametrize(
        ("code", "message"),
        [
            (
                "def rows(reader):\n  raise KeyError('oops')\n",
                "step 2 (python): mine:rows: KeyError: 'oops' (",
            ),
            ("def other(reader): pass\n", "has no attribute 'rows'"),
            ("def rows(reader): return 7\n", "gave a int; return a RecordBatchReader"),
            ("def rows(reader): return []\n", "gave no batch"),
            ("def rows(reader): return [1]\n", "give RecordBatches"),
            ("import nix_da\n", "No module named 'nix_da'"),
            (
                "def rows(r):\n  yield pa.record_batch([[1]], ['a'])\n  yield pa.record_batch([[1]], ['b'])\n",
                "gave batches of different columns",
            ),
            (
                "def rows(r):\n  yield pa.record_batch([[1]], ['a'])\n  1 / 0\n",
                "ZeroDivisionError: division by zero (",
            ),
        ],
    )
    def test_what_goes_wrong(self, etl, code, message):
        done, _ = self.run(etl, code)
        assert done.exit_code == 1
        assert message in done.stderr
        assert not Path("out.csv").exists()

    def test_wrong_configuration(self, etl):
        assert self.run(etl, "", {"type": "python", "function": "no function"})[0].exit_code == 2

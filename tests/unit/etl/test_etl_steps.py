"""Declared steps: what each makes of its rows, and what it says when it cannot."""

import json
from datetime import UTC, date, datetime, time
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest


@pytest.fixture
def work(etl, tmp_path):
    return tmp_path / "work"


@pytest.fixture
def run(etl, work):
    """`run(steps, text)`: the outcome, with the rows in `out.parquet`."""

    def run(steps, text=None, *, inputs=None, types=None, **more):
        if text is not None:
            (work / "in.csv").write_text(text)
        source = {"url": "in.csv"} | ({"options": {"types": types}} if types else {})
        given = {"inputs": inputs} if inputs else {"input": source}
        return etl("transform", given | {"steps": steps, "sink": {"url": "out.parquet"}} | more)

    return run


@pytest.fixture
def rows(run, work):
    """The same, if all goes well: the rows."""

    def rows(steps, text=None, **more):
        done = run(steps, text, **more)
        assert done.exit_code == 0, done.stderr
        return pq.read_table(work / "out.parquet").to_pylist()

    return rows


def cast(columns, **more):
    return {"type": "cast", "columns": columns, **more}


CASTS = [
    ("int64", {}, "12", 12),
    ("int64", {"thousands": ","}, "-1,234,567", -1234567),
    ("int64", {"thousands": "."}, "1.234", 1234),
    ("float64", {"decimal_point": ",", "thousands": "."}, "1.234,5", 1234.5),
    ("float64", {}, "1e3", 1000.0),
    ("float64", {}, "-.5", -0.5),
    ("decimal(12,2)", {}, " 1.5 ", Decimal("1.50")),
    ("decimal(12,2)", {}, "1.5000", Decimal("1.50")),
    ("decimal(38,2)", {"thousands": "'"}, "999'999'999'999'999'999.99", Decimal("999999999999999999.99")),
    ("bool", {}, "Yes", True),
    ("bool", {"true": ["ja"], "false": ["nein"]}, "NEIN", False),
    ("date", {}, "2026-01-31", date(2026, 1, 31)),
    ("date", {"formats": ["%d/%m/%Y", "%Y%m%d", "%b %d, %Y"]}, "31/01/2026", date(2026, 1, 31)),
    ("date", {"formats": ["%d/%m/%Y", "%Y%m%d", "%b %d, %Y"]}, "20260131", date(2026, 1, 31)),
    ("date", {"formats": ["%d/%m/%Y", "%Y%m%d", "%b %d, %Y"]}, "Jan 31, 2026", date(2026, 1, 31)),
    ("time", {}, "06:30", time(6, 30)),
    ("time", {"formats": ["%I:%M %p"]}, "7:05 PM", time(19, 5)),
    (
        "timestamp",
        {},
        "2026-01-31 06:00:00.5",
        datetime(2026, 1, 31, 6, 0, 0, 500000, UTC).replace(tzinfo=None),
    ),
    ("timestamptz", {}, "2026-01-31T06:00:00+02:00", datetime(2026, 1, 31, 4, tzinfo=UTC)),
    (
        "timestamptz",
        {"zone": "America/Los_Angeles"},
        "2026-07-01 06:00",
        datetime(2026, 7, 1, 13, tzinfo=UTC),
    ),
    (
        "timestamptz",
        {"zone": "Europe/Berlin", "formats": ["%d.%m.%Y %H:%M"]},
        "01.07.2026 06:00",
        datetime(2026, 7, 1, 4, tzinfo=UTC),
    ),
    (
        "timestamptz",
        {"formats": ["%d.%m.%Y %H:%M %z"]},
        "01.07.2026 06:00 -0100",
        datetime(2026, 7, 1, 7, tzinfo=UTC),
    ),
    ("string", {"null_values": ["n/a"]}, "n/a", None),
    ("string", {}, " x ", " x "),
    ("int64", {"null_values": ["-", ""]}, "-", None),
]


def test_casts(rows, work):
    """All in one go: a column for each case."""
    names = [f"c{number}" for number in range(len(CASTS))]
    table = pa.table(
        {name: pa.array([text, None]) for name, (_, _, text, _) in zip(names, CASTS, strict=True)}
    )
    pq.write_table(table, work / "in.parquet")
    step = cast(
        {name: {"to": kind, **options} for name, (kind, options, _, _) in zip(names, CASTS, strict=True)}
    )
    first, second = rows([step], inputs={"t": {"url": "in.parquet"}})
    assert list(first.values()) == [expected for *_, expected in CASTS]
    assert set(second.values()) == {None}


BAD_CASTS = [
    ("int64", {}, "12.7"),
    ("int64", {}, "1,5"),
    ("int64", {"thousands": ","}, "1,5"),
    ("int64", {}, "9999999999999999999"),
    ("float64", {}, "1,5"),
    ("decimal(12,2)", {}, "1.239"),
    ("decimal(4,2)", {}, "123.5"),
    ("decimal(4,2)", {}, "NaN"),
    ("bool", {}, "2"),
    ("date", {}, "2026-02-30"),
    ("date", {}, "2026-01-31 06:00"),
    ("date", {"formats": ["%d/%m/%Y"]}, "31/01/26"),
    ("date", {"formats": ["%d/%m/%Y"]}, "01/31/2026"),
    ("date", {"formats": ["%d/%m/%Y"]}, "31/01/2026 x"),
    ("date", {}, "0000-01-01"),
    ("time", {}, "25:00"),
    ("time", {}, "24:00:00"),
    ("timestamp", {}, "0000-12-31 12:00"),
    ("timestamptz", {}, "2026-01-31 06:00:00+99:99"),
    ("timestamp", {}, "2026-01-31 06:00:00+02:00"),
    ("timestamptz", {}, "2026-01-31 06:00:00"),
]


@pytest.mark.parametrize(("kind", "options", "text"), BAD_CASTS)
def test_a_value_that_is_not_of_its_type_names_file_row_and_column(run, work, kind, options, text):
    table = pa.table({"n": list(range(5)), "x": [None, None, "", text, text]})
    for name, part in {"a.parquet": table.slice(0, 2), "b.parquet": table.slice(2)}.items():
        pq.write_table(part, work / name)
    (work / "out.parquet").write_text("old")
    done = run([cast({"x": {"to": kind, **options}})], inputs={"t": {"url": "?.parquet"}})
    assert done.exit_code == 1
    assert f"etl: transform: b.parquet, row 2: column 'x': '{text}' is not of type {kind}" in done.stderr
    assert done.stderr.rstrip().endswith('or set on_error to "quarantine" or "null"')
    assert (work / "out.parquet").read_text() == "old"


@pytest.mark.parametrize("kind", [pa.float64(), pa.float32()])
@pytest.mark.parametrize(
    ("where", "kept"),
    [
        ("f > 1", [2, 4, 5]),
        ("NOT f <= 1", [2, 4, 5]),
        ("g >= 1 AND f > 1", [2, 4, 5]),
        ("f IN (0, 1)", [1, 3]),
        ("f = 'nan'", [2, 5]),
    ],
)
def test_nan_and_zeros_are_compared_by_duckdb_alone(rows, work, kind, where, kept):
    """NaN is the greatest number, and -0 is 0: as after any other step."""
    nan = float("nan")
    table = pa.table(
        {"i": list(range(1, 7)), "f": pa.array([1, nan, -0.0, float("inf"), nan, None], kind), "g": [1] * 6}
    )
    pq.write_table(table, work / "in.parquet")
    inputs = {"t": {"url": "in.parquet"}}
    for before in ([], [{"type": "sort", "by": ["i"]}, {"type": "sql", "query": "FROM rows LIMIT 9"}]):
        found = rows([*before, {"type": "filter", "where": where}], inputs=inputs)
        assert sorted(row["i"] for row in found) == kept
    assert pq.read_schema(work / "out.parquet").field("f").type == kind
    other = pa.table({"f": pa.array([0, nan], kind)})
    pq.write_table(other, work / "other.parquet")
    inputs["o"] = {"url": "other.parquet"}
    found = rows([{"type": "join", "input": "o", "on": ["f"]}], inputs=inputs, start="t")
    assert sorted(row["i"] for row in found) == [2, 3, 5]


def test_rows_that_do_not_cast_go_to_the_quarantine_or_lose_the_value(rows, run, work):
    text = "n,x,y\n" + "".join(f"{n},{'x' if n % 1000 == 7 else n},{n}\n" for n in range(1, 9001))
    types = {"x": "string"}
    step = cast({"x": "int64", "y": {"to": "decimal(9,1)"}}, on_error="quarantine")
    done = run([step], text, types=types, quarantine={"url": "bad.jsonl"})
    assert (done.report["quarantined"], done.report["rows_written"]) == (9, 8991)
    bad = [json.loads(line) for line in (work / "bad.jsonl").read_text().splitlines()]
    assert [item["place"] for item in bad] == [f"in.csv, row {1000 * n + 7}" for n in range(9)]
    assert bad[0] == {
        "place": "in.csv, row 7",
        "why": "column 'x': 'x' is not of type int64",
        "row": {"n": "7", "x": "x", "y": "7"},
    }
    done = run([step], types=types, quarantine={"url": "bad.jsonl", "max_rows": 8})
    assert "bad.jsonl: more than 8 rows are bad; the last: in.csv, row 8007" in done.stderr
    assert len((work / "bad.jsonl").read_text().splitlines()) == 9
    found = rows([cast({"x": "int64"}, on_error="null")], types=types)
    assert (len(found), found[6]) == (9000, {"n": 7, "x": None, "y": 7})
    rows([step], "n,x,y\n1,1,1\n", types=types, quarantine={"url": "bad.jsonl"})
    assert (work / "bad.jsonl").read_text() == ""


def test_a_cast_after_other_steps_and_rows_read_twice(run, work):
    """The steps after a cast read its rows twice; a bad row is written down once."""
    steps = [
        {"type": "filter", "where": "n > 1"},
        cast({"x": "int64"}, on_error="quarantine"),
        cast({"y": "int64"}, on_error="quarantine"),
        {"type": "sql", "query": "SELECT a.n, b.x FROM rows a JOIN rows b USING (n)"},
        {"type": "sort", "by": ["n"]},
    ]
    text = "n,x,y\n1,q,1\n2,q,1\n3,3,1\n4,4,q\n5,5,5\n"
    done = run(steps, text, types={"x": "string", "y": "string"}, quarantine={"url": "bad.jsonl"})
    assert done.exit_code == 0, done.stderr
    assert pq.read_table(work / "out.parquet").to_pylist() == [{"n": 3, "x": 3}, {"n": 5, "x": 5}]
    bad = [json.loads(line)["place"] for line in (work / "bad.jsonl").read_text().splitlines()]
    assert bad == ["step 2 (cast), row 1", "step 3 (cast), row 2"]


def test_rename_select_filter_derive_sort(rows):
    steps = [
        {"type": "rename", "columns": {"a": "b", "b": "a"}},
        {"type": "derive", "columns": {"c": "a + b -- a comment", "a": "a * 10"}},
        {"type": "filter", "where": "c <> 5"},
        {"type": "sort", "by": ["-c"]},
        {"type": "select", "columns": ["c", "a"]},
    ]
    assert rows(steps, "a,b\n1,2\n2,3\n9,1\n") == [{"c": 10, "a": 10}, {"c": 3, "a": 20}]


def test_melt(rows):
    text = "code,name,2026-01,2026-02,2026-03\nA,x,1,,3\nB,y,4,5,6\n"
    melt = {"type": "melt", "columns": r"\d{4}-\d{2}", "name": "week", "value": "price"}
    assert [tuple(row.values()) for row in rows([melt], text)] == [
        ("A", "x", "2026-01", 1),
        ("A", "x", "2026-03", 3),
        ("B", "y", "2026-01", 4),
        ("B", "y", "2026-02", 5),
        ("B", "y", "2026-03", 6),
    ]
    assert len(rows([melt | {"keep_nulls": True}])) == 6
    assert {row["week"] for row in rows([melt | {"last": 1}])} == {"2026-03"}


def test_aggregate_and_window_average(rows):
    text = "k,w,x\n" + "".join(f"{k},{w},{w * (1 if k == 'a' else 10)}\n" for w in (3, 1, 2, 4) for k in "ab")
    average = {
        "type": "window_average",
        "column": "x",
        "by": ["k"],
        "order_by": ["w"],
        "rows": 3,
        "name": "m",
    }
    order = {"type": "sort", "by": ["k", "w"]}
    assert [row["m"] for row in rows([average, order], text)] == [1, 1.5, 2, 3, 10, 15, 20, 30]
    assert [row["m"] for row in rows([average | {"whole": True}, order])] == [
        None,
        None,
        2,
        3,
        None,
        None,
        20,
        30,
    ]
    total = {"type": "aggregate", "by": ["k"], "values": {"n": "count(*)", "s": "sum(x)::BIGINT"}}
    assert rows([total, {"type": "sort", "by": ["k"]}]) == [
        {"k": "a", "n": 4, "s": 10},
        {"k": "b", "n": 4, "s": 100},
    ]
    assert rows([{"type": "aggregate", "values": {"n": "count(*)"}}]) == [{"n": 8}]


def test_deduplicate(rows):
    text = "k,v\na,1\nb,5\na,3\na,2\nb,5\n"
    step = {"type": "deduplicate", "key": ["k"]}
    pairs = lambda *steps: [tuple(row.values()) for row in rows(list(steps), text)]  # noqa: E731
    assert pairs(step) == [("a", 1), ("b", 5)]
    assert pairs(step | {"keep": "last"}) == [("a", 2), ("b", 5)]
    assert pairs(step | {"order_by": ["-v"]}) == [("b", 5), ("a", 3)]
    assert pairs(step | {"order_by": ["v"], "keep": "last"}) == [("a", 3), ("b", 5)]
    assert pairs({"type": "deduplicate"}) == [("a", 1), ("b", 5), ("a", 3), ("a", 2)]


def test_join(rows, work):
    (work / "codes.csv").write_text("code,label\na,Alpha\nb,Beta\n")
    (work / "in.csv").write_text("k,v\na,1\nc,2\n")
    more = {"inputs": {"values": {"url": "in.csv"}, "codes": {"url": "codes.csv"}}, "start": "values"}
    join = {"type": "join", "input": "codes", "on": {"k": "code"}}
    order = {"type": "sort", "by": ["k"]}
    assert rows([join], **more) == [{"k": "a", "v": 1, "label": "Alpha"}]
    left = rows([join | {"how": "left"}, order], **more)
    assert left == [{"k": "a", "v": 1, "label": "Alpha"}, {"k": "c", "v": 2, "label": None}]
    assert rows([join | {"how": "semi"}], **more) == [{"k": "a", "v": 1}]
    assert rows([join | {"how": "anti"}], **more) == [{"k": "c", "v": 2}]
    named = [{"type": "rename", "columns": {"k": "code"}}, join | {"on": ["code"]}]
    assert rows(named, **more) == [{"code": "a", "v": 1, "label": "Alpha"}]


def test_sql_among_the_steps(rows):
    steps = [
        cast({"a": "int64"}),
        {"type": "sql", "query": "SELECT a, (SELECT count(*) FROM input) AS n FROM rows WHERE a > 1;"},
        {"type": "derive", "columns": {"b": "a + n"}},
    ]
    assert rows(steps, "a\n1\n2\n", types={"a": "string"}) == [{"a": 2, "n": 2, "b": 4}]


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (
            {"type": "rename", "columns": {"q": "r"}},
            "step 1 (rename): column 'q' is not there; the columns are a, b",
        ),
        ({"type": "rename", "columns": {"a": "B"}}, "step 1 (rename): two columns are named 'b'"),
        (cast({"q": "int64"}), "step 1 (cast): column 'q' is not there"),
        (
            {"type": "filter", "where": "q > 1"},
            'step 1 (filter): Binder Error: Referenced column "q" not found',
        ),
        ({"type": "filter", "where": "a > "}, "step 1 (filter): Parser Error"),
        ({"type": "filter", "where": "1); DELETE FROM x; SELECT (1"}, "step 1 (filter): "),
        (
            {"type": "derive", "columns": {"c": "a"}, "x": 1},
            "steps[0].x: unknown key; known keys: type, columns",
        ),
        (
            {"type": "melt", "columns": "w.*", "name": "n", "value": "v"},
            "step 1 (melt): no column matches 'w.*'",
        ),
        ({"type": "join", "input": "codes", "on": ["a"]}, "step 1 (join): there is no input 'codes'"),
        ({"type": "sort", "by": ["-q"]}, "step 1 (sort): column 'q' is not there"),
        ({"type": "sql", "query": "SELECT * FROM nowhere"}, "step 1 (sql): Catalog Error"),
        ({"type": "sql", "query": "SELECT * FROM read_csv('/etc/passwd')"}, "step 1 (sql): Permission Error"),
        ({"type": "aggregate", "values": {"n": "sum(b)"}}, "step 1 (aggregate): Binder Error"),
    ],
)
def test_a_step_that_makes_no_sense_is_named(run, work, step, message):
    done = run([step], "a,b\n1,x\n")
    assert done.exit_code in {1, 2}
    assert len(done.stderr.splitlines()) == 1
    assert message in done.stderr
    assert not (work / "out.parquet").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": [cast({"a": "integer"})]}, "steps[0].columns.a.to: 'integer' is not one of"),
        ({"steps": [cast({"a": {"to": "date", "formats": ["%Q"]}})]}, "formats[0]: '%Q' is no format"),
        ({"steps": [cast({"a": {"to": "date", "formats": ["%d %z"]}})]}, "%z is for timestamptz"),
        ({"steps": [cast({"a": {"to": "int64", "formats": ["%d"]}})]}, "formats mean nothing for int64"),
        (
            {"steps": [cast({"a": {"to": "timestamptz", "formats": ["%d"]}})]},
            "times without an offset need zone",
        ),
        ({"steps": [cast({"a": {"to": "timestamptz", "zone": "Mars"}})]}, "'Mars' is no time zone"),
        (
            {"steps": [cast({"a": {"to": "float64", "thousands": "."}})]},
            "thousands and decimal_point are the same",
        ),
        (
            {"steps": [cast({"a": "int64"}, on_error="quarantine")]},
            "quarantine is missing: where the bad rows go",
        ),
        ({"quarantine": {"url": "bad.jsonl"}}, "nothing sends rows to quarantine"),
        ({"quarantine": {"url": "bad.csv"}}, "quarantine: url must end in .jsonl"),
        ({"sql": "SELECT 1"}, "give either sql or steps"),
        ({"start": "b"}, "start names the input that steps begin with"),
        ({"steps": [{"type": "sortt", "by": ["a"]}]}, "steps[0]: input tag 'sortt'"),
        (
            {"steps": [{"type": "melt", "columns": "[", "name": "n", "value": "v"}]},
            "is no regular expression",
        ),
    ],
)
def test_a_configuration_that_is_refused(run, change, message):
    steps = change.pop("steps", [{"type": "sort", "by": ["a"]}])
    done = run(steps, "a\n1\n", **change)
    assert done.exit_code == 2
    assert message in done.stderr

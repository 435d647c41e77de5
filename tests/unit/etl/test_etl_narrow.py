"""A first step that takes some columns only: the others are not even looked at, and the error of a missing one stays."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

MELT = {"type": "melt", "columns": r"w\d", "name": "week", "value": "v", "last": 2}


def steps(etl, *steps, url="x.csv", inputs=None, **options):
    source = {"url": url} | ({"options": options} if options else {})
    config = {"steps": list(steps), "sink": {"url": "out.parquet"}}
    config |= {"inputs": inputs, "start": "x"} if inputs else {"input": source}
    done = etl("transform", config)
    return done, (pq.read_table("out.parquet").to_pylist() if done.exit_code == 0 else None)


@pytest.mark.parametrize("url", ["x.csv", "x.parquet", "?.csv"])
def test_the_last_of_the_matching_columns(etl, url):
    Path("x.csv").write_text("k,w1,w2,w3\na,1,2,3\nb,4,5,6\n")
    pq.write_table(pa.table({"k": ["a", "b"], "w1": [1, 4], "w2": [2, 5], "w3": [3, 6]}), "x.parquet")
    done, found = steps(etl, MELT, url=url)
    assert done.report["rows_read"] == 2
    assert [(row["k"], row["week"], row["v"]) for row in found] == [
        *(("a", "w2", 2), ("a", "w3", 3), ("b", "w2", 5), ("b", "w3", 6))
    ]


def test_what_is_not_needed_is_not_looked_at(etl):
    Path("x.csv").write_text("k,w1,w2,w3\n" + "a,1,2,3\n" * 600_000 + "b,oops,5,6\n")
    done, found = steps(etl, MELT, {"type": "aggregate", "by": ["k"], "values": {"n": "count(*)"}})
    assert done.exit_code == 0
    assert sorted((row["k"], row["n"]) for row in found) == [("a", 1_200_000), ("b", 2)]
    whole = {key: value for key, value in MELT.items() if key != "last"}
    assert "x.csv, row 600001: column 'w1'" in steps(etl, whole)[0].stderr


def test_select_and_types(etl):
    Path("x.csv").write_text("a,b,c\n1,2,3\n")
    select = {"type": "select", "columns": ["c", "a"]}
    assert steps(etl, select, types={"a": "string", "b": "string"})[1] == [{"c": 3, "a": "1"}]
    assert "options.types names the column 'nix'" in steps(etl, select, types={"nix": "string"})[0].stderr
    missing = steps(etl, {"type": "select", "columns": ["a", "nix"]})[0]
    assert "step 1 (select): column 'nix' is not there; the columns are a, b, c" in missing.stderr


def test_an_input_that_others_read_stays_whole(etl):
    Path("x.csv").write_text("k,w1,w2,w3\na,1,2,3\n")
    join = {"type": "join", "input": "x", "on": ["k"]}
    _, found = steps(etl, MELT, join, inputs={"x": {"url": "x.csv"}})
    assert min(found, key=lambda row: row["week"]) == {
        "k": "a",
        "week": "w2",
        "v": 2,
        "w1": 1,
        "w2": 2,
        "w3": 3,
    }
    _, found = steps(etl, MELT, {"type": "sql", "query": "SELECT * FROM x"}, inputs={"x": {"url": "x.csv"}})
    assert found == [{"k": "a", "w1": 1, "w2": 2, "w3": 3}]


@pytest.mark.parametrize(("column", "line"), [("w2", "b,4,oops,6"), ("w3", "b,4,5,oops")])
def test_a_bad_value_in_a_needed_column_is_named_rightly(etl, column, line):
    Path("x.csv").write_text("k,w1,w2,w3\n" + "a,1,2,3\n" * 600_000 + line + "\n")
    bad = steps(etl, MELT)[0]
    assert (
        f"x.csv, row 600001: column '{column}': CSV conversion error to int64: invalid value 'oops'"
        in bad.stderr
    )

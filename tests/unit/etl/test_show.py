"""`etl show`: looking at what was loaded."""

import sqlite3
from pathlib import Path

import duckdb
import pytest
from batchctl_etl.main import main


def database(path: Path) -> None:
    with duckdb.connect(str(path)) as made:
        made.execute(
            "CREATE TABLE _batchctl_loads (id TEXT); CREATE TABLE t AS SELECT 1 AS n, 'one' AS word UNION ALL VALUES (22, NULL)"
        )


def test_the_first_table_of_a_database(tmp_path, capsys):
    database(tmp_path / "d.duckdb")
    assert main(["show", str(tmp_path / "d.duckdb")]) == 0
    assert capsys.readouterr().out == " n   word\n 1   one\n22\n"


def test_a_select(tmp_path, capsys):
    database(tmp_path / "d.duckdb")
    assert main(["show", str(tmp_path / "d.duckdb"), "SELECT sum(n)::INT AS total FROM t"]) == 0
    assert capsys.readouterr().out == "total\n   23\n"


def test_sqlite_and_data_files(tmp_path, capsys):
    with sqlite3.connect(tmp_path / "s.db") as made:
        made.execute("CREATE TABLE t AS SELECT 'x' AS a")
    made.close()
    (tmp_path / "f.csv").write_text("a\nx\ny\n")
    duckdb.sql("SELECT 'x' AS a").write_parquet(str(tmp_path / "o'k.parquet"))
    for name in ("s.db", "f.csv", "o'k.parquet"):
        assert main(["show", str(tmp_path / name), "--rows", "1"]) == 0
        assert capsys.readouterr().out == "a\nx\n"


@pytest.mark.parametrize(
    ("sql", "message"), [("SELECT nothing FROM t", "nothing"), ("DROP TABLE t", "read-only")]
)
def test_it_changes_nothing_and_says_what_is_wrong(tmp_path, capsys, sql, message):
    database(tmp_path / "d.duckdb")
    assert main(["show", str(tmp_path / "d.duckdb"), sql]) == 1
    assert message in capsys.readouterr().err
    assert main(["show", str(tmp_path / "gone.duckdb")]) == 1
    assert "there is no such file" in capsys.readouterr().err

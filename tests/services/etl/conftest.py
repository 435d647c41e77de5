"""The stages as a user runs them, in this process, with real services behind their URLs."""

import json
import os
import signal
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from batchctl_etl.main import main

DSN = "WAREHOUSE_DSN"
"""The variable with PostgreSQL's connection string."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one call of `etl` did."""

    exit_code: int
    report: dict[str, Any]
    stderr: str


Etl = Callable[..., Outcome]


@pytest.fixture
def etl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Etl]:
    """`etl("load", config, run="r1")`: run a stage in `tmp_path`; no test may leave a file in TMPDIR."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    for name in list(os.environ):
        if name.startswith(("BATCHCTL_", "AZURE_", "AZ_")):
            monkeypatch.delenv(name)
    previous = signal.getsignal(signal.SIGTERM)

    def run(stage: str, config: Any, *, run: str | None = None) -> Outcome:
        with monkeypatch.context() as patch:
            patch.setenv("BATCHCTL_CONFIG", json.dumps(config))
            if run is not None:
                patch.setenv("BATCHCTL_RUN", run)
                patch.setenv("AZ_BATCH_TASK_ID", "load")
            exit_code = main([stage])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        report = json.loads(captured.out) if captured.out else {}
        return Outcome(exit_code=exit_code, report=report, stderr=captured.err)

    yield run
    signal.signal(signal.SIGTERM, previous)
    assert list(temporary.iterdir()) == []


@dataclass(frozen=True, kw_only=True)
class Database:
    """A schema of its own in PostgreSQL, `@S` in SQL, and how to load into it, read from it and ask it."""

    dsn: str
    schema: str
    work: Path
    etl: Etl

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute("SET timezone = 'UTC'")
            cursor = connection.execute(sql.replace("@S", self.schema).encode())
            return cursor.fetchall() if cursor.description else []

    def load(
        self,
        text: str | None = None,
        *,
        run: str | None = None,
        mode: str = "append",
        table: str = "t",
        rows: pa.Table | None = None,
        **more: Any,
    ) -> Outcome:
        source = {"url": "in.csv"} if rows is None else {"url": "in.parquet"}
        if text is not None:
            (self.work / "in.csv").write_text(text)
        if rows is not None:
            pq.write_table(rows, self.work / "in.parquet")
        sink = {"type": "postgres", "dsn_env": DSN, "db_schema": self.schema, "table": table, "mode": mode}
        return self.etl("load", {"source": source, "sink": sink | more}, run=run)

    def read(self, query: str, sql: str = "SELECT * FROM input", sink: str = "out.parquet") -> Outcome:
        source = {"type": "postgres", "dsn_env": DSN, "query": query.replace("@S", self.schema)}
        return self.etl("transform", {"input": source, "sql": sql, "sink": {"url": sink}})

    def back(self, query: str) -> pa.Table:
        done = self.read(query)
        assert done.exit_code == 0, done.stderr
        return pq.read_table(self.work / "out.parquet")

    def rows(self) -> list[tuple[Any, ...]]:
        return sorted(self.ask("SELECT * FROM @S.t"))


@pytest.fixture
def db(postgres: str, etl: Etl, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Database]:
    monkeypatch.setenv(DSN, postgres)
    database = Database(dsn=postgres, schema=f"s{uuid.uuid4().hex[:8]}", work=tmp_path, etl=etl)
    database.ask("CREATE SCHEMA @S")
    yield database
    database.ask("DROP SCHEMA @S CASCADE")

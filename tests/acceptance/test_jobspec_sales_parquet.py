"""jobspecs/sales-parquet.yaml: PostgreSQL in chunks to a registered dataset in Azure, amounts worked out once more."""

import io
import json
import uuid
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import psycopg
import pyarrow.parquet as pq
import pytest
from batchctl_etl.main import main

from tests.acceptance.conftest import ROOT, Project
from tests.acceptance.jobspec_services import BlobLake

pytest_plugins = ["tests.acceptance.jobspec_services"]
SPEC = "jobspecs/sales-parquet.yaml"


@pytest.fixture
def shop(postgres: str) -> str:
    """A database with the sample's sales."""
    name = f"shop_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(postgres, autocommit=True) as db:
        db.execute(f"CREATE DATABASE {name}".encode())
    dsn = postgres.rpartition("/")[0] + f"/{name}"
    with psycopg.connect(dsn) as db:
        db.execute((ROOT / "jobspecs/samples/sales.sql").read_bytes())
    return dsn


def expected(dsn: str) -> list[tuple[Any, ...]]:
    """Every sale with its amount, by id."""
    with psycopg.connect(dsn) as db:
        db.execute("SET TimeZone = 'UTC'")
        rows = db.execute(
            "SELECT * FROM sales WHERE sold_at < '2026-04-01 00:00:00+00' ORDER BY id"
        ).fetchall()
    found = []
    for row in rows:
        quantity, price, discount = row[3:6]
        amount = quantity * price * (1 - (discount or 0))
        found.append((*row, Decimal(amount).quantize(Decimal("0.01"), ROUND_HALF_UP)))
    return found


def test_sales_parquet(
    project: Project,
    blob_lake: BlobLake,
    shop: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    project.copy("jobspecs")
    blob_lake.use_in(project, SPEC, "staging", "curated")
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", blob_lake.connection)
    wanted = expected(shop)
    assert len(wanted) > 9000
    versions: list[str] = []
    for _ in range(2):
        run = project("run", SPEC, "-p", f"shop={shop}", "-o", "json").json
        assert (run["state"], len(run["tasks"])) == ("succeeded", 4)
        assert main(["datasets", "show", f"{blob_lake.url}/curated/catalogue", "sales", "-o", "json"]) == 0
        found = json.loads(capsys.readouterr().out)
        versions = [found["version"], *versions]
        assert found["versions"] == versions
        assert (found["rows"], found["producer"]["run"]) == (len(wanted), run["run"])
        assert (found["producer"]["pipeline"], found["producer"]["task"]) == ("sales-parquet", "register")
        assert (found["tags"], found["contract"]) == (["sales", "gold"], "evolve")
        (name,) = blob_lake.names(f"curated/sales/{found['version']}/")
        body = blob_lake.container.download_blob(name).readall()
        assert found["bytes"] == len(body)
        table = pq.read_table(io.BytesIO(body)).sort_by("id")
        assert [{"name": field.name, "type": str(field.type)} for field in table.schema] == found["columns"]
        assert [tuple(row.values()) for row in table.to_pylist()] == wanted
        assert len(blob_lake.names(f"staging/sales/{run['run']}/")) == 3
    assert main(["datasets", "diff", f"{blob_lake.url}/curated/catalogue", "sales"]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == ["  no difference"]

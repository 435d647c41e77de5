"""jobspecs/prices.yaml: an API, raw and staging in Azure, a table in PostgreSQL; the averages worked out once more."""

import json
import uuid
from datetime import date, timedelta
from statistics import mean
from urllib.request import urlopen

import psycopg
import pytest

from tests.acceptance.conftest import Project
from tests.acceptance.jobspec_services import BlobLake
from tests.acceptance.key_vault import KeyVault

pytest_plugins = ["tests.acceptance.jobspec_services"]
SPEC = "jobspecs/prices.yaml"
LAST_MONDAY = date(2026, 1, 19)
WEEKS = 11
PASSWORD = "correct-horse-battery"


def expected(api: str) -> dict[tuple[str, str, date], tuple[float, int, float | None]]:
    """(code, kind, Monday) -> average of the week, its days with prices, average of ten weeks."""
    found = {}
    mondays = [LAST_MONDAY - timedelta(weeks=back) for back in reversed(range(WEEKS))]
    for code in ("WHEAT", "OATS", "RICE"):
        weekly: dict[str, list[float]] = {"open": [], "high": [], "low": [], "close": []}
        for monday in mondays:
            rows = []
            for day in range(7):
                with urlopen(f"{api}/prices?code={code}&day={monday + timedelta(days=day)}") as answer:
                    rows += json.load(answer)["data"]
            for kind, averages in weekly.items():
                averages.append(mean(row[kind] for row in rows))
                ten = mean(averages[-10:]) if len(averages) >= 10 else None
                found[code, kind, monday] = (averages[-1], len(rows), ten)
    return found


@pytest.fixture
def warehouse(postgres: str) -> str:
    """The connection string of an empty database, with a password that nobody may see."""
    name = f"prices_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(postgres, autocommit=True) as db:
        db.execute(f"CREATE DATABASE {name}".encode())
    return postgres.replace("postgres@", f"postgres:{PASSWORD}@").rpartition("/")[0] + f"/{name}"


def test_prices(
    project: Project, blob_lake: BlobLake, warehouse: str, key_vault: KeyVault, prices_api: str
) -> None:
    project.copy("jobspecs")
    blob_lake.hold(project, "raw", "staging")
    key_vault.secrets["kv-etl/warehouse-dsn"] = warehouse
    project.give_tasks(SPEC, AZURE_STORAGE_CONNECTION_STRING=blob_lake.connection, **key_vault.environment)
    wanted = expected(prices_api)
    new_year = date(2025, 12, 29)
    # All weeks; the last one once more; that of January 1, whose missing prices are kept now.
    for weeks, no_data, missing in ((list(range(WEEKS)), "drop", 0), ([0], "drop", 0), ([3], "keep", 1)):
        given = [f"api={prices_api}", f"weeks={weeks}", f"no_data={no_data}"]
        options = [word for text in given for word in ("-p", text)]
        report = project("run", SPEC, "--at", "2026-01-26T05:00:00Z", *options, "-o", "json").json
        assert report["state"] == "succeeded"
        with psycopg.connect(warehouse) as db:
            rows = db.execute(
                "SELECT code, kind, week, price, days, missing, ten_weeks FROM prices"
            ).fetchall()
        assert len(rows) == len(wanted) == 3 * 4 * WEEKS
        for code, kind, week, price, days, absent, ten_weeks in rows:
            average, count, ten = wanted[code, kind, week]
            assert (price, days) == (pytest.approx(average, abs=1e-9), count)
            assert absent == (missing if week == new_year else 0)
            assert ten_weeks == (None if ten is None else pytest.approx(ten, abs=1e-9))
    mondays = [LAST_MONDAY - timedelta(weeks=back) for back in reversed(range(WEEKS))]
    assert blob_lake.names("raw/prices/") == [f"raw/prices/{monday}.jsonl" for monday in mondays]
    counts = json.loads(blob_lake.container.download_blob("staging/prices/counts.json").readall())
    assert [item["rows"] for item in counts["counts"]] == [len(wanted)] * 3
    written = [path for path in project.folder.rglob("*") if path.is_file()]
    assert any("record.json" in path.name for path in written)
    assert [path for path in written if PASSWORD.encode() in path.read_bytes()] == []


def test_a_secret_that_is_not_there_fails_the_load_alone(
    project: Project, blob_lake: BlobLake, key_vault: KeyVault, prices_api: str
) -> None:
    project.copy("jobspecs")
    blob_lake.hold(project, "raw", "staging")
    key_vault.secrets.clear()
    project.give_tasks(SPEC, AZURE_STORAGE_CONNECTION_STRING=blob_lake.connection, **key_vault.environment)
    given = ["-p", f"api={prices_api}", "-p", 'codes=["OATS"]', "--at", "2026-01-26T05:00:00Z"]
    done = project("run", SPEC, *given, code=6)
    assert "load failed: exit code 125" in done.err
    assert "kv://kv-etl/warehouse-dsn: cannot be read: not found" in done.err
    assert blob_lake.names("raw/prices/") == ["raw/prices/2026-01-19.jsonl"]
    assert blob_lake.names("staging/prices/averages.parquet")

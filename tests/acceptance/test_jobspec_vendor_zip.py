"""jobspecs/vendor-zip.yaml: three archives to four tables of PostgreSQL, worked out once more in plain Python."""

import io
import json
import uuid
import zipfile
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from tests.acceptance.conftest import ROOT, Project

pytest_plugins = ["tests.acceptance.jobspec_services"]
SPEC = "jobspecs/vendor-zip.yaml"
SAMPLES = ROOT / "jobspecs" / "samples" / "vendor"
Rows = list[dict[str, Any]]


def members(archive: bytes) -> dict[str, Rows]:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return {
            name: [json.loads(line) for line in opened.read(name).decode().splitlines()]
            for name in opened.namelist()
        }


def day(text: str) -> date | None:
    for form in ("%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y"):
        try:
            return datetime.strptime(text, form).replace(tzinfo=UTC).date()
        except ValueError:
            continue
    return None


def expected() -> tuple[dict[str, set[tuple[Any, ...]]], dict[str, int]]:
    """The rows of each table, and how many rows of each are put aside."""
    found = {
        name: rows
        for path in sorted(SAMPLES.glob("*.zip"))
        for name, rows in members(path.read_bytes()).items()
    }
    customers = {row["customer_id"]: row for row in found["customers.jsonl"] if day(row["signup"])}
    prices = {}
    for name in sorted(name for name in found if name.startswith("products/")):
        for row in found[name]:
            price = Decimal(row["price"].removesuffix(" EUR").replace(".", "").replace(",", "."))
            prices[row["sku"]] = (row["sku"], row["title"], price, date.fromisoformat(row["updated"]))
    orders = {row["order_id"]: row for row in found["orders.jsonl"] if row["customer_id"] in customers}
    lines = [row for row in found["order_lines.jsonl"] if row["order_id"] in orders]
    tables: dict[str, set[tuple[Any, ...]]] = {
        "customers": {(row["customer_id"], row["name"], day(row["signup"])) for row in customers.values()},
        "products": set(prices.values()),
        "orders": {
            (
                row["order_id"],
                row["customer_id"],
                datetime.fromisoformat(row["ordered_at"]).timestamp(),
                row["paid"] == "yes",
            )
            for row in orders.values()
        },
        "order_lines": {
            (
                row["order_id"],
                row["line"],
                row["sku"],
                row["quantity"],
                row["quantity"] * prices[row["sku"]][2],
            )
            for row in lines
        },
    }
    aside = {
        "customers": len(found["customers.jsonl"]) - len(customers),
        "orders": len(found["orders.jsonl"]) - len(orders),
        "order_lines": len(found["order_lines.jsonl"]) - len(lines),
    }
    return tables, aside


COLUMNS = {
    "customers": "customer_id, name, signup",
    "products": "sku, title, price, updated",
    "orders": "order_id, customer_id, extract(epoch FROM ordered_at)::float8, paid",
    "order_lines": "order_id, line, sku, quantity, amount",
}


@pytest.fixture
def warehouse(postgres: str) -> str:
    """The connection string of an empty database."""
    name = f"vendor_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(postgres, autocommit=True) as db:
        db.execute(f"CREATE DATABASE {name}".encode())
    return postgres.rpartition("/")[0] + f"/{name}"


def loaded(warehouse: str) -> dict[str, list[tuple[Any, ...]]]:
    with psycopg.connect(warehouse) as db:
        return {
            table: db.execute(f"SELECT {columns} FROM {table}".encode()).fetchall()
            for table, columns in COLUMNS.items()
        }


def test_vendor_zip(project: Project, warehouse: str) -> None:
    project.copy("jobspecs")
    tables, aside = expected()
    assert (len(tables["orders"]), aside) == (116, {"customers": 1, "orders": 4, "order_lines": 10})
    stays = (999, "no longer sent", date(2020, 1, 1))
    for again in (False, True):
        done = project("run", SPEC, "-p", f"warehouse={warehouse}", "-o", "json").json
        assert done["state"] == "succeeded"
        found = loaded(warehouse)
        if again:
            found["customers"].remove(stays)
        for table, rows in tables.items():
            assert len(found[table]) == len(rows)
            assert set(found[table]) == rows
        # Merged: what is missing comes again, what was changed is put right, what is nobody's stays.
        with psycopg.connect(warehouse) as db:
            db.execute("DELETE FROM order_lines WHERE line = 2")
            db.execute("UPDATE products SET price = 0")
            db.execute("INSERT INTO customers VALUES (%s, %s, %s) ON CONFLICT DO NOTHING", stays)
    folder = project.folder / ".batchctl/lake/staging/vendor/bad"
    assert {path.stem: len(path.read_text().splitlines()) for path in folder.iterdir()} == aside
    assert "column 'signup': 'soon' is not of type date" in (folder / "customers.jsonl").read_text()


def test_a_delivery_that_fails_a_check_loads_nothing(project: Project, warehouse: str) -> None:
    project.copy("jobspecs")
    with zipfile.ZipFile(SAMPLES / "orders.zip") as archive:
        orders, lines = archive.read("orders.jsonl"), archive.read("order_lines.jsonl")
    with zipfile.ZipFile(project.folder / "jobspecs/samples/vendor/orders.zip", "w") as archive:
        archive.writestr("orders.jsonl", orders)
        archive.writestr("order_lines.jsonl", lines + lines.splitlines(keepends=True)[0])
    done = project("run", SPEC, "-p", f"warehouse={warehouse}", code=6)
    assert "order-lines failed: exit code 3" in done.err
    assert "check unique(order_id, line) failed: 2 of 301 rows, the first is row 1" in done.err
    with psycopg.connect(warehouse) as db:
        assert db.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)


def test_the_archives_are_what_the_program_makes(samples: dict[str, Any]) -> None:
    made = samples["vendor_archives"]()
    assert sorted(made) == sorted(path.stem for path in SAMPLES.iterdir())
    for name, content in made.items():
        assert (
            members((SAMPLES / f"{name}.zip").read_bytes()) == members(samples["zipped"](content)) == content
        )

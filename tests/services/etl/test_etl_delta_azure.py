"""Delta tables in Azure Blob Storage (Azurite)."""

import uuid

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from azure.storage.blob import BlobServiceClient
from batchctl_etl.main import main

ROWS = [{"i": 1, "v": "a"}, {"i": 2, "v": "b"}]


@pytest.fixture
def folder(azurite, monkeypatch):
    """The URL of an empty container."""
    name = f"c{uuid.uuid4().hex}"
    with BlobServiceClient.from_connection_string(azurite) as service:
        service.create_container(name).close()
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", azurite)
    return f"az://devstoreaccount1/{name}"


@pytest.fixture
def load(etl, folder, monkeypatch, azurite):
    def run(rows, run="r1", **sink):
        monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", azurite)
        pq.write_table(pa.Table.from_pylist(rows), "in.parquet")
        config = {"type": "delta", "url": f"{folder}/lake/t/", "mode": "append"} | sink
        return etl("load", {"source": {"url": "in.parquet"}, "sink": config}, run=run)

    return run


def read(etl, folder, **source):
    config = {"input": {"type": "delta", "url": f"{folder}/lake/t"} | source, "sql": "FROM input ORDER BY i"}
    done = etl("transform", config | {"sink": {"url": "out.parquet"}})
    assert done.exit_code == 0, done.stderr
    return pq.read_table("out.parquet").to_pylist()


def test_all_modes_and_time_travel(etl, load, folder):
    assert load(ROWS).report["rows_written"] == 2
    assert load(ROWS).report["already_loaded"]
    assert load([{"i": 2, "v": "new"}, {"i": 3, "v": "c"}], mode="merge", key=["i"]).exit_code == 0
    assert [row["v"] for row in read(etl, folder)] == ["a", "new", "c"]
    assert load([{"i": 9, "v": "z"}], run="r2", mode="overwrite").report["version"] == 2
    assert read(etl, folder) == [{"i": 9, "v": "z"}]
    assert read(etl, folder, version=0) == ROWS


def test_upkeep(load, folder, capsys):
    load(ROWS)
    load(ROWS, run="r2")
    for arguments in (["optimize"], ["vacuum", "--retention-hours", "0", "--force"], ["history"]):
        assert main(["delta", arguments[0], f"{folder}/lake/t", *arguments[1:]]) == 0
    assert "OPTIMIZE" in capsys.readouterr().out


def test_what_goes_wrong_is_told_without_a_key(load, monkeypatch, azurite):
    secret = azurite.partition("AccountKey=")[2].partition(";")[0]
    gone = load(ROWS, url="az://devstoreaccount1/nowhere/t")
    assert gone.exit_code == 1
    assert "make the container, or check the URL" in gone.stderr
    other = load(ROWS, url="az://someoneelse/c123/t")
    assert (other.exit_code, "is for account 'devstoreaccount1'" in other.stderr) == (2, True)
    assert secret not in gone.stderr + other.stderr


def test_without_a_connection_string_the_identity_s_token_is_used(monkeypatch):
    from batchctl_etl.storage import azure_client
    from batchctl_etl.storage.locations import location

    class Credential:
        def get_token(self, scope):
            assert scope == "https://storage.azure.com/.default"
            return type("Token", (), {"token": "t0k3n"})

    monkeypatch.delenv("AZURE_STORAGE_CONNECTION_STRING", raising=False)
    monkeypatch.setattr(azure_client, "_credential", Credential)
    options = azure_client.object_store_options(location("az://someaccount/lake/t/"))
    assert options == {"account_name": "someaccount", "max_retries": "4", "token": "t0k3n"}

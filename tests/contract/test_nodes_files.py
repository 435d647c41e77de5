"""The files of a node through the official SDK."""

import shutil
from pathlib import Path

import pytest
from azure.batch import BatchClient, models
from azure.core.credentials import AzureNamedKeyCredential

from batchctl.server import LocalServer
from tests.contract.conftest import code_of, completed, eventually, job, pool, shell


@pytest.fixture
def node(batch: BatchClient) -> str:
    """A node on which a task has written files."""
    batch.create_pool(pool(nodes=1))
    batch.create_job(job())
    script = "echo hello; mkdir -p deep/er; echo 12345 > deep/er/numbers.txt; echo shared > $AZ_BATCH_NODE_SHARED_DIR/s"
    batch.create_task("daily", shell("a", script))
    completed(batch, "daily", "a")
    (found,) = batch.list_nodes("etl")
    return str(found.id)


def names(batch: BatchClient, node: str, **more: object) -> list[str]:
    return [file.name for file in batch.list_node_files("etl", node, **more)]


def test_the_folders_of_a_node(batch: BatchClient, node: str) -> None:
    assert names(batch, node) == ["applications", "fsmounts", "shared", "startup", "volatile", "workitems"]
    everything = names(batch, node, recursive=True, max_results=3)
    assert "workitems/daily/job-1/a/stdout.txt" in everything
    assert "workitems/daily/job-1/a/wd/deep/er/numbers.txt" in everything
    assert everything == sorted(everything)
    listed = {file.name: file for file in batch.list_node_files("etl", node, recursive=True)}
    assert listed["shared"].is_directory
    assert listed["shared/s"]["properties"]["contentLength"] == "7"
    assert listed["shared/s"].url.endswith(f"/pools/etl/nodes/{node}/files/shared/s")
    found = names(batch, node, recursive=True, filter="startswith(name, 'workitems/daily/job-1/a/wd/d')")
    assert found == [name for name in everything if name.startswith("workitems/daily/job-1/a/wd/d")]


def test_read_a_file(batch: BatchClient, node: str) -> None:
    path = "workitems/daily/job-1/a/wd/deep/er/numbers.txt"
    assert b"".join(batch.download_node_file("etl", node, path)) == b"12345\n"
    assert b"".join(batch.download_node_file("etl", node, path, ocp_range="bytes=1-2")) == b"23"
    properties = batch.get_node_file_properties("etl", node, path)
    assert (properties.content_length, properties.is_directory) == (6, False)
    assert properties.url.endswith("numbers.txt")
    assert code_of(lambda: b"".join(batch.download_node_file("etl", node, path, ocp_range="bytes=9-"))) == (
        416,
        "InvalidRange",
    )


def test_remove_files(batch: BatchClient, node: str) -> None:
    batch.delete_node_file("etl", node, "shared/s")
    assert "shared/s" not in names(batch, node, recursive=True)
    assert code_of(lambda: batch.delete_node_file("etl", node, "shared/s")) == (404, "FileNotFound")
    full = "workitems/daily/job-1/a/wd/deep"
    assert code_of(lambda: batch.delete_node_file("etl", node, full))[0] == 409
    batch.delete_node_file("etl", node, full, recursive=True)
    assert full not in names(batch, node, recursive=True)


@pytest.mark.parametrize("path", ["nope", "../other", "shared/../../x", "shared/s/t"])
def test_there_is_no_way_out_of_the_node(
    batch: BatchClient, server: LocalServer, node: str, path: str
) -> None:
    (server.state / "nodes" / "other").mkdir(exist_ok=True)
    status, code = code_of(lambda: b"".join(batch.download_node_file("etl", node, path)))
    assert (status, code) in ((404, "FileNotFound"), (400, "InvalidUri"))


def test_a_link_out_of_the_node_is_no_file(
    batch: BatchClient, server: LocalServer, node: str, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("secret")
    (folder,) = (path for path in (server.state / "nodes").iterdir() if path.name == node)
    (folder / "shared" / "link").symlink_to(tmp_path / "secret")
    assert code_of(lambda: b"".join(batch.download_node_file("etl", node, "shared/link"))) == (
        404,
        "FileNotFound",
    )


def test_a_removed_node_has_no_files(batch: BatchClient, node: str) -> None:
    batch.begin_remove_nodes("etl", models.BatchNodeRemoveOptions(node_ids=[node]), polling_interval=0)
    eventually(lambda: list(batch.list_nodes("etl")) == [])
    assert code_of(lambda: names(batch, node)) == (404, "NodeNotFound")


def test_a_node_whose_folders_are_gone_gets_them_again(
    batch: BatchClient, server: LocalServer, node: str
) -> None:
    server.stop()
    shutil.rmtree(server.state / "nodes" / node)
    server.start()
    batch.create_task("daily", shell("b", "echo x > $AZ_BATCH_NODE_SHARED_DIR/flag"))
    assert completed(batch, "daily", "b").execution_info.exit_code == 0
    assert "shared/flag" in names(batch, node, recursive=True)


def test_a_task_that_puts_files_in_the_place_of_folders(tmp_path: Path) -> None:
    state = tmp_path / "broken"
    with LocalServer(state, grace_seconds=0.2) as server:
        credential = AzureNamedKeyCredential(server.account, server.key)
        with BatchClient(server.endpoint, credential) as client:
            client.create_pool(pool(nodes=1))
            client.create_job(job())
            for name in ("$AZ_BATCH_NODE_SHARED_DIR", "$AZ_BATCH_NODE_ROOT_DIR/workitems/daily"):
                task_id = f"t{len(name)}"
                client.create_task("daily", shell(task_id, f"cd /; rm -r {name}; touch {name}"))
                completed(client, "daily", task_id)
            client.delete_task("daily", task_id)
            client.begin_delete_job("daily", polling_interval=0).result()
    with LocalServer(state) as server, BatchClient(server.endpoint, credential) as client:
        (found,) = client.list_nodes("etl")
        listed = {file.name: file.is_directory for file in client.list_node_files("etl", found.id)}
        assert listed["shared"], "there again"

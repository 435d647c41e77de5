"""Resource and output files of the local service's tasks, with signatures, against Azurite."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from azure.batch import BatchClient, models
from azure.core.credentials import AzureNamedKeyCredential
from azure.storage.blob import (
    AccountSasPermissions,
    BlobServiceClient,
    ContainerClient,
    ContainerSasPermissions,
    ResourceTypes,
    generate_account_sas,
    generate_container_sas,
)

from batchctl.server import LocalServer
from tests.contract.conftest import completed, job, pool, shell, text_of, upload

LARGE_BYTES = 40 * 2**20


@pytest.fixture
def container(azurite: str) -> Iterator[ContainerClient]:
    with BlobServiceClient.from_connection_string(azurite) as service:
        client = service.create_container(f"batch-{uuid.uuid4().hex}")
        yield client
        client.delete_container()


def signed(container: ContainerClient, permission: str, *, hours: int = 1) -> str:
    """The container's URL with a signature for so long; a negative time has passed."""
    expiry = datetime.now(UTC) + timedelta(hours=hours)
    assert container.account_name is not None
    token = generate_container_sas(
        container.account_name,
        container.container_name,
        account_key=container.credential.account_key,
        permission=ContainerSasPermissions.from_string(permission),
        expiry=expiry,
    )
    return f"{container.url}?{token}"


@pytest.fixture
def batch(tmp_path: Path, container: ContainerClient) -> Iterator[BatchClient]:
    assert container.account_name is not None
    token = generate_account_sas(
        container.account_name,
        container.credential.account_key,
        resource_types=ResourceTypes(container=True, object=True),
        permission=AccountSasPermissions(read=True, list=True),
        expiry=datetime.now(UTC) + timedelta(hours=1),
    )
    endpoint = container.url.rpartition("/")[0]
    with LocalServer(tmp_path / "state", auto_storage=f"{endpoint}?{token}", grace_seconds=0.2) as server:
        credential = AzureNamedKeyCredential(server.account, server.key)
        with BatchClient(server.endpoint, credential, retry_total=0) as client:
            client.create_pool(pool())
            client.create_job(job())
            yield client


def run(batch: BatchClient, script: str, name: str = "a", **more: object) -> models.BatchTaskExecutionInfo:
    batch.create_task("daily", shell(name, script, **more))
    return completed(batch, "daily", name).execution_info


def test_blobs_come_by_url_and_by_container(batch: BatchClient, container: ContainerClient) -> None:
    for name in ("in/a.txt", "in/deep/b c+d.txt", "other.txt"):
        container.upload_blob(name, name.encode())
    address, _, token = signed(container, "rl").partition("?")
    files = [
        models.ResourceFile(http_url=f"{address}/in/a.txt?{token}", file_path="one.txt"),
        models.ResourceFile(storage_container_url=f"{address}?{token}", blob_prefix="in/", file_path="all"),
        models.ResourceFile(auto_storage_container_name=container.container_name, blob_prefix="oth"),
    ]
    info = run(batch, 'cat one.txt all/in/a.txt "all/in/deep/b c+d.txt" other.txt', resource_files=files)
    assert info.exit_code == 0
    assert text_of(batch, "daily", "a") == "in/a.txt" * 2 + "in/deep/b c+d.txt" + "other.txt"


@pytest.mark.parametrize(
    ("permission", "hours", "name", "code"),
    [
        ("r", 1, "missing", "BlobNotFound"),
        ("w", 1, "there", "BlobAccessDenied"),
        ("r", -1, "there", "BlobAccessDenied"),
    ],
)
def test_what_the_store_refuses(
    batch: BatchClient, container: ContainerClient, permission: str, hours: int, name: str, code: str
) -> None:
    container.upload_blob("there", b"x")
    address, _, token = signed(container, permission, hours=hours).partition("?")
    files = [models.ResourceFile(http_url=f"{address}/{name}?{token}", file_path="x")]
    info = run(batch, "true", resource_files=files)
    assert (info.result, info.failure_info.code) == ("failure", code)


def test_output_is_uploaded(batch: BatchClient, container: ContainerClient) -> None:
    box = signed(container, "cw")
    headers = [models.OutputFileUploadHeader(name="x-ms-blob-content-type", value="text/csv")]
    files = [
        upload("../std*.txt", box, path="logs"),
        upload("**/*.csv", box, path="tables", upload_headers=headers),
        upload("large", box, path="large.bin"),
    ]
    script = (
        f'echo hi; mkdir d; echo 1 > "d/a b.csv"; head -c {LARGE_BYTES} /dev/urandom > large; sha256sum large'
    )
    assert run(batch, script, output_files=files).result == "success"
    names = [blob.name for blob in container.list_blobs()]
    assert names == ["large.bin", "logs/stderr.txt", "logs/stdout.txt", "tables/d/a b.csv"]
    settings = container.get_blob_client("tables/d/a b.csv").get_blob_properties().content_settings
    assert settings.content_type == "text/csv"
    source = models.ResourceFile(
        http_url=signed(container, "r").replace("?", "/large.bin?"), file_path="large"
    )
    assert run(batch, "sha256sum large", name="b", resource_files=[source]).exit_code == 0
    assert text_of(batch, "daily", "b") == text_of(batch, "daily", "a").removeprefix("hi\n")


def test_an_upload_without_the_right_to_write(batch: BatchClient, container: ContainerClient) -> None:
    info = run(batch, "true", output_files=[upload("../stdout.txt", signed(container, "r"))])
    assert (info.exit_code, info.failure_info.code) == (0, "FileUploadAccessDenied")
    gone = signed(container, "w").replace(container.container_name, "nowhere")
    info = run(batch, "true", name="b", output_files=[upload("../stdout.txt", gone)])
    assert info.failure_info.code == "FileUploadAccessDenied"

"""The service may open as many files as the system lets it; its tasks have the limit that it was started with."""

import resource
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from azure.batch import BatchClient, models
from azure.core.credentials import AzureNamedKeyCredential

from batchctl.server import LocalServer, open_files

SECONDS = 90.0
LOW = 200


@pytest.fixture
def hard(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (LOW, before[1]))
    monkeypatch.setattr(open_files, "ORIGINAL", (LOW, before[1]))
    yield before[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_the_limit(tmp_path: Path, hard: int) -> None:
    with LocalServer(tmp_path, grace_seconds=0.2) as server:
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
        credential = AzureNamedKeyCredential(server.account, server.key)
        with BatchClient(server.endpoint, credential) as batch:
            pool = models.BatchPoolInfo(pool_id="p")
            batch.create_pool(models.BatchPoolCreateOptions(id="p", vm_size="x", target_dedicated_nodes=1))
            batch.create_job(models.BatchJobCreateOptions(id="j", pool_info=pool))
            script = f"/bin/sh -c 'while test $(ulimit -Sn) != {LOW}; do :; done'"
            batch.create_task("j", models.BatchTaskCreateOptions(id="t", command_line=script))
            deadline = time.monotonic() + SECONDS
            while batch.get_task("j", "t").state != models.BatchTaskState.COMPLETED:
                assert time.monotonic() < deadline, "it has another limit"
                time.sleep(0.01)

"""The pytest plugin, as another project uses it: in a run of pytest of its own."""

import os
import subprocess
import sys
from pathlib import Path

TESTS = """
from azure.batch import BatchClient, models
from azure.core.credentials import AzureNamedKeyCredential
from azure.core.exceptions import HttpResponseError
import pytest

def client(service):
    return BatchClient(service.endpoint, AzureNamedKeyCredential(service.account, service.key), retry_total=0)

@pytest.mark.parametrize("turn", [1, 2])
def test_it_is_empty_every_time(batch_service, turn):
    with client(batch_service) as batch:
        assert list(batch.list_pools()) == []
        batch.create_pool(models.BatchPoolCreateOptions(id="p", vm_size="x", target_low_priority_nodes=1))

def test_faults(batch_service):
    batch_service.add_fault("throttle", operations=["list_pools"], times=1)
    batch_service.set_quota(pools=0)
    with client(batch_service) as batch:
        with pytest.raises(HttpResponseError) as caught:
            list(batch.list_pools())
        assert caught.value.status_code == 429
        with pytest.raises(HttpResponseError) as caught:
            batch.create_pool(models.BatchPoolCreateOptions(id="p", vm_size="x"))
        assert caught.value.model.code == "PoolQuotaReached"
        batch_service.clear_faults()
        batch_service.set_quota()
        batch.create_pool(models.BatchPoolCreateOptions(id="p", vm_size="x", target_low_priority_nodes=1))
        assert batch_service.preempt("p", 5) == [node.id for node in batch.list_nodes("p")]

def test_a_mistake_is_told(batch_service):
    from batchctl.errors import TargetError
    with pytest.raises(TargetError, match="fault"):
        batch_service.add_fault("rain")
"""


def test_the_plugin_in_another_project(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["batchctl.server.testing"]\n')
    (tmp_path / "test_other.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"]
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}, capture_output=True, text=True
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed" in done.stdout

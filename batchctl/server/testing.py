"""A pytest plugin: a local Batch service for other projects' tests.

    # conftest.py
    pytest_plugins = ["batchctl.server.testing"]

    # test_nightly.py
    def test_nightly(batch_service):
        client = BatchClient(batch_service.endpoint, AzureNamedKeyCredential(batch_service.account, batch_service.key))

Every test that names `batch_service` has a service of its own, empty, on a free port, with its files in pytest's
`tmp_path` and gone with the test: tasks that still run are killed. Nothing here may need more than pytest.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from batchctl.server.chaos import remote

if TYPE_CHECKING:
    from batchctl.server.local import LocalServer

GRACE_SECONDS = 0.5
"""How long a task that is killed has between SIGTERM and SIGKILL; in the service itself it is ten."""


class BatchService:
    """A running service: where it is, how to sign in, and what is to go wrong in it."""

    def __init__(self, server: "LocalServer") -> None:
        self.server = server

    @property
    def endpoint(self) -> str:
        """The account URL, `http://127.0.0.1:<port>`."""
        return self.server.endpoint

    @property
    def account(self) -> str:
        """The account's name."""
        return self.server.account

    @property
    def key(self) -> str:
        """The account's shared key, base64."""
        return self.server.key

    def add_fault(self, fault: str, **rule: Any) -> int:
        """Let something go wrong from now on: the fields of `batchctl.server.chaos.rule.Rule`. The rule's id.

        Raises TargetError for a rule that cannot be.
        """
        return int(remote.add_rule(self.server, {"fault": fault, **rule})["id"])

    def clear_faults(self) -> None:
        """Nothing goes wrong any more."""
        remote.clear_rules(self.server)

    def preempt(self, pool: str, nodes: int = 1) -> list[str]:
        """Take low-priority nodes of a pool away; which."""
        return remote.preempt(self.server, pool, nodes)

    def set_quota(self, **limits: int | None) -> None:
        """Set the account's limits (the properties of `batchctl.server.batch.quota.Quota`); the others are lifted."""
        remote.set_quota(self.server, limits)


@pytest.fixture
def batch_service(tmp_path: Path) -> Iterator[BatchService]:
    """A local Azure Batch service of this test's own."""
    from batchctl.server import LocalServer

    with LocalServer(tmp_path / "batch-service", grace_seconds=GRACE_SECONDS) as server:
        yield BatchService(server)

"""The account's quota: as configured, else as Azure Resource Manager says."""

import io
import json
from types import SimpleNamespace

import pytest
import requests
from azure.core.pipeline.transport import RequestsTransport
from azure.mgmt.batch import BatchManagementClient
from requests.adapters import BaseAdapter

from batchctl.errors import NotFound, UsageError
from batchctl.targets import quota
from batchctl.targets.quota import active_job_quota
from batchctl.targets.settings import TargetSettings, read_settings

TARGET = {
    "endpoint": "https://acct.westeurope.batch.azure.com",
    "subscription": "sub-1",
    "resource_group": "rg",
}


class Arm(BaseAdapter):
    """Answers every request with `status` and `body`."""

    def __init__(self, status, body):
        super().__init__()
        self.status, self.body, self.asked = status, body, []

    def send(self, request, **_):
        self.asked.append(request.url)
        response = requests.Response()
        response.status_code, response.request, response.url = self.status, request, request.url
        response.headers["Content-Type"] = "application/json"
        response.raw = io.BytesIO(json.dumps(self.body).encode())
        return response

    def close(self):
        pass


@pytest.fixture
def arm(monkeypatch):
    def answering(status, body):
        adapter, session = Arm(status, body), requests.Session()
        session.mount("https://", adapter)
        credential = SimpleNamespace(get_token=lambda *_, **__: SimpleNamespace(token="t", expires_on=2**40))

        def client(subscription):
            transport = RequestsTransport(session=session, session_owner=False)
            return BatchManagementClient(credential, subscription, transport=transport, retry_total=0)

        monkeypatch.setattr(quota, "_client", client)
        return adapter

    return answering


def test_azure_is_asked_for_what_is_not_configured(arm):
    asked = arm(200, {"name": "acct", "properties": {"activeJobAndJobScheduleQuota": 300}}).asked
    assert active_job_quota(TargetSettings(**TARGET)) == 300
    assert len(asked) == 1
    assert "/subscriptions/sub-1/resourceGroups/rg/providers/Microsoft.Batch/batchAccounts/acct?" in asked[0]


def test_what_is_configured_needs_no_answer(arm):
    asked = arm(500, {}).asked
    assert active_job_quota(TargetSettings(**TARGET, active_job_quota=7)) == 7
    assert active_job_quota(TargetSettings(endpoint=TARGET["endpoint"])) is None
    assert asked == []


def test_an_account_that_is_not_there(arm):
    arm(404, {"error": {"code": "ResourceNotFound", "message": "The Resource was not found."}})
    with pytest.raises(NotFound, match="could not read the quota of the account acct"):
        active_job_quota(TargetSettings(**TARGET))


def test_one_without_the_other_is_refused(tmp_path):
    (tmp_path / "batchctl.toml").write_text(
        '[targets.prod]\nendpoint = "https://a.b.batch.azure.com"\nsubscription = "s"\n'
    )
    with pytest.raises(UsageError, match="subscription and resource_group belong together"):
        read_settings("prod", cwd=tmp_path, environ={})

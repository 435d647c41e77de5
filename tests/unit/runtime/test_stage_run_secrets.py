"""Secrets: references in, values only in COMMAND's environment."""

import io
import json
from typing import Any

import pytest
import requests
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError
from azure.core.pipeline.transport import RequestsTransport
from batchctl_runtime.errors import StageError
from batchctl_runtime.key_vault import key_vault
from batchctl_runtime.secret_references import Fetch, Reference, references, secret_values

TOKEN = Reference(vault="kv-etl", name="api-token", version=None)


def test_references_are_read_from_the_variable():
    environ = {"BATCHCTL_SECRETS": '{"API_TOKEN": "kv://kv-etl/api-token", "DSN": "kv://kv-etl/dsn@1a2b"}'}
    assert references(environ) == {
        "API_TOKEN": TOKEN,
        "DSN": Reference(vault="kv-etl", name="dsn", version="1a2b"),
    }
    assert references({}) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        ('{"A": 1}', "A: not a secret reference"),
        ('{"A": "kv://vault"}', "A: not a secret reference"),
        ('{"A": "kv://vault/na/me"}', "A: not a secret reference"),
        ('{"A": "kv://evil.example.com#/name"}', "A: not a secret reference"),
        ('{"A=B": "kv://vault/name"}', "cannot name an environment variable"),
    ],
)
def test_malformed_references_are_refused(text, message):
    with pytest.raises(StageError, match=message):
        references({"BATCHCTL_SECRETS": text})


def test_a_secret_written_in_place_of_its_reference_is_not_repeated():
    with pytest.raises(StageError) as raised:
        references({"BATCHCTL_SECRETS": '{"A": "hunter2"}'})
    assert "hunter2" not in str(raised.value)


def test_each_reference_is_fetched_once():
    asked: list[Reference] = []

    def fetch(reference: Reference) -> str:
        asked.append(reference)
        return "value"

    assert secret_values({"A": TOKEN, "B": TOKEN}, fetch=fetch) == {"A": "value", "B": "value"}
    assert asked == [TOKEN]


def test_a_value_with_a_zero_byte_is_refused_without_being_shown():
    with pytest.raises(StageError, match="zero byte") as raised:
        secret_values({"A": TOKEN}, fetch=lambda _: "hun\0ter2")
    assert "ter2" not in str(raised.value)


class FakeCredential:
    """A signed-in identity, or one that cannot sign in."""

    def __init__(self, *, works: bool = True) -> None:
        self.works = works

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        if not self.works:
            raise ClientAuthenticationError("no managed identity here")
        assert scopes == ("https://vault.azure.net/.default",)
        return AccessToken("token", 2**31)


class FakeVault(requests.adapters.BaseAdapter):
    """Key Vault's side of the wire: the challenge first, then one answer; what was asked is kept."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        super().__init__()
        self.status, self.body = status, body
        self.asked: list[str] = []

    def close(self) -> None: ...

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        self.asked.append(str(request.url).partition("?")[0])
        response = requests.Response()
        response.request, response.url = request, str(request.url)
        response.headers["Content-Type"] = "application/json"
        response.status_code, response.raw = self.status, io.BytesIO(json.dumps(self.body).encode())
        if "Authorization" not in request.headers:
            response.status_code = 401
            response.headers["WWW-Authenticate"] = (
                'Bearer authorization="https://login.microsoftonline.com/t", '
                'resource="https://vault.azure.net"'
            )
        return response


def _fetch(vault: FakeVault, *, credential: FakeCredential | None = None) -> Fetch:
    session = requests.Session()
    session.mount("https://", vault)
    transport = RequestsTransport(session=session, session_owner=False)
    return key_vault(credential or FakeCredential(), transport=transport, retry_total=0)


def test_key_vault_is_asked_for_the_latest_version():
    vault = FakeVault(
        200, {"value": "hunter2", "id": "https://kv-etl.vault.azure.net/secrets/api-token/1a2b"}
    )
    assert _fetch(vault)(TOKEN) == "hunter2"
    assert set(vault.asked) == {"https://kv-etl.vault.azure.net/secrets/api-token/"}


def test_key_vault_is_asked_for_the_version_that_was_named():
    vault = FakeVault(200, {"value": "old", "id": "https://kv-etl.vault.azure.net/secrets/api-token/1a2b"})
    assert _fetch(vault)(TOKEN._replace(version="1a2b")) == "old"
    assert set(vault.asked) == {"https://kv-etl.vault.azure.net/secrets/api-token/1a2b"}


@pytest.mark.parametrize(
    ("status", "remedy"),
    [
        (403, "forbidden; give the identity the role Key Vault Secrets User"),
        (404, "not found; create it, or correct the reference"),
        (500, "(InternalError) try later"),
    ],
)
def test_a_secret_that_cannot_be_read_names_its_reference_and_the_remedy(status, remedy):
    vault = FakeVault(status, {"error": {"code": "InternalError", "message": "try later"}})
    with pytest.raises(StageError) as raised:
        _fetch(vault)(TOKEN)
    assert str(raised.value).startswith(f"kv://kv-etl/api-token: cannot be read: {remedy}")


def test_no_identity_is_said_in_plain_words():
    with pytest.raises(StageError, match="not signed in; give the pool a managed identity"):
        _fetch(FakeVault(200, {}), credential=FakeCredential(works=False))(TOKEN)


def test_a_task_whose_secrets_are_malformed_ends_with_125_and_a_record(stage_run, tmp_path):
    done = stage_run.run("touch", str(tmp_path / "ran"), BATCHCTL_SECRETS='{"API_TOKEN": "hunter2"}')
    assert done.returncode == 125
    assert not (tmp_path / "ran").exists()
    assert b"API_TOKEN: not a secret reference" in done.stderr
    assert (stage_run.attempts()[-1] / "stderr.txt").read_bytes() == done.stderr
    assert stage_run.record()["exit_code"] == 125
    assert b"hunter2" not in done.stderr


def test_values_reach_the_command_and_nothing_else(stage_run, tmp_path):
    """A `sitecustomize` stands in for the vault, so that the real process resolves and hands over a value."""
    (tmp_path / "sitecustomize.py").write_text(
        "import batchctl_runtime.key_vault as key_vault\n"
        "key_vault.key_vault = lambda: lambda reference: 'hunter2 of ' + str(reference)\n"
    )
    done = stage_run.shell(
        "echo ${#API_TOKEN} characters",
        PYTHONPATH=str(tmp_path),
        BATCHCTL_SECRETS='{"API_TOKEN": "kv://kv-etl/api-token"}',
    )
    value = "hunter2 of kv://kv-etl/api-token"
    assert (done.returncode, done.stdout) == (0, f"{len(value)} characters\n".encode())
    written = b"".join(path.read_bytes() for path in stage_run.attempts()[-1].iterdir())
    assert b"hunter2" not in written

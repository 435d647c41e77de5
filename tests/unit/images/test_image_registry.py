"""The registry's API and its sign-ins, against servers that say what a test wants."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from image_servers import Answer, Request

from batchctl.errors import NotAuthenticated, Refused, TargetError, Unreachable, UsageError
from batchctl.targets import registry_sign_in
from batchctl.targets.registry import Registry
from batchctl.targets.registry_sign_in import (
    TOKEN_USER,
    Credentials,
    docker_store,
    exchanged,
    is_loopback,
    sign_in,
    sign_ins,
)
from batchctl.targets.settings import TargetSettings

DIGEST = "sha256:" + "ab" * 32
TAG = "0123456789abcdef"
SECRET = "a-word-to-hide"
FOUND = Answer(headers={"Docker-Content-Digest": DIGEST})


def error(status: int, code: str, message: str = "said") -> Answer:
    return Answer(status, {"errors": [{"code": code, "message": message}]})


def test_the_digest_of_a_tag(serve: Any) -> None:
    server = serve(lambda request: FOUND if request.path == f"/v2/team/etl/manifests/{TAG}" else Answer(404))
    with Registry(server.host) as registry:
        assert registry.digest("team/etl", TAG) == DIGEST
        assert registry.digest("team/etl", "other") is None
    assert "oci.image.manifest.v1+json" in server.asked[0].headers["Accept"]


def test_a_registry_that_names_no_digest(serve: Any) -> None:
    server = serve(lambda request: Answer(headers={"Docker-Content-Digest": "md5:1"}))
    with Registry(server.host) as registry, pytest.raises(TargetError, match="names no digest"):
        registry.digest("etl", TAG)


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (error(401, "UNAUTHORIZED"), NotAuthenticated, "does not let us use etl: UNAUTHORIZED: said"),
        (error(403, "DENIED"), NotAuthenticated, "does not let us use etl: DENIED"),
        (error(400, "NAME_INVALID"), UsageError, "does not allow the name etl: said"),
        (error(400, "OTHER"), TargetError, "etl: OTHER: said"),
        (Answer(418, b"<html>"), TargetError, "HTTP 418"),
        (Answer(418, []), TargetError, "HTTP 418"),
        (Answer(418, {"errors": ["x"]}), TargetError, "HTTP 418"),
    ],
)
def test_what_a_registry_refuses(serve: Any, answer: Answer, kind: type[Exception], message: str) -> None:
    server = serve(lambda request: answer)
    with Registry(server.host) as registry, pytest.raises(kind, match=message) as failed:
        registry.tags("etl")
    assert type(failed.value) is kind


def test_a_busy_registry_is_asked_again(serve: Any) -> None:
    import stamina

    busy = [Answer(503), Answer(429)]
    server = serve(lambda request: busy.pop(0) if busy else FOUND)
    with stamina.set_testing(True, attempts=4), Registry(server.host) as registry:
        assert registry.digest("etl", TAG) == DIGEST
    server = serve(lambda request: Answer(503))
    with stamina.set_testing(True, attempts=4), Registry(server.host) as registry, pytest.raises(Unreachable):
        registry.digest("etl", TAG)
    assert len(server.asked) == 4


def test_nobody_listens() -> None:
    with (
        Registry("localhost:1") as registry,
        pytest.raises(Unreachable, match="no registry answers at localhost:1"),
    ):
        registry.digest("etl", TAG)


def test_tags_come_in_pages(serve: Any) -> None:
    def answer(request: Request) -> Answer:
        if "last=b" in request.path:
            return Answer(body={"tags": ["c"]})
        return Answer(
            body={"tags": ["a", "b"]}, headers={"Link": '</v2/etl/tags/list?last=b&n=2>; rel="next"'}
        )

    server = serve(answer)
    with Registry(server.host) as registry:
        assert registry.tags("etl") == ["a", "b", "c"]
    server = serve(lambda request: Answer(body={"tags": None}))
    with Registry(server.host) as registry:
        assert registry.tags("etl") == []


def stored(labels: dict[str, str]) -> Callable[[Request], Answer]:
    manifest = {"config": {"digest": "sha256:c0"}, "layers": [{"size": 3}, {"size": 4}]}
    config = {"created": "2026-01-31T06:00:00.123Z", "config": {"Labels": labels}}

    def answer(request: Request) -> Answer:
        if request.path.startswith("/v2/etl/tags/list"):
            return Answer(body={"tags": [TAG, "latest"]})
        if request.path == "/v2/etl/blobs/sha256:c0":
            return Answer(body=config)
        return Answer(body=manifest, headers={"Docker-Content-Digest": DIGEST})

    return answer


def test_only_images_of_ours_are_listed(serve: Any) -> None:
    server = serve(stored({"io.batchctl.context": "sha256:x"}))
    with Registry(server.host) as registry:
        (image,) = registry.images("etl", "etl")
    assert (image.tag, image.digest, image.download, image.created) == (
        TAG,
        DIGEST,
        7,
        "2026-01-31T06:00:00Z",
    )
    assert image.repository == f"{server.host}/etl"
    with Registry(serve(stored({})).host) as registry:
        assert registry.images("etl", "etl") == []


def test_deleting(serve: Any) -> None:
    server = serve(lambda request: Answer(202))
    with Registry(server.host) as registry:
        registry.delete("etl", DIGEST)
    assert server.lines() == [f"DELETE /v2/etl/manifests/{DIGEST}"]
    with Registry(serve(lambda request: Answer(404)).host) as registry:
        registry.delete("etl", DIGEST)
    with (
        Registry(serve(lambda request: error(405, "UNSUPPORTED")).host) as registry,
        pytest.raises(Refused, match="does not allow deleting"),
    ):
        registry.delete("etl", DIGEST)


def test_a_try_to_push_is_taken_back(serve: Any) -> None:
    server = serve(lambda request: Answer(202, headers={"Location": "/v2/etl/blobs/uploads/1?x=y"}))
    with Registry(server.host) as registry:
        registry.check_push("etl")
    assert server.lines() == ["POST /v2/etl/blobs/uploads/", "DELETE /v2/etl/blobs/uploads/1?x=y"]


def token_registry(serve: Any, check: Callable[[Request], bool]) -> Any:
    """A registry that wants a token for each action, from a realm of its own; `check` says whether the realm gives it."""

    def answer(request: Request) -> Answer:
        if request.path.startswith("/token"):
            query = parse_qs(urlsplit(request.path).query) | parse_qs(request.body.decode())
            return (
                Answer(body={"token": f"T {query['scope'][0]}"})
                if check(request)
                else error(401, "UNAUTHORIZED")
            )
        action = "pull" if request.method in ("GET", "HEAD") else "pull,push"
        scope = f"repository:etl:{action}"
        if request.headers.get("Authorization") == f"Bearer T {scope}":
            return FOUND
        challenge = f'Bearer realm="http://{server.host}/token",service="it",scope="{scope}"'
        return Answer(401, headers={"WWW-Authenticate": challenge})

    server = serve(answer)
    return server


def test_a_token_is_asked_for_once_and_again_for_more(serve: Any) -> None:
    server = token_registry(serve, lambda request: "Authorization" not in request.headers)
    with Registry(server.host) as registry:
        assert [registry.digest("etl", TAG) for _ in range(2)] == [DIGEST, DIGEST]
        assert len([line for line in server.lines() if "/token" in line]) == 1
        registry.check_push("etl")
    assert len([line for line in server.lines() if "/token" in line]) == 2
    assert "service=it" in next(line for line in server.lines() if "/token" in line)


def test_the_realm_gets_name_and_password(serve: Any) -> None:
    basic = "Basic " + base64.b64encode(f"{TOKEN_USER}:{SECRET}".encode()).decode()
    server = token_registry(serve, lambda request: request.headers.get("Authorization") == basic)
    with Registry(server.host, Credentials(username=TOKEN_USER, password=SECRET)) as registry:
        assert registry.digest("etl", TAG) == DIGEST
    assert all(SECRET not in one.path for one in server.asked)
    with (
        Registry(server.host, Credentials(username=TOKEN_USER, password="wrong")) as registry,
        pytest.raises(NotAuthenticated) as failed,
    ):
        registry.digest("etl", TAG)
    assert "wrong" not in str(failed.value)


def test_the_realm_gets_an_identity_token(serve: Any) -> None:
    server = token_registry(
        serve, lambda request: parse_qs(request.body.decode()).get("refresh_token") == [SECRET]
    )
    with Registry(server.host, Credentials(identity_token=SECRET)) as registry:
        assert registry.digest("etl", TAG) == DIGEST
    assert all(SECRET not in one.path for one in server.asked)


def test_no_password_goes_to_a_realm_that_is_not_encrypted(serve: Any) -> None:
    challenge = {"WWW-Authenticate": 'Bearer realm="ftp://elsewhere/token"'}
    server = serve(lambda request: Answer(401, headers=challenge))
    with (
        Registry(server.host, Credentials(username="a", password=SECRET)) as registry,
        pytest.raises(NotAuthenticated, match="which is not encrypted"),
    ):
        registry.digest("etl", TAG)


def test_entra_s_token_becomes_the_registry_s(serve: Any) -> None:
    server = serve(lambda request: Answer(body={"refresh_token": SECRET}))
    credentials = exchanged(f"http://{server.host}", "entra-token")
    assert credentials == Credentials(username=TOKEN_USER, password=SECRET)
    assert credentials.as_docker() == {"username": TOKEN_USER, "password": SECRET}
    (request,) = server.asked
    assert (request.method, request.path) == ("POST", "/oauth2/exchange")
    assert parse_qs(request.body.decode()) == {
        "grant_type": ["access_token"], "service": [server.host], "access_token": ["entra-token"],
    }  # fmt: skip
    assert SECRET not in repr(credentials)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answer(401, {}), NotAuthenticated),
        (Answer(403, b""), NotAuthenticated),
        (Answer(500, b""), TargetError),
        (Answer(200, {}), TargetError),
        (Answer(200, b"<html>"), TargetError),
    ],
)
def test_an_exchange_that_fails(serve: Any, answer: Answer, kind: type[Exception]) -> None:
    with pytest.raises(kind) as failed:
        exchanged(f"http://{serve(lambda request: answer).host}", SECRET)
    assert type(failed.value) is kind
    assert SECRET not in str(failed.value)


def test_nobody_to_exchange_with() -> None:
    with pytest.raises(Unreachable, match="nobody answers"):
        exchanged("http://127.0.0.1:1", SECRET)


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    return tmp_path / "config.json"


def test_docker_s_configuration(config: Path) -> None:
    assert docker_store("localhost:5000") is None
    auth = base64.b64encode(f"me:{SECRET}".encode()).decode()
    config.write_text(
        json.dumps(
            {"auths": {"localhost:5000": {"auth": auth}, "x.io": {"auth": auth, "identitytoken": "t"}}}
        )
    )
    assert docker_store("localhost:5000") == Credentials(username="me", password=SECRET)
    assert docker_store("x.io") == Credentials(identity_token="t")
    assert docker_store("y.io") is None
    assert Credentials(identity_token="t").as_docker() == {"identitytoken": "t"}


def test_a_credential_store_that_is_not_there(config: Path) -> None:
    config.write_text(json.dumps({"credsStore": "gone.exe"}))
    with pytest.raises(NotAuthenticated, match=r"docker-credential-gone\.exe not installed") as failed:
        docker_store("localhost:5000")
    assert failed.value.hint.startswith(f"credsStore and credHelpers in {config} name it")


def test_who_we_are_is_asked_in_order(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        registry_sign_in, "entra", lambda host: Credentials(username=TOKEN_USER, password=host)
    )
    named = TargetSettings(registry="a.azurecr.io", registry_username="me", registry_password=SECRET)
    assert sign_in(named, "a.azurecr.io") == Credentials(username="me", password=SECRET)
    assert sign_in(named, "b.azurecr.io") == Credentials(username=TOKEN_USER, password="b.azurecr.io")
    assert sign_in(named, "localhost:5000") is None
    with pytest.raises(UsageError, match="there is no password for it"):
        sign_in(TargetSettings(registry="x.io", registry_username="me"), "x.io")
    assert SECRET not in repr(named)


def test_only_registries_that_are_named_are_signed_in_to(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def entra(host: str) -> Credentials:
        if host.startswith("open"):
            raise NotAuthenticated("it does not know us, and lets everybody pull")
        return Credentials(username=TOKEN_USER, password=host)

    monkeypatch.setattr(registry_sign_in, "entra", entra)
    named = TargetSettings(registry="x.io/team", registry_username="me", registry_password=SECRET)
    mine = {"x.io": Credentials(username="me", password=SECRET)}
    assert sign_ins(named, ["FROM python:3", "FROM ax.io.example/b"]) == {}
    assert sign_ins(named, ["FROM x.io/base:1"]) == mine
    assert sign_ins(TargetSettings(registry="x.io"), ["FROM x.io/base:1"]) == {}, "Docker knows what it knows"
    text = "FROM a.azurecr.io/base\nCOPY --from=open.azurecr.io/tool /x /x\n# b.azurecr.io.example/c"
    assert set(sign_ins(named, [text, "x.io/other"])) == {"a.azurecr.io", "x.io"}


def test_docker_login_stands_in_for_azure_s(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(host: str) -> Credentials:
        raise NotAuthenticated("nobody is signed in")

    monkeypatch.setattr(registry_sign_in, "entra", nobody)
    with pytest.raises(NotAuthenticated):
        sign_in(TargetSettings(), "a.azurecr.io")
    auth = base64.b64encode(f"me:{SECRET}".encode()).decode()
    config.write_text(json.dumps({"auths": {"a.azurecr.io": {"auth": auth}}}))
    assert sign_in(TargetSettings(), "a.azurecr.io") == Credentials(username="me", password=SECRET)


def test_a_name_that_only_begins_like_azure_s_gets_no_token(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry_sign_in, "entra", lambda host: pytest.fail(host))
    assert sign_in(TargetSettings(), "a.azurecr.io.example.org") is None
    assert sign_in(TargetSettings(), "azurecr.io:443") is None


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("localhost", True), ("localhost:5000", True), ("127.0.0.1:5000", True), ("[::1]:5000", True), ("127.1.2.3:1", True),
     ("localhost.example.org", False), ("[::1]", True), ("[2001:db8::1]:5000", False), ("127.0.0.1.example.org", False), ("127.example.org:5000", False), ("acr.azurecr.io", False)],
)  # fmt: skip
def test_what_is_this_machine(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback

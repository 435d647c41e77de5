"""What a Docker Engine says, as we tell it: its stream, its errors. The engine is a server that says what a test wants."""

import base64
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from image_servers import Answer, Request

from batchctl.errors import (
    Conflict,
    NotAuthenticated,
    QuotaExceeded,
    SpecError,
    TargetError,
    Unreachable,
    UsageError,
)
from batchctl.targets.build_context import BuildContext, build_context
from batchctl.targets.docker_engine import Engine, PushInterrupted
from batchctl.targets.engine_stream import LayerProgress, LogLine, Reader, StreamFailed
from batchctl.targets.registry_sign_in import Credentials
from batchctl.targets.settings import TargetSettings
from batchctl.workflows.images import How, WantedImage, build_image, push_image

DIGEST = "sha256:" + "ab" * 32


def stream(*chunks: dict[str, Any], broken: bool = False) -> Answer:
    body = b"".join(json.dumps(chunk).encode() + b"\r\n" for chunk in chunks)
    return Answer(body=body, streamed=True, broken=broken)


@pytest.fixture
def context(tmp_path: Path) -> BuildContext:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nRUN false\n")
    return build_context(tmp_path)


@pytest.fixture
def engine_says(serve: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Any]:
    """`engine_says({"/build": Answer, …})`: DOCKER_HOST is an engine with these answers, by the end of the path."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))

    def start(answers: dict[str, Any]) -> Any:
        def answer(request: Request) -> Answer:
            path = request.path.partition("?")[0]
            if path.endswith("/version"):
                return Answer(body={"ApiVersion": "1.41"}, headers={"Content-Type": "application/json"})
            said = next(
                (said for end, said in answers.items() if path.endswith(end)), Answer(404, {"message": "no"})
            )
            return said.pop(0) if isinstance(said, list) else said

        server = serve(answer)
        monkeypatch.setenv("DOCKER_HOST", f"tcp://{server.host}")
        return server

    return start


def build(context: BuildContext) -> tuple[str, list[Any]]:
    events: list[Any] = []
    with Engine() as engine:
        return engine.build(context, "etl:1", {"a": "b"}, rebuild=False, show=events.append), events


def test_lines_are_whole_plain_and_without_chatter() -> None:
    events: list[Any] = []
    reader = Reader(events.append)
    texts = ["Step 1/2 : FROM x\n", " ---> 0123456789ab\n", " ---> Running in 0123456789ab\n", "\x1b[91mred", "der\x1b[0m\n",
             "10%\r20%\r\n", "\n", "Removing intermediate container 0123456789ab\n", "no end"]  # fmt: skip
    assert reader.read([{"stream": text} for text in texts] + [{"aux": {"ID": "x"}}]) == {"ID": "x"}
    assert [event.text for event in events] == ["Step 1/2 : FROM x", "redder", "20%", "no end"]


def test_layers_and_failures_of_a_stream() -> None:
    events: list[Any] = []
    chunks = [
        {"status": "The push refers to repository"},
        {"status": "Pushing", "id": "a1", "progressDetail": {"current": 1, "total": 2}},
        {"status": "Pushed", "id": "a1", "progressDetail": {}},
        {"stream": "Step 7/9 : RUN x\n"},
        {"stream": "said"},
        {"errorDetail": {"code": 3, "message": "exited "}, "error": "exited"},
        {"stream": "never"},
    ]
    with pytest.raises(StreamFailed) as failed:
        Reader(events.append).read(chunks)
    assert events[:2] == [
        LayerProgress(layer="a1", status="Pushing", current=1, total=2), LayerProgress(layer="a1", status="Pushed"),
    ]  # fmt: skip
    assert events[-1] == LogLine(text="said")
    found = failed.value
    assert (found.message, found.exit_code, found.step, found.tail) == ("exited", 3, 7, ("said",))


def test_the_stages_of_a_build_are_where_they_ended() -> None:
    texts = ["Step 1/6 : FROM x AS a\n", " ---> aaaaaaaaaaaa\n", "Step 2/6 : RUN y\n", " ---> Running in 0123456789ab\n",
             " ---> bbbbbbbbbbbb\n", "Step 3/6 : from a as only-a-name\n", " ---> bbbbbbbbbbbb\n", "Step 4/6 : FROM z AS c\n",
             " ---> cccccccccccc\n", "Step 5/6 : COPY --from=a /y /\n", " ---> Using cache\n", " ---> dddddddddddd\n",
             "Step 6/6 : FROM c\n", " ---> dddddddddddd\n"]  # fmt: skip
    reader = Reader(lambda event: None)
    reader.read({"stream": text} for text in texts)
    assert reader.stages == ["bbbbbbbbbbbb", "dddddddddddd"]


@pytest.mark.parametrize(
    "message",
    [
        f'unable to find image "{DIGEST}"',
        f"No such image: {DIGEST}",
        f"unknown parent image ID {DIGEST}",
    ],
)
def test_an_image_that_somebody_removes_while_the_engine_looks_at_it(
    engine_says: Any, context: BuildContext, message: str
) -> None:
    gone = stream({"errorDetail": {"message": message}, "error": message})
    server = engine_says({"/build": [gone, gone, stream({"aux": {"ID": DIGEST}})]})
    made, events = build(context)
    assert made == DIGEST
    assert [event.text for event in events] == [
        f"{message}: somebody has removed it meanwhile; building again"
    ] * 2
    bodies = [one.body for one in server.asked if "/build" in one.path]
    assert bodies == bodies[:1] * 3, "the whole context each time"
    engine_says({"/build": gone})
    with pytest.raises(TargetError, match=DIGEST):
        build(context)


def test_a_stage_that_cannot_be_labelled_does_no_harm(engine_says: Any, context: BuildContext) -> None:
    told = [
        {"stream": text} for text in ("Step 1/3 : FROM x\n", "Step 2/3 : RUN y\n", " ---> bbbbbbbbbbbb\n")
    ]
    whole = stream(*told, {"stream": "Step 3/3 : FROM z\n"}, {"aux": {"ID": DIGEST}})
    server = engine_says({"/build": [whole, Answer(500, {"message": "no"})]})
    assert build(context)[0] == DIGEST
    _, label = [one for one in server.asked if "/build" in one.path]
    assert "io.batchctl.stage" in label.path


def test_a_build_sends_context_labels_and_arguments(engine_says: Any, context: BuildContext) -> None:
    server = engine_says({"/build": stream({"stream": "ok\n"}, {"aux": {"ID": DIGEST}})})
    assert build(context) == (DIGEST, [LogLine(text="ok")])
    (request,) = [one for one in server.asked if "/build" in one.path]
    assert "t=etl%3A1" in request.path
    assert "labels=%7B%22a%22%3A+%22b%22%7D" in request.path
    assert b"RUN false" in request.body


def test_the_engine_is_told_who_we_are_to_a_base_image_s_registry(
    engine_says: Any, context: BuildContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = engine_says(
        {
            "/auth": Answer(body={"Status": "in"}),
            "/build": stream({"aux": {"ID": DIGEST}}),
            "/json": Answer(404),
        }
    )
    (context.folder / "Dockerfile").write_text("FROM x.io/base:1\nRUN false\n")
    image = WantedImage(name="etl", repository="x.io/etl", context=build_context(context.folder))
    target = TargetSettings(registry="x.io", registry_username="me", registry_password="hidden-word")
    how = How(now=datetime(2026, 1, 31, tzinfo=UTC), show=lambda name, event: None, target=target)
    with Engine() as engine:
        build_image(engine, image, how)
    (asked,) = [one for one in server.asked if "/build" in one.path]
    told = json.loads(base64.urlsafe_b64decode(asked.headers["X-Registry-Config"]))
    assert (told["x.io"]["username"], told["x.io"]["password"]) == ("me", "hidden-word")
    assert all("hidden-word" not in one.path for one in server.asked)


def test_a_base_image_s_registry_that_does_not_let_us_in(engine_says: Any, context: BuildContext) -> None:
    engine_says({"/auth": Answer(401, {"message": "401 Unauthorized"})})
    mine = {"x.io": Credentials(username="me", password="hidden-word")}
    with (
        Engine() as engine,
        pytest.raises(NotAuthenticated, match=r"could not sign in to x\.io: 401 Unauthorized"),
    ):
        engine.build(context, "etl:1", {}, rebuild=False, show=lambda event: None, sign_ins=mine)


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (Answer(400, {"message": "dockerfile parse error line 2: unknown instruction: RAN"}), SpecError,
         r"Dockerfile:2:1: unknown instruction: RAN$"),
        (Answer(400, {"message": "the Dockerfile (Dockerfile) cannot be empty"}), SpecError, r"Dockerfile: the Docker"),
        (Answer(500, {"message": "write /x: " + os.strerror(28)}), QuotaExceeded, "the engine's disk is full"),
        (Answer(500, {"message": "something"}), TargetError, "could not build etl:1: something"),
        (Answer(409, {"message": "something"}), Conflict, "could not build etl:1: something"),
        (stream({"stream": "Step 2/2 : RUN false\n"}, {"error": "x: " + os.strerror(28)}), QuotaExceeded,
         "the engine's disk is full"),
        (stream({"stream": "Step 2/2 : RUN false\n"}, {"errorDetail": {"code": 4, "message": "m"}, "error": "m"}),
         TargetError, r"Dockerfile:2: RUN false\n  exit code 4"),
        (stream({"stream": "and then silence\n"}), TargetError, "the engine stopped in the middle"),
    ],
)  # fmt: skip
def test_a_build_that_fails(
    engine_says: Any, context: BuildContext, answer: Answer, kind: type[Exception], message: str
) -> None:
    engine_says({"/build": answer})
    with pytest.raises(kind, match=message) as failed:
        build(context)
    assert type(failed.value) is kind


@pytest.mark.parametrize(
    ("dockerfile", "answer", "hint"),
    [
        ("FROM ${BASE}\n", stream({"stream": "Step 1/1 : FROM ${BASE}\n"}, {"error": "no such host"}),
         "build_args: {BASE_IMAGE: REFERENCE}"),
        ("FROM x\nRUN --mount=type=cache,target=/x y\n",
         stream({"stream": "Step 2/2 : RUN\n"}, {"error": "the --mount option requires BuildKit."}), "no RUN --mount"),
        ("FROM x\nRUN <<EOF\necho\nEOF\n",
         Answer(400, {"message": "dockerfile parse error line 3: unknown instruction: ECHO"}), "no heredocs"),
    ],
)  # fmt: skip
def test_a_hint_where_the_engine_gives_none(
    engine_says: Any, tmp_path: Path, dockerfile: str, answer: Answer, hint: str
) -> None:
    (tmp_path / "Dockerfile").write_text(dockerfile)
    engine_says({"/build": answer})
    with pytest.raises((TargetError, SpecError)) as failed:
        build(build_context(tmp_path))
    problems = getattr(failed.value, "problems", ())
    assert hint in " ".join([failed.value.hint, *(problem.hint for problem in problems)])


GONE = {"error": "pull access denied for x, repository does not exist"}


@pytest.mark.parametrize("has_it", [True, False])
def test_a_base_image_that_cannot_be_pulled_anew_is_taken_as_the_engine_has_it(
    engine_says: Any, tmp_path: Path, has_it: bool
) -> None:
    (tmp_path / "Dockerfile").write_text("FROM x\nRUN false\n")
    denied = stream({"stream": "Step 1/2 : FROM x\n"}, GONE)
    built = stream({"stream": "Step 1/2 : FROM x\n"}, {"aux": {"ID": DIGEST}})
    server = engine_says({"/build": [denied, built if has_it else denied]})
    events: list[Any] = []
    with Engine() as engine:
        if has_it:
            assert engine.build(build_context(tmp_path), "etl:1", {}, rebuild=True, show=events.append)
        else:
            with pytest.raises(TargetError, match="pull access denied"):
                engine.build(build_context(tmp_path), "etl:1", {}, rebuild=True, show=events.append)
    first, second = [one for one in server.asked if "/build" in one.path]
    assert ("pull=True" in first.path, "pull=True" in second.path) == (True, False)
    assert "nocache=True" in second.path
    assert second.body == first.body, "the whole context is sent again"
    (warning,) = [event.text for event in events if event.text.startswith("warning: ")]
    assert GONE["error"] in warning


@pytest.mark.parametrize(
    ("rebuild", "said"),
    [(False, stream({"stream": "Step 1/2 : FROM x\n"}, GONE)), (True, stream({"stream": "Step 2/2 : RUN\n"}, GONE))],
)  # fmt: skip
def test_any_other_failure_of_a_build_is_final(
    engine_says: Any, tmp_path: Path, rebuild: bool, said: Answer
) -> None:
    (tmp_path / "Dockerfile").write_text("FROM x\nRUN false\n")
    server = engine_says({"/build": said})
    with Engine() as engine, pytest.raises(TargetError):
        engine.build(build_context(tmp_path), "etl:1", {}, rebuild=rebuild, show=lambda event: None)
    assert len([one for one in server.asked if "/build" in one.path]) == 1


def test_an_image_that_goes_while_images_are_listed(engine_says: Any) -> None:
    there = {
        "Id": "there", "RepoTags": ["etl:0123456789abcdef"], "Size": 1, "Created": "2026-01-31T06:00:00Z",
        "Config": {"Labels": {"io.batchctl.image": "etl"}},
    }  # fmt: skip
    engine_says(
        {
            "/images/json": Answer(body=[{"Id": "gone"}, {"Id": "there"}]),
            "/images/gone/json": Answer(404, {"message": "No such image: gone"}),
            "/images/there/json": Answer(body=there),
        }
    )
    with Engine() as engine:
        assert [image.id for image in engine.images()] == ["there"]


def test_an_engine_that_breaks_off(engine_says: Any, context: BuildContext) -> None:
    engine_says({"/build": stream({"stream": "x"}, broken=True)})
    with pytest.raises(TargetError, match="could not build etl:1"):
        build(context)


def test_nobody_listens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, context: BuildContext) -> None:
    for host in (f"unix://{tmp_path}/none.sock", "tcp://127.0.0.1:1"):
        monkeypatch.setenv("DOCKER_HOST", host)
        with pytest.raises(Unreachable, match=f"no Docker Engine answers at {host}") as failed:
            build(context)
        assert "systemctl start docker" in failed.value.hint


@pytest.mark.parametrize("address", ["/var/run/docker.sock", "tcp://localhost:docker", "ftp://localhost"])
def test_an_address_that_is_none(
    monkeypatch: pytest.MonkeyPatch, context: BuildContext, address: str
) -> None:
    monkeypatch.setenv("DOCKER_HOST", address)
    with pytest.raises(UsageError, match=f"DOCKER_HOST is '{address}'"):
        build(context)


@pytest.mark.parametrize(
    ("config", "kind", "message"),
    [
        ({"credsStore": "gone.exe"}, NotAuthenticated, "docker-credential-gone.exe not installed"),
        ({"credHelpers": {"x.io": "gone"}}, NotAuthenticated, "docker-credential-gone not installed"),
        ({"auths": {"x.io": {"auth": ""}}}, UsageError, "this is no configuration of Docker's"),
        ([], UsageError, "this is no configuration of Docker's"),
    ],
)
def test_a_configuration_of_docker_s_that_is_of_no_use(
    engine_says: Any,
    context: BuildContext,
    tmp_path: Path,
    config: Any,
    kind: type[Exception],
    message: str,
) -> None:
    """Its SDK warns, and then raises what is no error of its own."""
    engine_says({"/build": stream({"aux": {"ID": DIGEST}})})
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(kind, match=message) as failed:
        build(context)
    assert "config.json" in f"{failed.value} {getattr(failed.value, 'hint', '')}"


def test_not_allowed_to_talk_to_it(monkeypatch: pytest.MonkeyPatch, context: BuildContext) -> None:
    def knock(address: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("batchctl.targets.docker_engine._knock", knock)
    with pytest.raises(Unreachable, match="not allowed to talk to the Docker Engine") as failed:
        build(context)
    assert "usermod -aG docker" in failed.value.hint


class FakeRegistry:
    """Has nothing, and lets everybody push, until told otherwise."""

    host = "localhost:5000"
    credentials = Credentials(username="me", password="hidden-word")
    stands_in_the_way: Exception | None = None

    def digest(self, path: str, tag: str) -> str | None:
        return None

    def check_push(self, path: str) -> None:
        if self.stands_in_the_way:
            raise self.stands_in_the_way


def push(context: BuildContext, registry: Any) -> Any:
    image = WantedImage(name="etl", repository="localhost:5000/etl", context=context)
    how = How(now=datetime(2026, 1, 31, tzinfo=UTC), show=lambda name, event: None)
    with Engine() as engine:
        return push_image(engine, registry, image, how)


def test_a_push_that_breaks_off_is_tried_again(
    engine_says: Any, context: BuildContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    import stamina

    done = stream({"status": "Pushed", "id": "a"}, {"aux": {"Tag": "x", "Digest": DIGEST}})
    failing = stream({"errorDetail": {"message": "connection reset"}, "error": "connection reset"})
    server = engine_says({"/json": Answer(body={"Id": "x"}), "/push": [failing, stream(), done]})
    with stamina.set_testing(True, attempts=5):
        assert push(context, FakeRegistry()).pinned == f"localhost:5000/etl@{DIGEST}"
    pushes = [one for one in server.asked if "/push" in one.path]
    assert len(pushes) == 3
    assert all("hidden-word" not in one.path for one in server.asked)
    assert pushes[0].headers["X-Registry-Auth"]


def test_a_push_that_is_not_allowed_is_not_tried_again(engine_says: Any, context: BuildContext) -> None:
    registry = FakeRegistry()
    registry.stands_in_the_way = NotAuthenticated("no")
    failing = stream({"errorDetail": {"message": "denied: no"}, "error": "denied: no"})
    server = engine_says({"/json": Answer(body={"Id": "x"}), "/push": failing})
    with pytest.raises(NotAuthenticated):
        push(context, registry)
    assert len([one for one in server.asked if "/push" in one.path]) == 1


def test_a_push_that_never_succeeds_ends(engine_says: Any, context: BuildContext) -> None:
    import stamina

    failing = stream({"errorDetail": {"message": "connection reset"}, "error": "connection reset"})
    engine_says({"/json": Answer(body={"Id": "x"}), "/push": failing})
    with (
        stamina.set_testing(True, attempts=3),
        pytest.raises(PushInterrupted, match="connection reset") as failed,
    ):
        push(context, FakeRegistry())
    assert failed.value.hint == "try again: it goes on where it stopped"

"""A Docker Engine through the official SDK: build, push, list, remove. Nothing here decides anything.

The engine is that of DOCKER_HOST, else of this machine, and is reached at the first use: what needs none works without one.
"""

import io
import re
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

from batchctl.errors import NotFound, Problem, SpecError, TargetError
from batchctl.plan.images import (
    CONTEXT_LABEL,
    IMAGE_LABEL,
    STAGE_LABEL,
    StoredImage,
    is_our_tag,
    step_line,
    tag_of,
)
from batchctl.targets.build_context import BuildContext
from batchctl.targets.docker_errors import checked_address, docker_config, docker_errors, failed
from batchctl.targets.engine_stream import LogLine, Reader, Show, StreamFailed
from batchctl.targets.registry_sign_in import Credentials

if TYPE_CHECKING:
    from docker import APIClient, DockerClient
    from requests import Response

_KNOCK_SECONDS = 10
_SILENCE_SECONDS = 600
"""A registry may take minutes to take over a large layer, and the engine says nothing while it does."""

_TRIES = 3
_GONE_MEANWHILE = re.compile(r"(unable to find image|No such image:|unknown parent image ID) \"?sha256:")
"""The engine looks through the images that it has for a step that it can take over, and stumbles over any that is removed
at that moment, whosever it is."""
_HEREDOC = re.compile(r"<<-?[\"']?[A-Za-z_]")
_BUILDKIT_HINT = "the engine's classic builder builds it: no RUN --mount, no COPY --chmod, no heredocs"
_BASE_HINT = (
    "is the base image's name right, and its registry in reach? docker login, if it asks who you are; "
    "for another base where the Dockerfile has an ARG of it: build_args: {BASE_IMAGE: REFERENCE}"
)


class PushInterrupted(TargetError):
    """A push ended before its end. Layers that arrived are not sent again."""


class Engine:
    """The images of one Docker Engine."""

    def __enter__(self) -> "Engine":
        return self

    def __exit__(self, *_: object) -> None:
        if "_client" in self.__dict__:
            self._client.close()

    @cached_property
    def _client(self) -> "DockerClient":
        import docker

        docker_config()
        address = checked_address()
        with docker_errors("reach the Docker Engine"):
            _knock(address)
            return docker.from_env(timeout=_SILENCE_SECONDS)

    @contextmanager
    def _answers_closed(self) -> "Iterator[APIClient]":
        """The SDK's calls; their answers are closed at the end, also those left in the middle, which it keeps open."""
        answers: list[Response] = []
        hooks = self._client.api.hooks["response"]

        def keep(answer: "Response", *_: object, **__: object) -> None:
            answers.append(answer)

        hooks.append(keep)
        try:
            yield self._client.api
        finally:
            hooks.remove(keep)
            for answer in answers:
                answer.close()

    def answers(self) -> bool:
        """True. Raises Unreachable without an engine."""
        with docker_errors("reach the Docker Engine"):
            return bool(self._client.ping())

    def has(self, reference: str) -> bool:
        """Whether the engine has the image `repository:tag`. Raises Unreachable."""
        return self.content_of(reference) is not None

    def content_of(self, reference: str) -> str | None:
        """What `repository:tag` is here: `repository@sha256:…` if it came from a registry, else its id, `sha256:…`; None if the
        engine has no such image. Raises Unreachable."""
        found = self._inspect(reference)
        if found is None:
            return None
        digests: list[str] = found.get("RepoDigests") or []
        name = reference.removesuffix(f":{reference.rpartition('/')[2].partition(':')[2]}")
        return next((digest for digest in digests if digest.startswith(f"{name}@")), str(found["Id"]))

    def build(
        self,
        context: BuildContext,
        reference: str,
        labels: Mapping[str, str],
        *,
        rebuild: bool,
        show: Show,
        sign_ins: Mapping[str, Credentials] | None = None,
    ) -> str:
        """Build `context` as the image `repository:tag`; its id. `rebuild` uses no cache and pulls the base image anew; one that
        cannot be pulled is taken as the engine has it, and that is shown.

        `sign_ins`, by registry, are for base images, beside what Docker's own configuration has.

        Raises SpecError for a Dockerfile that cannot be read, TargetError with the place and the last lines of a step that
        failed, NotAuthenticated, QuotaExceeded for a full disk, Unreachable without an engine.
        """
        doing = f"build {reference}"
        asked: dict[str, Any] = {
            "custom_context": True, "dockerfile": context.dockerfile, "tag": reference, "buildargs": dict(context.build_args),
            "labels": dict(labels), "nocache": rebuild, "rm": True, "forcerm": True, "decode": True,
        }  # fmt: skip
        with tempfile.TemporaryFile() as tar:
            context.write_tar(tar)
            asked["fileobj"] = tar
            for host, mine in (sign_ins or {}).items():
                with docker_errors(f"sign in to {host}"):
                    self._client.api.login(mine.username, mine.password, registry=host, reauth=True)
            try:
                try:
                    said = self._built(doing, context, show, {**asked, "pull": rebuild})
                except StreamFailed as failure:
                    if not rebuild or not _is_base(context, failure):
                        raise
                    show(LogLine(text=f"warning: could not pull the base image: {failure.message}; "
                                 "taking it as the engine has it"))  # fmt: skip
                    said = self._built(doing, context, show, {**asked, "pull": False})
            except StreamFailed as failure:
                raise _step_failed(doing, context, failure) from failure
        if "ID" not in said.aux:
            raise TargetError(f"could not {doing}: the engine stopped in the middle of it")
        for stage in said.stages:
            self._label(stage, labels)
        return str(said.aux["ID"])

    def _label(self, stage: str, labels: Mapping[str, str]) -> None:
        """Put our label upon what a stage of a build left: the engine labels the last one only, and an image cannot be labelled
        but by a build upon it. What cannot be labelled stays as it is."""
        told = {CONTEXT_LABEL: labels.get(CONTEXT_LABEL, ""), STAGE_LABEL: labels.get(IMAGE_LABEL, "")}
        dockerfile = io.BytesIO(f"FROM {stage}\n".encode())
        with (
            suppress(TargetError, StreamFailed),
            docker_errors(f"label {stage}"),
            self._answers_closed() as api,
        ):
            Reader(lambda _: None).read(api.build(fileobj=dockerfile, labels=told, rm=True, decode=True))

    def _built(self, doing: str, context: BuildContext, show: Show, asked: Mapping[str, Any]) -> Reader:
        """What the engine told of the build that is `asked` for. Raises StreamFailed, and SpecError for a bad Dockerfile."""
        for _ in range(_TRIES - 1):
            try:
                return self._tried(doing, context, show, asked)
            except StreamFailed as failure:
                if not _GONE_MEANWHILE.search(failure.message):
                    raise
                show(LogLine(text=f"{failure.message}: somebody has removed it meanwhile; building again"))
        return self._tried(doing, context, show, asked)

    def _tried(self, doing: str, context: BuildContext, show: Show, asked: Mapping[str, Any]) -> Reader:
        from docker.errors import APIError

        asked["fileobj"].seek(0)
        with docker_errors(doing), self._answers_closed() as api:
            try:
                reader = Reader(show)
                reader.read(api.build(**asked))
                return reader
            except APIError as error:
                if error.status_code == 400:
                    raise _bad_dockerfile(context, str(error.explanation)) from error
                raise

    def push(self, repository: str, tag: str, credentials: Credentials | None, show: Show) -> str:
        """Push the image; the digest of its manifest, `sha256:…`. Raises PushInterrupted, and Unreachable without an engine."""
        doing = f"push {repository}:{tag}"
        sign_in = credentials.as_docker() if credentials else {"username": "", "password": ""}
        reader = Reader(show)
        try:
            with docker_errors(doing), self._answers_closed() as api:
                reader.read(api.push(repository, tag=tag, stream=True, decode=True, auth_config=sign_in))
        except StreamFailed as failure:
            raise PushInterrupted(
                f"could not {doing}: {failure.message}", hint="try again: it goes on where it stopped"
            ) from failure
        if not reader.aux.get("Digest"):
            raise PushInterrupted(f"could not {doing}: the engine stopped in the middle of it")
        return str(reader.aux["Digest"])

    def images(self) -> list[StoredImage]:
        """Every image of ours, a row for each of its tags. Raises Unreachable."""
        with docker_errors("list images"):
            found: list[dict[str, Any]] = self._client.api.images(filters={"label": IMAGE_LABEL})
        looked_at = [self._inspect(one["Id"]) for one in found]
        return [row for one in looked_at if one is not None for row in _rows(one)]

    def stages(self) -> list[StoredImage]:
        """What stages of our builds left behind, and nothing is built upon. Raises Unreachable."""
        with docker_errors("list images"):
            found = self._client.api.images(filters={"label": STAGE_LABEL, "dangling": True})
        looked_at = [self._inspect(one["Id"]) for one in found]
        return [_stage(one) for one in looked_at if one is not None]

    def _inspect(self, reference: str) -> dict[str, Any] | None:
        """What the engine knows of an image; None if it has gone: an engine has other users."""
        try:
            with docker_errors(f"look for {reference}"):
                return dict(self._client.images.get(reference).attrs)
        except NotFound:
            return None

    def remove(self, reference: str) -> None:
        """Remove a tag, and the image if that was its last. Raises Conflict if a container uses it. Fine if there is none."""
        try:
            with docker_errors(f"remove {reference}"):
                self._client.api.remove_image(reference)
        except NotFound:
            return


def _knock(address: str) -> None:
    """Raise the system's own error if nobody listens at a local socket: the SDK's tells no more, and leaves a socket open."""
    if address.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(_KNOCK_SECONDS)
            probe.connect(address.removeprefix("unix://"))


def _rows(image: Mapping[str, Any]) -> list[StoredImage]:
    """A row for each tag of ours. What was pulled by its digest has none: its label tells the one it was pushed with."""
    labels = image["Config"]["Labels"]
    digests = dict(one.split("@", 1) for one in image.get("RepoDigests") or [])
    tags = [tuple(one.rsplit(":", 1)) for one in image.get("RepoTags") or []]
    tagged = {repository for repository, _ in tags}
    pushed_as = tag_of(labels.get(CONTEXT_LABEL, ""))
    tags += [(repository, pushed_as) for repository in digests if repository not in tagged]
    return [
        StoredImage(
            name=labels[IMAGE_LABEL], repository=repository, tag=tag, digest=digests.get(repository, ""), size=image["Size"],
            download=None, created=f"{image['Created'][:19]}Z", engine=True, registry=False, id=image["Id"],
        )
        for repository, tag in tags if is_our_tag(tag)
    ]  # fmt: skip


def _stage(image: Mapping[str, Any]) -> StoredImage:
    labels = image["Config"]["Labels"]
    return StoredImage(
        name=labels[STAGE_LABEL], repository=labels[STAGE_LABEL], tag=tag_of(labels.get(CONTEXT_LABEL, "")), digest="",
        size=image["Size"], download=None, created=f"{image['Created'][:19]}Z", engine=True, registry=False, id=image["Id"],
        is_stage=True,
    )  # fmt: skip


def _bad_dockerfile(context: BuildContext, said: str) -> SpecError:
    """The engine's `… parse error line 3: unknown instruction: RUNN` with its place."""
    _, _, after = said.partition("line ")
    number = after.split(":", 1)[0]
    line = int(number) if number.isdigit() else 0
    message = after.split(":", 1)[1].strip() if line and ":" in after else said
    hint = _BUILDKIT_HINT if _HEREDOC.search(context.dockerfile_text()) else ""
    return SpecError(
        [
            Problem(
                file=context.dockerfile_path, line=line, column=1 if line else 0, message=message, hint=hint
            )
        ]
    )


def _is_base(context: BuildContext, failure: StreamFailed) -> bool:
    """Whether it failed at a base image."""
    return step_line(context.dockerfile_text(), failure.step)[1].upper().startswith("FROM ")


def _step_failed(doing: str, context: BuildContext, failure: StreamFailed) -> TargetError:
    line, text = step_line(context.dockerfile_text(), failure.step)
    place = f"{context.dockerfile_path}:{line}: {text}" if line else context.dockerfile_path
    why = f"exit code {failure.exit_code}" if failure.exit_code else failure.message
    tail = "".join(f"\n  | {said}" for said in failure.tail)
    plain = failed(doing, failure.message)
    hint = plain.hint
    if "BuildKit" in failure.message:
        hint = _BUILDKIT_HINT
    elif not hint and text.upper().startswith("FROM "):
        hint = _BASE_HINT
    return type(plain)(f"{plain.message if plain.code else f'could not {doing}'}\n{place}\n  {why}{tail}",
                       hint=hint, code=plain.code or "BuildFailed")  # fmt: skip

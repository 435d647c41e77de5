"""One container from its creation to its end, in a thread of its own: the calls to the engine, and what their answers mean.

Round trips of a task whose image is there: create, attach, start, wait; a failed one is also inspected. Removing it comes
after its end is known. Source of the failure codes: Azure Batch REST, TaskFailureInformation; `docker run` for 126 and 127.
"""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchctl.server.batch.runner.docker.body import (
    RUN_LABEL,
    ContainerLaunch,
    SettingsError,
    container_body,
    run_options,
)
from batchctl.server.batch.runner.docker.connection import (
    Connection,
    EngineLost,
    EngineRefused,
    engine_errors,
)
from batchctl.server.batch.runner.docker.images import ImageError, Images, PullStopped
from batchctl.server.batch.runner.docker.output import Output
from batchctl.server.batch.runner.docker.references import is_valid
from batchctl.server.batch.scheduler.effects import Ending
from batchctl.server.batch.wire import Doc
from batchctl.server.disk import is_full

if TYPE_CHECKING:
    from docker import APIClient

_RECEIVED_BYTES = 256 * 1024
_NOT_EXECUTABLE, _NOT_FOUND = 126, 127
_BAD_REQUEST, _MISSING = 400, 404


class Step(IntEnum):
    """How far a container is."""

    COMING = 0
    STARTING = 1
    RUNNING = 2


@dataclass(kw_only=True, eq=False)
class Job:
    """A launch on its way. Its step and its kill are decided under `lock`, which is never held during a call."""

    launch: ContainerLaunch
    lock: threading.Lock = field(default_factory=threading.Lock)
    step: Step = Step.COMING
    is_killed: bool = False
    is_pulling: bool = False
    id: str | None = None
    thread: threading.Thread | None = None
    has_started: threading.Event = field(default_factory=threading.Event)
    is_over: threading.Event = field(default_factory=threading.Event)

    def may_start(self) -> bool:
        """Whether it is to be started; if so a kill from now on finds a container."""
        with self.lock:
            if self.is_killed:
                return False
            self.step = Step.STARTING
            return True

    def kill(self) -> bool:
        """It is to end. True: there is, or will be, a container to be killed; False: it will never be started."""
        with self.lock:
            self.is_killed = True
            return self.step is not Step.COMING


class ContainerFailed(Exception):
    """The container could not be made or started; `ending` says so in Batch's terms."""

    def __init__(self, code: str, detail: str, container: Doc | None = None) -> None:
        super().__init__(detail)
        self.ending = Ending(failure=code, detail=detail, container=container)


class Containers:
    """Makes, runs and removes the containers of one service; `labels` mark them as its own."""

    def __init__(self, connection: Connection, images: Images, labels: dict[str, str]) -> None:
        self._connection = connection
        self._images = images
        self._labels = labels

    def run(self, job: Job, on_start: Callable[[str], None]) -> Ending:
        """Run the job's container to its end; `on_start` is told its id once it runs.

        What stays of it is to be removed by `remove`. An engine that is gone ends it with `lost` set. Raises PullStopped.
        """
        try:
            with Output(job.launch.folder) as output:
                return self._run(job, output, on_start)
        except ContainerFailed as failed:
            return failed.ending
        except SettingsError as problem:
            return Ending(failure="ContainerInvalidSettings", detail=str(problem))
        except ImageError as problem:
            return Ending(failure=problem.code, detail=str(problem))
        except EngineRefused as refusal:
            return Ending(failure="ContainerMiscError", detail=str(refusal))
        except EngineLost as lost:
            return Ending(lost=str(lost))
        except OSError as problem:
            code = "DiskFull" if is_full(problem) else "ContainerMiscError"
            return Ending(failure=code, detail=str(problem))

    def remove(self, job: Job) -> None:
        """Remove the job's container, whatever it does. One that cannot be reached is found again by its labels."""
        if job.id is None:
            return
        with suppress(EngineLost, EngineRefused):
            api, _ = self._connection.use()
            with engine_errors():
                api.remove_container(job.id, v=True, force=True)

    def signal(self, job: Job, name: str) -> None:
        """Send the job's container a signal. Nothing if it is over, or the engine is gone."""
        assert job.id is not None
        with suppress(EngineLost, EngineRefused):
            api, _ = self._connection.use()
            with engine_errors():
                api.kill(job.id, name)

    def remove_trees(self, image: str, trees: Sequence[Path]) -> None:
        """Remove directories as root, in a container of `image`, if it has a program `rm`. Nothing if that cannot be."""
        folders = {str(tree.parent) for tree in trees}
        body: Doc = {
            "Image": image,
            "User": "0",
            "Entrypoint": ["rm"],
            "Cmd": ["-rf", "--", *map(str, trees)],
            "Labels": self._labels,
            "HostConfig": {
                "NetworkMode": "none",
                "LogConfig": {"Type": "none"},
                "Mounts": [{"Type": "bind", "Source": folder, "Target": folder} for folder in folders],
            },
        }
        with suppress(EngineLost, EngineRefused):
            api, _ = self._connection.use()
            id = _create(api, body, None)
            with engine_errors():
                try:
                    api.start(id)
                    api.wait(id)
                finally:
                    api.remove_container(id, v=True, force=True)

    def _run(self, job: Job, output: Output, on_start: Callable[[str], None]) -> Ending:
        options = run_options(job.launch)
        api, capacity = self._connection.use()
        labels = self._labels | {RUN_LABEL: str(job.launch.run)}
        body = container_body(job.launch, options, capacity, labels)
        if options.pull == "always" or not is_valid(job.launch.image):
            self._provide(job, anew=True)
        job.id = self._created(api, job, body, options.platform, may_pull=options.pull != "never")
        if not job.may_start():
            return Ending()
        with engine_errors():
            stream: Any = api.attach_socket(job.id, params={"stdout": 1, "stderr": 1, "stream": 1})
        try:
            self._start(api, job.id)
            job.step = Step.RUNNING
            job.has_started.set()
            on_start(job.id)
            _copy(stream, output)
        finally:
            # The answer owns the stream: closing both would close one of them twice.
            getattr(stream, "_response", stream).close()
        # The output also ends when the engine does.
        self._connection.use()
        with engine_errors():
            code = int(api.wait(job.id)["StatusCode"])
        return self._ending(api, job.id, code, is_cut=output.is_cut)

    def _provide(self, job: Job, *, anew: bool = False) -> None:
        own = job.launch.settings.get("registry")
        job.is_pulling = True
        try:
            self._images.provide(job.launch.image, own, job.launch.registries, anew=anew)
        finally:
            job.is_pulling = False
        if job.is_killed:  # and nobody waits for its thread
            raise PullStopped

    def _created(self, api: "APIClient", job: Job, body: Doc, platform: str | None, *, may_pull: bool) -> str:
        """The new container's id; its image is pulled if the engine says that it is missing."""
        try:
            return _create(api, body, platform)
        except EngineRefused as refusal:
            if refusal.status != _MISSING:
                raise _refused(refusal) from None
            if not may_pull:
                raise ContainerFailed("ContainerInvalidImage", str(refusal)) from None
        self._provide(job)
        try:
            return _create(api, body, platform)
        except EngineRefused as refusal:
            code = "ContainerInvalidImage" if refusal.status == _MISSING else ""
            raise (ContainerFailed(code, str(refusal)) if code else _refused(refusal)) from None

    def _start(self, api: "APIClient", id: str) -> None:
        try:
            with engine_errors():
                api.start(id)
        except EngineRefused as refusal:
            state = _state(api, id)
            information = _information(id, state)
            code = {_NOT_FOUND: "CommandProgramNotFound", _NOT_EXECUTABLE: "CommandLaunchFailed"}.get(
                state["ExitCode"]
            )
            if code is not None:
                raise ContainerFailed(code, str(refusal), information) from None
            failed = _refused(refusal)
            raise ContainerFailed(failed.ending.failure or "", str(refusal), information) from None

    def _ending(self, api: "APIClient", id: str, code: int, *, is_cut: bool) -> Ending:
        failure = "DiskFull" if is_cut else None
        if code == 0:
            return Ending(
                exit_code=0, failure=failure, container={"containerId": id, "state": "exited", "error": ""}
            )
        state = _state(api, id)
        information = _information(id, state)
        detail = ""
        if state.get("OOMKilled"):
            detail = "The container was killed because it used more memory than it may."
            information["error"] = information["error"] or "OOMKilled"
        return Ending(exit_code=code, failure=failure, detail=detail, container=information)


def _create(api: "APIClient", body: Doc, platform: str | None) -> str:
    with engine_errors():
        made = api.create_container_from_config(body, None, platform)  # type: ignore[no-untyped-call]
        return str(made["Id"])


def _refused(refusal: EngineRefused) -> ContainerFailed:
    is_wrong = refusal.status in (_BAD_REQUEST, _MISSING)
    return ContainerFailed("ContainerInvalidSettings" if is_wrong else "ContainerMiscError", str(refusal))


def _state(api: "APIClient", id: str) -> Doc:
    with engine_errors():
        return dict(api.inspect_container(id)["State"])


def _information(id: str, state: Doc) -> Doc:
    """The containerInfo: what `docker inspect` says of state and error."""
    return {"containerId": id, "state": state["Status"], "error": state.get("Error", "")}


def _copy(stream: Any, output: Output) -> None:
    """Write what comes until the container's end. Raises EngineLost if it breaks off."""
    raw = getattr(stream, "_sock", stream)
    raw.settimeout(None)
    with suppress(ConnectionError):  # whether the container is over is asked next
        while data := raw.recv(_RECEIVED_BYTES):
            output.write(data)

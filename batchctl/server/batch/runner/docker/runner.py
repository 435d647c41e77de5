"""The container runner: the loop's side of container tasks, beside the process runner and with the same verbs.

Everything that talks to the engine is done by threads: one for each container (it waits for its output and its end, so nothing
polls), one for each set of images that nodes wait for. What they find comes back into the loop as the callbacks of `Listener`.
This module must not know jobs, pools or the store.
"""

import asyncio
import threading
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchctl.server.batch.runner.docker.body import SESSION_LABEL, STATE_LABEL, ContainerLaunch
from batchctl.server.batch.runner.docker.connection import Connection, EngineLost, EngineRefused
from batchctl.server.batch.runner.docker.container import Containers, Job
from batchctl.server.batch.runner.docker.images import ImageError, Images, PullStopped
from batchctl.server.batch.runner.docker.leftovers import remove_leftovers
from batchctl.server.batch.scheduler.effects import Ending, NodeProblem
from batchctl.server.batch.wire import Doc

if TYPE_CHECKING:
    from docker import APIClient

PROBE_SECONDS = 1.0
_STOP_SECONDS = 10.0

_Wish = tuple[tuple[str, ...], str]


@dataclass(frozen=True, kw_only=True)
class Listener:
    """Who is told, in the loop: of a container that runs (run, id), of its end, of nodes that have their images or cannot have
    them, and whether the engine answers that was looked for."""

    started: Callable[[int, str], None]
    ended: Callable[[int, Ending], None]
    prepared: Callable[[Sequence[str], NodeProblem | None], None]
    looked: Callable[[bool], None]


class ContainerRunner:
    """Create it in the running event loop; `kill_now()` ends it. `nodes` is the directory of all nodes.

    `note` is a file that is made before the first container is.
    """

    def __init__(self, nodes: Path, note: Path, listener: Listener, *, grace_seconds: float) -> None:
        self._nodes = nodes
        self._note = note
        self._listener = listener
        self._grace = grace_seconds
        self._loop = asyncio.get_running_loop()
        self._session = uuid.uuid4().hex
        self._connection = Connection(self._opened)
        self._images = Images(self._connection)
        labels = {STATE_LABEL: str(nodes), SESSION_LABEL: self._session}
        self._containers = Containers(self._connection, self._images, labels)
        self._jobs: dict[int, Job] = {}
        self._live: dict[str, Job] = {}
        self._live_lock = threading.Lock()
        self._last_image: str | None = None
        self._preparing: dict[int, list[str]] = {}
        self._probe: asyncio.TimerHandle | None = None
        self._is_closed = False

    def recover(self) -> None:
        """Begin to remove what a service that died has left on the engine, if it ever used one."""
        if self._note.exists():
            self._thread(self._look, ())

    def start(self, launch: ContainerLaunch) -> None:
        """Begin to run a container; whatever happens is told as its end. Raises OSError when the disk is full."""
        self._note.touch()
        job = Job(launch=launch)
        self._jobs[launch.run] = job
        self._last_image = launch.image
        with self._live_lock:
            self._live[str(launch.run)] = job
        job.thread = self._thread(self._work, (job,))

    def kill(self, run: int) -> None:
        """Ask the run's container to end, and end it by force after the grace. Nothing if it is over."""
        job = self._jobs.get(run)
        if job is None or job.is_killed:
            return
        if job.kill():
            self._thread(self._end_by_force, (job,))
        else:
            # It has no container yet, and will not have one that runs: nobody needs to wait for a pull.
            self._ended(job, Ending())

    def kill_now(self) -> None:
        """End and remove everything and wait for it; no end is reported any more."""
        self._is_closed = True
        if self._probe is not None:
            self._probe.cancel()
        self._images.stop()
        self._jobs.clear()
        with self._live_lock:
            jobs = list(self._live.values())
        threads = [
            self._thread(self._remove_started, (job,))
            for job in jobs
            if not job.is_over.is_set() and job.kill()
        ]
        deadline = self._loop.time() + _STOP_SECONDS
        for thread in threads:
            thread.join(max(deadline - self._loop.time(), 0))
        for job in jobs:
            # A pull may be silent for long, and nothing comes of it any more.
            if job.thread is not None and not job.is_pulling:
                job.thread.join(max(deadline - self._loop.time(), 0))
        self._connection.close()

    def prepare(self, node: str, images: Sequence[str], registries: Sequence[Doc]) -> None:
        """Begin to bring the images onto the engine for a node; nodes that want the same at the same time share the work.

        Raises OSError when the disk is full.
        """
        self._note.touch()
        # Passwords are part of the wish, so it is known by its hash only.
        wish = hash((tuple(images), repr(registries)))
        waiting = self._preparing.setdefault(wish, [])
        waiting.append(node)
        if len(waiting) == 1:
            self._thread(self._provide, (wish, tuple(images), tuple(registries)))

    def watch(self) -> None:
        """Work waits for the engine: look in a moment whether it is back. Called again and again, it looks once a second."""
        if self._probe is None and not self._is_closed:
            self._probe = self._loop.call_later(PROBE_SECONDS, self._thread, self._look, ())

    def remove_trees(self, trees: Sequence[Path]) -> None:
        """Remove what the service may not remove itself, because a container wrote it as another user. Blocks."""
        if self._last_image is not None and trees:
            self._containers.remove_trees(self._last_image, trees)

    def _opened(self, api: "APIClient") -> None:
        """A new way to the engine: first remove what nobody waits for any more."""
        with self._live_lock:
            live = frozenset(self._live)
        remove_leftovers(api, self._nodes, session=self._session, live=live)

    def _look(self) -> None:
        is_there = False
        with suppress(EngineLost, EngineRefused):
            self._connection.use()
            is_there = True
        self._tell(self._looked, is_there)

    def _looked(self, is_there: bool) -> None:
        self._probe = None
        self._listener.looked(is_there)

    def _work(self, job: Job) -> None:
        run = job.launch.run
        try:
            ending = self._containers.run(job, lambda id: self._tell(self._listener.started, run, id))
        except PullStopped:
            ending = Ending()
        except Exception as bug:  # noqa: BLE001 - handed to the loop, which makes it known
            ending = Ending(failure="ContainerMiscError", detail=repr(bug))
            self._tell_bug(bug)
        if ending.lost:
            self._connection.give_up()
        job.is_over.set()
        job.has_started.set()
        self._tell(self._ended, job, ending)
        self._containers.remove(job)
        with self._live_lock:
            del self._live[str(run)]

    def _ended(self, job: Job, ending: Ending) -> None:
        if self._jobs.get(job.launch.run) is job:
            del self._jobs[job.launch.run]
            self._listener.ended(job.launch.run, ending)

    def _end_by_force(self, job: Job) -> None:
        job.has_started.wait()
        if not job.is_over.is_set():
            self._containers.signal(job, "SIGTERM")
        if not job.is_over.wait(self._grace):
            self._containers.signal(job, "SIGKILL")

    def _remove_started(self, job: Job) -> None:
        job.has_started.wait(_STOP_SECONDS)
        self._containers.remove(job)

    def _provide(self, wish: int, images: Sequence[str], registries: Sequence[Doc]) -> None:
        problem: NodeProblem | None = None
        try:
            self._connection.use()
            for name in images:
                self._images.provide(name, None, registries)
        except PullStopped:
            return
        except ImageError as failed:
            problem = NodeProblem(code=failed.code, message=str(failed))
        except EngineRefused as refusal:
            problem = NodeProblem(code="NodePreparationError", message=str(refusal))
        except EngineLost as lost:
            self._connection.give_up()
            problem = NodeProblem(code="NodePreparationError", message=str(lost), is_engine=True)
        self._tell(self._prepared, wish, problem)

    def _prepared(self, wish: int, problem: NodeProblem | None) -> None:
        self._listener.prepared(self._preparing.pop(wish), problem)

    def _thread(self, work: Callable[..., None], arguments: tuple[Any, ...]) -> threading.Thread:
        thread = threading.Thread(target=work, args=arguments, name="batchctl-container", daemon=True)
        thread.start()
        return thread

    def _tell(self, listener: Callable[..., None], *arguments: Any) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(listener, *arguments)

    def _tell_bug(self, bug: Exception) -> None:
        context = {"message": "a container's thread broke", "exception": bug}
        self._tell(self._loop.call_exception_handler, context)

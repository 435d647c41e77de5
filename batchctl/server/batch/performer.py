"""What the scheduler decided, carried out: folders, processes, containers and files; and what came of it, told.

Nothing here decides: an effect is done, or put off while the disk is full. Of the store only the notes of what was started
are written.
"""

import asyncio
import logging
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

import apsw

from batchctl.server.batch.runner import folders, leftovers, output_files, resource_files
from batchctl.server.batch.runner.docker.body import ContainerLaunch
from batchctl.server.batch.runner.docker.runner import ContainerRunner, Listener
from batchctl.server.batch.runner.escapees import Escapees
from batchctl.server.batch.runner.multi_instance import coordinated
from batchctl.server.batch.runner.process import Launch, LaunchError, ProcessRunner
from batchctl.server.batch.runner.site import Site, shared_folder, task_environment
from batchctl.server.batch.runner.staging import Staging
from batchctl.server.batch.scheduler import runs
from batchctl.server.batch.scheduler.effects import (
    Effect,
    Ending,
    KillRun,
    MakeNode,
    NodeProblem,
    PrepareNode,
    RemoveFolder,
    StartRun,
)
from batchctl.server.batch.store import Store
from batchctl.server.disk import is_full

_LOG = logging.getLogger(__name__)


class Outcomes(Protocol):
    """Who is told what came of the effects; each call comes from the event loop."""

    def run_ended(self, run: int, ending: Ending) -> None:
        """A run is over, its output files uploaded."""

    def nodes_prepared(self, nodes: Sequence[str], problem: NodeProblem | None) -> None:
        """Nodes have their container images, or cannot have them."""

    def looked_for_engine(self, is_there: bool) -> None:
        """Whether the container engine answers again."""


class Performer:
    """Create it in the running event loop; `close()` it at the end. `grace_seconds`: between SIGTERM and SIGKILL."""

    def __init__(self, store: Store, site: Site, outcomes: Outcomes, *, grace_seconds: float) -> None:
        self._store = store
        self._site = site
        self._outcomes = outcomes
        self._processes = ProcessRunner(self._work_ended, grace_seconds=grace_seconds)
        listener = Listener(
            started=self._container_started,
            ended=self._container_ended,
            prepared=outcomes.nodes_prepared,
            looked=outcomes.looked_for_engine,
        )
        self._containers = ContainerRunner(
            site.nodes, site.container_note, listener, grace_seconds=grace_seconds
        )
        self._staging = Staging()
        self._uploading: dict[int, StartRun] = {}
        self._sweeps: set[asyncio.Task[None]] = set()
        self._escapees = Escapees(site.nodes)
        self._postponed: list[Effect] = []

    @property
    def is_behind(self) -> bool:
        """Whether something was put off until the disk has room."""
        return bool(self._postponed)

    def recover(self) -> None:
        """End what a service that died has left running, and empty its trash."""
        recorded = self._store.all("SELECT pid, born FROM runs WHERE pid IS NOT NULL")
        leftovers.kill_recorded(recorded)
        leftovers.kill_marked(self._site.nodes)
        self._containers.recover()
        self._sweep()

    def watch_for_engine(self) -> None:
        """Tell once the container engine answers again."""
        self._containers.watch()

    def close(self) -> None:
        """End everything by force. The store still says that it runs."""
        self._staging.close()
        self._containers.kill_now()
        self._processes.kill_now()
        self._escapees.close()
        leftovers.kill_marked(self._site.nodes)
        for sweep in self._sweeps:
            sweep.cancel()

    def perform(self, effects: Iterable[Effect], *, has_room: bool) -> None:
        """Do what was decided, in that order; with room on the disk first what was put off."""
        if has_room:
            effects, self._postponed = [*self._postponed, *effects], []
        started: list[tuple[int, str, int]] = []
        thrown_away = False
        for effect in effects:
            try:
                self._do(effect, started)
            except Exception as problem:  # noqa: BLE001 - logged, and only this effect fails
                _LOG.exception("cannot do %s", type(effect).__name__)
                if isinstance(effect, StartRun):
                    self._end(effect.run, Ending(failure="CommandLaunchFailed", detail=repr(problem)))
            thrown_away = thrown_away or isinstance(effect, RemoveFolder)
        if started:
            self._note_processes(started)
        if thrown_away:
            self._sweep()

    def _do(self, effect: Effect, started: list[tuple[int, str, int]]) -> None:
        match effect:
            case StartRun():
                self._start(effect, started)
            case KillRun():
                self._kill(effect)
            case MakeNode():
                self._make_node(effect)
            case PrepareNode():
                self._prepare_node(effect)
            case RemoveFolder():
                if "/" not in effect.folder and not effect.everywhere:
                    self._escapees.node_gone(effect.folder)
                if effect.everywhere:
                    folders.throw_away_everywhere(self._site, effect.folder)
                else:
                    folders.throw_away(self._site, self._site.nodes / effect.folder)

    def _end(self, run: int, ending: Ending) -> None:
        if ending.container is None:
            self._escapees.run_ended(run)
        self._outcomes.run_ended(run, ending)

    def _container_started(self, run: int, id: str) -> None:
        """Show the task's container, if there is room to write that down."""
        try:
            with self._store.transaction():
                runs.container_started(self._store, run, id)
        except apsw.Error as problem:
            if not is_full(problem):
                raise

    def _container_ended(self, run: int, ending: Ending) -> None:
        if ending.lost:
            self._uploading.pop(run, None)
            self._end(run, ending)
        else:
            self._work_ended(run, ending)

    def _note_processes(self, started: list[tuple[int, str, int]]) -> None:
        """Without this note a process is still found by its mark."""
        try:
            with self._store.transaction():
                self._store.many("UPDATE runs SET pid = ?, born = ? WHERE seq = ?", started)
        except apsw.Error as problem:
            if not is_full(problem):
                raise

    def _kill(self, kill: KillRun) -> None:
        waiting = [item for item in self._postponed if isinstance(item, StartRun) and item.run == kill.run]
        for item in waiting:
            self._postponed.remove(item)
            self._end(kill.run, Ending())
        self._uploading.pop(kill.run, None)
        if self._staging.cancel(kill.run):
            self._end(kill.run, Ending())
        self._processes.kill(kill.run)
        self._containers.kill(kill.run)

    def _make_node(self, make: MakeNode) -> None:
        try:
            folders.make_node(self._site, make.node)
        except OSError as problem:
            if not is_full(problem):
                raise
            self._postponed.append(make)

    def _prepare_node(self, prepare: PrepareNode) -> None:
        try:
            folders.make_node(self._site, prepare.node)
            folders.open_node(self._site, prepare.node)
            self._containers.prepare(prepare.node, prepare.images, prepare.registries)
        except OSError as problem:
            if not is_full(problem):
                raise
            self._postponed.append(prepare)

    def _start(self, start: StartRun, started: list[tuple[int, str, int]]) -> None:
        try:
            folder = folders.fresh_task_folder(self._site, start.folder)
            if start.refused is not None:
                self._end(start.run, start.refused)
                return
        except OSError as problem:
            self._not_started(start, problem)
            return
        if start.resource_files or start.shared_files:
            self._fetch_then_launch(start, folder)
        else:
            self._launch(start, folder, started)

    def _not_started(self, start: StartRun, problem: OSError) -> None:
        if is_full(problem):
            self._postponed.append(start)
        else:
            self._end(start.run, Ending(failure="ResourceDirectoryCreateFailed", detail=str(problem)))

    def _launch(self, start: StartRun, folder: Path, started: list[tuple[int, str, int]]) -> None:
        try:
            if start.coordination is not None:
                shared_folder(self._site, start).mkdir(exist_ok=True)
            if start.container is not None:
                self._launch_container(start, folder)
            else:
                started.append((*self._processes.start(self._process(start, folder)), start.run))
        except LaunchError as problem:
            self._end(start.run, problem.ending)
        except OSError as problem:
            self._not_started(start, problem)
        else:
            if start.output_files:
                self._uploading[start.run] = start

    def _process(self, start: StartRun, folder: Path) -> Launch:
        return Launch(
            run=start.run,
            command_line=coordinated(start.command_line, start.coordination),
            folder=folder,
            environment=task_environment(self._site, start),
        )

    def _launch_container(self, start: StartRun, folder: Path) -> None:
        work = start.container
        assert work is not None
        folders.open_folder(folder)
        launch = ContainerLaunch(
            run=start.run,
            settings=work.settings,
            registries=work.registries,
            command_line=coordinated(start.command_line, start.coordination),
            folder=folder,
            node=self._site.nodes / start.node,
            environment=task_environment(self._site, start),
            vm_size=work.vm_size,
        )
        self._containers.start(launch)

    def _fetch_then_launch(self, start: StartRun, folder: Path) -> None:
        def fetch(cancelled: threading.Event) -> Ending | None:
            storage, shared = self._site.auto_storage, shared_folder(self._site, start)
            failed = resource_files.bring(start.resource_files, folder / "wd", storage, cancelled)
            return failed or resource_files.bring(start.shared_files, shared, storage, cancelled)

        def fetched(failed: Ending | None) -> None:
            if failed is not None:
                self._end(start.run, failed)
                return
            started: list[tuple[int, str, int]] = []
            self._launch(start, folder, started)
            self._note_processes(started)

        self._staging.begin(start.run, fetch, fetched)

    def _work_ended(self, run: int, ending: Ending) -> None:
        """The process or container is gone; the run ends when its output files are uploaded."""
        start = self._uploading.pop(run, None)
        files = output_files.wanted(start.output_files, ending.exit_code or 0) if start else ()
        if start is None or not files:
            self._end(run, ending)
            return
        folder, environment = self._site.nodes / start.folder, task_environment(self._site, start)
        self._staging.begin(
            run,
            lambda cancelled: output_files.send(
                files, folder, environment, ending, cancelled, self._site.output_folder
            ),
            lambda result: self._end(run, result or ending),
        )

    def _sweep(self) -> None:
        task = asyncio.get_running_loop().create_task(asyncio.to_thread(self._empty_trash))
        self._sweeps.add(task)
        task.add_done_callback(self._sweeps.discard)

    def _empty_trash(self) -> None:
        self._containers.remove_trees(folders.empty_trash(self._site))

"""What the scheduler wants done outside the store: plain values, carried out by the engine.

Folders are relative to the directory that holds all nodes.
"""

from dataclasses import dataclass
from enum import StrEnum

from batchctl.server.batch.wire import Doc


class Killing(StrEnum):
    """Why a run is being killed, which decides what becomes of its task."""

    TERMINATE = "terminate"
    TIMEOUT = "timeout"
    REQUEUE = "requeue"
    DISCARD = "discard"


@dataclass(frozen=True, kw_only=True, slots=True)
class Ending:
    """How a run ended: the exit code (128 + n for signal n), and what failed beside that (a Batch code).

    `failure` without an exit code: it could not start; with one: its files could not be uploaded.
    `source` is the address that could not be read or written. The seconds are the processor time it used.
    `container` is the containerInfo of a container task. `lost` says why the node's container engine is gone: then
    nothing is known of the task, and it runs again.
    """

    exit_code: int | None = None
    failure: str | None = None
    detail: str = ""
    source: str = ""
    user_seconds: float = 0.0
    kernel_seconds: float = 0.0
    container: Doc | None = None
    lost: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeProblem:
    """Why a node cannot run containers, as its error says; `is_engine`: because no container engine answers."""

    code: str
    message: str
    is_engine: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class MakeNode:
    """Make the folders of a new node."""

    node: str


@dataclass(frozen=True, kw_only=True, slots=True)
class PrepareNode:
    """Bring a node's container images onto the engine; it waits for that before it takes work."""

    node: str
    images: tuple[str, ...]
    registries: tuple[Doc, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ContainerWork:
    """What makes a task a container task: its containerSettings, its pool's containerRegistries, its node's VM size."""

    settings: Doc
    registries: tuple[Doc, ...]
    vm_size: str


@dataclass(frozen=True, kw_only=True, slots=True)
class StartRun:
    """Start a task, a job preparation or release task, or (without job and task) a start task.

    `settings` are the user's environment settings; `refused` is set when this service cannot run the task at
    all: nothing is started and the run ends so. `resource_files` come before the start, `output_files` go after
    the end, both as the wire documents say. `preparation` is the folder of the job preparation task on that
    node, `coordination` the coordination command line of a multi-instance task of one node. With `leaves_services`
    what it leaves running in sessions of its own is meant to stay. With `container` it runs in one.
    """

    run: int
    command_line: str
    pool: str
    node: str
    dedicated: bool
    folder: str
    job: str | None
    task: str | None
    settings: tuple[tuple[str, str], ...]
    refused: Ending | None = None
    image: str | None = None
    resource_files: tuple[Doc, ...] = ()
    shared_files: tuple[Doc, ...] = ()
    output_files: tuple[Doc, ...] = ()
    preparation: str | None = None
    coordination: str | None = None
    leaves_services: bool = False
    container: ContainerWork | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class KillRun:
    """End a run: all of its process group, politely first."""

    run: int


@dataclass(frozen=True, kw_only=True, slots=True)
class RemoveFolder:
    """Remove `folder`; with `everywhere` it is relative to a node's root, on every node."""

    folder: str
    everywhere: bool = False


Effect = MakeNode | PrepareNode | StartRun | KillRun | RemoveFolder

"""What the Engine API is told about a task's container. Pure.

Source: Azure Batch REST, TaskContainerSettings, ContainerHostBatchBindMountEntry. Decided here: the host's network, because
the service and its friends listen on this machine's loopback; the memory, processors and disk of the whole node, as on a real one
every container of a node may use all of it.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from batchctl.server.batch.resources.vm_size import known_cores, known_disk, known_memory
from batchctl.server.batch.runner.docker.options import OptionError, RunOptions, parse
from batchctl.server.batch.wire import Doc

STATE_LABEL = "io.batchctl.local.state"
SESSION_LABEL = "io.batchctl.local.session"
RUN_LABEL = "io.batchctl.local.run"

_NEVER_MOUNTED = ("AZ_BATCH_NODE_ROOT_DIR", "AZ_BATCH_CERTIFICATES_DIR")
_SOURCES: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "Shared": (("AZ_BATCH_NODE_SHARED_DIR", "AZ_BATCH_TASK_SHARED_DIR"), ()),
    "Startup": (("AZ_BATCH_NODE_STARTUP_DIR",), ("AZ_BATCH_NODE_STARTUP_WORKING_DIR",)),
    "VfsMounts": (("AZ_BATCH_NODE_MOUNTS_DIR",), ()),
    "Task": (("AZ_BATCH_TASK_DIR",), ("AZ_BATCH_TASK_WORKING_DIR",)),
    "JobPrep": (("AZ_BATCH_JOB_PREP_DIR",), ("AZ_BATCH_JOB_PREP_WORKING_DIR",)),
}
"""Of each source that can be mounted: the variables whose paths are mounted, and those that point below them."""


class SettingsError(ValueError):
    """The container settings cannot be used (ContainerInvalidSettings); the message says which and why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ContainerLaunch:
    """What to start: `settings` and `registries` are wire documents, `folder` holds the task's `wd` and gets its output.

    `environment` is the whole of it, without what the image has. `vm_size` is the node's.
    """

    run: int
    settings: Doc
    registries: tuple[Doc, ...]
    command_line: str
    folder: Path
    node: Path
    environment: Mapping[str, str]
    vm_size: str

    @property
    def image(self) -> str:
        """The image's name."""
        return str(self.settings["imageName"])


@dataclass(frozen=True, kw_only=True, slots=True)
class Capacity:
    """What the engine's machine has, and whether it can limit it; `memory` in bytes."""

    cpus: int
    memory: int
    can_limit_memory: bool
    can_limit_cpus: bool
    can_limit_layers: bool


def run_options(launch: ContainerLaunch) -> RunOptions:
    """The launch's containerRunOptions. Raises SettingsError."""
    try:
        return parse(launch.settings.get("containerRunOptions", ""))
    except OptionError as problem:
        raise SettingsError(str(problem)) from None


def container_body(
    launch: ContainerLaunch, options: RunOptions, capacity: Capacity, labels: Mapping[str, str]
) -> Doc:
    """The body of `POST /containers/create`. Raises SettingsError."""
    mounts, environment = _mounts(launch)
    environment |= options.environment
    body: Doc = {
        "Image": launch.image,
        "AttachStdout": True,
        "AttachStderr": True,
        "Env": [f"{name}={value}" for name, value in environment.items()],
        **options.config,
        "Labels": {**options.config.get("Labels", {}), **labels},
    }
    if launch.command_line.strip():
        body["Cmd"] = _words(launch.command_line)
    if launch.settings.get("workingDirectory") != "containerImageDefault" and "WorkingDir" not in body:
        if not _is_mounted(launch.folder, mounts):
            reason = "because containerHostBatchBindMounts does not mount the task's directory"
            raise SettingsError(f"workingDirectory must be containerImageDefault, {reason}")
        body["WorkingDir"] = f"{launch.folder}/wd"
    host = _limits(launch.vm_size, options, capacity) | {"NetworkMode": "host"} | options.host
    host |= _disk_limits(launch.vm_size, options, capacity)
    host["Mounts"] = [*mounts, *options.host.get("Mounts", ())]
    # Its output goes to the task's folder, once.
    host["LogConfig"] = {"Type": "none"}
    return {**body, "HostConfig": host}


def _words(command_line: str) -> list[str]:
    try:
        return shlex.split(command_line)
    except ValueError as problem:
        raise SettingsError(f"The command line cannot be split: {problem}") from None


def _mounts(launch: ContainerLaunch) -> tuple[list[Doc], dict[str, str]]:
    """What is mounted, at its own path, and the environment without the paths that are not."""
    wanted = launch.settings.get("containerHostBatchBindMounts")
    environment = dict(launch.environment)
    if wanted is None:
        return [_bind(str(launch.node), read_only=False)], environment
    sources = {entry.get("source"): bool(entry.get("isReadOnly")) for entry in wanted}
    if None in sources:
        raise SettingsError("containerHostBatchBindMounts: an entry has no source")
    mounts: dict[str, Doc] = {}
    for source, read_only in sources.items():
        names, _ = _SOURCES.get(source, ((), ()))
        paths = [environment[name] for name in names if name in environment]
        if source == "Applications":
            paths = [f"{launch.node}/applications"]
        mounts |= {path: _bind(path, read_only=read_only) for path in paths if Path(path).is_dir()}
    hidden = [name for source, both in _SOURCES.items() if source not in sources for name in sum(both, ())]
    for name in (*hidden, *_NEVER_MOUNTED):
        environment.pop(name, None)
    return list(mounts.values()), environment


def _bind(path: str, *, read_only: bool) -> Doc:
    return {"Type": "bind", "Source": path, "Target": path, "ReadOnly": read_only}


def _is_mounted(folder: Path, mounts: list[Doc]) -> bool:
    return any(folder.is_relative_to(mount["Source"]) for mount in mounts)


def _limits(vm_size: str, options: RunOptions, capacity: Capacity) -> Doc:
    """The limits of the node's VM size, where the engine's machine has more and the options do not set their own."""
    limits: Doc = {}
    memory, cores = known_memory(vm_size), known_cores(vm_size)
    if memory and capacity.can_limit_memory and memory < capacity.memory and "Memory" not in options.host:
        limits |= {"Memory": memory, "MemorySwap": memory}
    has_cpus = "NanoCpus" in options.host or "CpusetCpus" in options.host
    if cores and capacity.can_limit_cpus and cores < capacity.cpus and not has_cpus:
        limits["NanoCpus"] = cores * 10**9
    return limits


def _disk_limits(vm_size: str, options: RunOptions, capacity: Capacity) -> Doc:
    """The temporary disk as the limit of each file, wherever it lies, and of what lies in the container."""
    limits: Doc = {}
    disk = known_disk(vm_size)
    own = options.host.get("Ulimits", [])
    if disk and not any(one["Name"] == "fsize" for one in own):
        limits["Ulimits"] = [*own, {"Name": "fsize", "Soft": disk, "Hard": disk}]
    if disk and capacity.can_limit_layers and "StorageOpt" not in options.host:
        limits["StorageOpt"] = {"size": str(disk)}
    return limits

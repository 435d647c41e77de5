"""Where this service runs tasks, and the environment variables that tell a task about it.

Source of the names: Azure Batch docs, "Azure Batch runtime environment variables". Pure except for reading the
service's own PATH, HOME and LANG, the only parts of its environment a task may see.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from batchctl.server.batch.runner.leftovers import RUN_VARIABLE
from batchctl.server.batch.scheduler.effects import StartRun

NODE_FOLDERS = ("applications", "fsmounts", "shared", "startup", "volatile", "workitems")
RESERVED_DISK_BYTES = 1_000_000_000


@dataclass(frozen=True, kw_only=True)
class Site:
    """`nodes` is the directory of all nodes' root directories; `base` what every process gets besides AZ_BATCH_*.

    `container_note` is the file that tells that a container engine was used. `auto_storage` is the blob endpoint of the
    linked storage account, its signature in the query. `output_folder` is a directory that output files may be written
    below, where a `file://` URL says so: what stands for a container on a machine without storage.
    """

    nodes: Path
    trash: Path
    container_note: Path
    account: str
    endpoint: str
    base: Mapping[str, str]
    auto_storage: str | None = None
    output_folder: Path | None = None


def base_environment(path_prepend: Sequence[Path] = ()) -> dict[str, str]:
    """PATH (`path_prepend`, this interpreter's directory, the service's PATH), HOME and LANG."""
    directories = [
        *map(str, path_prepend),
        str(Path(sys.executable).parent),
        os.environ.get("PATH", os.defpath),
    ]
    environment = {"PATH": os.pathsep.join(directories)}
    return environment | {name: os.environ[name] for name in ("HOME", "LANG") if name in os.environ}


# What a multi-instance task is told about its nodes; here there is one.
_ONE_NODE = {
    "AZ_BATCH_HOST_LIST": "127.0.0.1",
    "AZ_BATCH_NODE_LIST": "127.0.0.1",
    "AZ_BATCH_IS_CURRENT_NODE_MASTER": "true",
    "AZ_BATCH_MASTER_NODE": "127.0.0.1:6000",
    "CCP_NODES": "1 127.0.0.1 1",
}


def shared_folder(site: Site, start: StartRun) -> Path:
    """The directory that the instances of a multi-instance task share (AZ_BATCH_TASK_SHARED_DIR)."""
    return site.nodes / start.folder / "shared"


def task_environment(site: Site, start: StartRun) -> dict[str, str]:
    """The whole environment of a task: the base (of a process), then the user's settings, then AZ_BATCH_*.

    A container has its image's own PATH and HOME, and nothing of it is left when it ends.
    """
    root = site.nodes / start.node
    folder = site.nodes / start.folder
    variables = {
        "AZ_BATCH_ACCOUNT_NAME": site.account,
        "AZ_BATCH_ACCOUNT_URL": site.endpoint,
        "AZ_BATCH_NODE_ID": start.node,
        "AZ_BATCH_NODE_IS_DEDICATED": "true" if start.dedicated else "false",
        "AZ_BATCH_NODE_MOUNTS_DIR": f"{root}/fsmounts",
        "AZ_BATCH_NODE_ROOT_DIR": str(root),
        "AZ_BATCH_NODE_SHARED_DIR": f"{root}/shared",
        "AZ_BATCH_NODE_STARTUP_DIR": f"{root}/startup",
        "AZ_BATCH_NODE_STARTUP_WORKING_DIR": f"{root}/startup/wd",
        "AZ_BATCH_POOL_ID": start.pool,
        "AZ_BATCH_TASK_DIR": str(folder),
        "AZ_BATCH_TASK_RESERVED_EPHEMERAL_DISK_SPACE_BYTES": str(RESERVED_DISK_BYTES),
        "AZ_BATCH_TASK_WORKING_DIR": f"{folder}/wd",
        "AZ_BATCH_CERTIFICATES_DIR": f"{folder}/certs",
    }
    if start.job is not None and start.task is not None:
        variables |= {"AZ_BATCH_JOB_ID": start.job, "AZ_BATCH_TASK_ID": start.task}
        if not start.leaves_services:
            variables[RUN_VARIABLE] = str(start.run)
    if start.preparation is not None:
        prepared = site.nodes / start.preparation
        variables["AZ_BATCH_JOB_PREP_DIR"] = str(prepared)
        variables["AZ_BATCH_JOB_PREP_WORKING_DIR"] = f"{prepared}/wd"
    if start.coordination is not None:
        variables |= _ONE_NODE | {"AZ_BATCH_TASK_SHARED_DIR": str(shared_folder(site, start))}
    if start.container is not None:
        variables.pop(RUN_VARIABLE, None)
        return {**dict(start.settings), **variables}
    return {**site.base, **dict(start.settings), **variables}

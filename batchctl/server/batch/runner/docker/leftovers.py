"""Containers that a dead service left behind, found by their labels and removed.

The label is the directory of the nodes. An engine that can mount it is the one of the machine that has it, and only one
service at a time runs over it, so what has the label and is of another session belongs to nobody who lives.
"""

from collections.abc import Set as AbstractSet
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from batchctl.server.batch.runner.docker.body import RUN_LABEL, SESSION_LABEL, STATE_LABEL
from batchctl.server.batch.runner.docker.connection import (
    Connection,
    EngineLost,
    EngineRefused,
    engine_errors,
)

if TYPE_CHECKING:
    from docker import APIClient


def remove_leftovers(
    api: "APIClient", nodes: Path, *, session: str = "", live: AbstractSet[str] = frozenset()
) -> int:
    """Remove the containers of these nodes but those of the `live` runs of `session`; how many there were. Raises EngineLost."""
    with engine_errors():
        found = api.containers(all=True, filters={"label": f"{STATE_LABEL}={nodes}"})
    dead = [
        one["Id"]
        for one in found
        if one["Labels"].get(SESSION_LABEL) != session or one["Labels"].get(RUN_LABEL) not in live
    ]
    for id in dead:
        with suppress(EngineRefused), engine_errors():
            api.remove_container(id, v=True, force=True)
    return len(dead)


def forget(nodes: Path, note: Path) -> None:
    """Remove the containers of nodes that are to be deleted, and then the note that there may be some."""
    connection = Connection(lambda _: None)
    try:
        api, _ = connection.use()
        remove_leftovers(api, nodes)
    except (EngineLost, EngineRefused):
        return
    finally:
        connection.close()
    note.unlink()

"""The files of a node: everything below its root directory. Source: Azure Batch REST, File - from Compute Node.

Only the folder is found here; what is done with files is the same as for the files of a task.
"""

from pathlib import Path

from batchctl.server.batch.call import Call, Reply
from batchctl.server.batch.handlers.node_operations import refusal
from batchctl.server.batch.handlers.nodes import find_pool_and_node
from batchctl.server.batch.handlers.task_files import (
    delete_below,
    download_below,
    list_below,
    properties_below,
)
from batchctl.server.batch.lifecycle.node import NodeState

_OUT_OF_REACH = (
    NodeState.PREEMPTED,
    NodeState.DEALLOCATING,
    NodeState.DEALLOCATED,
    NodeState.CREATING,
    NodeState.REIMAGING,
)


def list_files(call: Call) -> Reply:
    """The files and folders of a node, in order of their names; deeper ones with `recursive=true` (200)."""
    return list_below(call, *_node_folder(call))


def properties(call: Call) -> Reply:
    """What is known about one file, as headers (200)."""
    return properties_below(call, *_node_folder(call))


def download(call: Call) -> Reply:
    """The bytes of one file, or of a range of it (200)."""
    return download_below(call, *_node_folder(call))


def delete(call: Call) -> Reply:
    """Remove one file, or with `recursive=true` a directory and what is in it (200)."""
    return delete_below(call, *_node_folder(call))


def _node_folder(call: Call) -> tuple[Path, str]:
    pool, node = find_pool_and_node(call)
    root = call.nodes / node.doc["id"]
    if node.doc["state"] in _OUT_OF_REACH or not root.is_dir():
        raise refusal(node)
    return root, f"{call.endpoint}/pools/{pool.doc['id']}/nodes/{node.doc['id']}/files"

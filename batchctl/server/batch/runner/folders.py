"""The directories of nodes and tasks: made, replaced, thrown away.

Removing a tree takes time, so it is first renamed into the trash (at once, and the name is free again) and
deleted there by a thread. What a dead service left in the trash goes when the next one starts.
"""

import shutil
import uuid
from contextlib import suppress
from pathlib import Path

from batchctl.server.batch.runner.site import NODE_FOLDERS, Site

_ANYBODY = 0o777
_SHARED_FOLDERS = ("applications", "fsmounts", "shared", "startup")


def make_node(site: Site, node: str) -> None:
    """The root directory of a node with its standard folders; a file that a task put in the place of one goes."""
    for name in ("", *NODE_FOLDERS):
        folder = site.nodes / node / name
        if not folder.is_dir():
            folder.unlink(missing_ok=True)
        folder.mkdir(parents=True, exist_ok=True)


def open_node(site: Site, node: str) -> None:
    """Let containers of any user write where tasks of the node share files. What leads there is closed to other users here."""
    site.nodes.chmod(0o700)
    for name in _SHARED_FOLDERS:
        (site.nodes / node / name).chmod(_ANYBODY)


def fresh_task_folder(site: Site, folder: str) -> Path:
    """An empty folder with an empty `wd` in it; what an earlier try left is thrown away."""
    path = site.nodes / folder
    try:
        path.mkdir(parents=True)
    except FileExistsError:
        throw_away(site, path)
        path.mkdir(parents=True)
    (path / "wd").mkdir()
    return path


def open_folder(folder: Path) -> None:
    """Let containers of any user write in a task's folder, and do with the files below what their owner may."""
    for path in (folder, *folder.rglob("*")):
        if path.is_symlink():
            continue
        mode = path.stat().st_mode
        path.chmod(_ANYBODY if path.is_dir() else mode | (mode & 0o700) >> 3 | (mode & 0o700) >> 6)


def throw_away(site: Site, path: Path) -> None:
    """Move a tree to the trash; nothing happens if it is not there.

    What cannot be moved (the disk is full, or a task has made its folder read-only) is deleted at once, as far as it can be.
    """
    try:
        site.trash.mkdir(parents=True, exist_ok=True)
        path.rename(site.trash / uuid.uuid4().hex)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError:
        with suppress(OSError):
            path.chmod(0o700)
        shutil.rmtree(path, ignore_errors=True)


def throw_away_everywhere(site: Site, folder: str) -> None:
    """Move `folder`, relative to a node's root, to the trash on every node."""
    for node in site.nodes.iterdir():
        throw_away(site, node / folder)


def empty_trash(site: Site) -> list[Path]:
    """Delete what was thrown away; what could not be, because another user wrote it. Slow: call it in a thread."""
    if not site.trash.is_dir():
        return []
    for tree in site.trash.iterdir():
        if tree.is_dir() and not tree.is_symlink():
            shutil.rmtree(tree, ignore_errors=True)
        else:
            tree.unlink(missing_ok=True)
    return list(site.trash.iterdir())

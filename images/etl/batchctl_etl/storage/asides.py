"""Writing aside: a file or a folder appears under its name only when it is complete.

What is written aside has a name that starts with a dot and ends in `.aside`. It is removed at any failure;
what a killed attempt left is removed by the next attempt of the same task, which is known by its owner mark.
"""

import ctypes
import fcntl
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from batchctl_etl.storage.streams import SinkStream, disk_errors


@contextmanager
def written_aside(path: Path, *, owner: str) -> Iterator[SinkStream]:
    """A stream that becomes the file `path`, replacing it, when the block ends well. Raises `WorkFailed`."""
    with _aside(path, owner) as aside:
        with disk_errors(str(path), "written"):
            file = aside.open("xb")
        with file, SinkStream(file, str(path)) as stream:
            yield stream
        with disk_errors(str(path), "written"):
            aside.replace(path)


@contextmanager
def folder_aside(path: Path, *, owner: str) -> Iterator[Path]:
    """An empty folder that becomes `path`, replacing it whole, when the block ends well. Raises `WorkFailed`.

    A reader sees the old folder or the new one: the two are exchanged in one step. Only a file system that
    cannot do that shows, for the moment between two renames, none.
    """
    with _aside(path, owner) as aside:
        with disk_errors(str(path), "written"):
            aside.mkdir()
        yield aside
        with disk_errors(str(path), "written"), locked(path.parent):
            _restore(path)
            _swap(aside, path)


@contextmanager
def files_aside(path: Path, name: str, *, owner: str) -> Iterator[Path]:
    """An empty folder. The files `name` in its subfolders go to the same places in `path`, one after the other, when the
    block ends well, and no other file of that name stays there. Raises `WorkFailed`."""
    with _aside(path, owner) as aside:
        with disk_errors(str(path), "written"):
            aside.mkdir()
        yield aside
        with disk_errors(str(path), "written"):
            new = {file.relative_to(aside) for file in aside.rglob(name)}
            old = {file.relative_to(path) for file in path.rglob(name)} if path.exists() else set()
            for file in sorted(new):
                (path / file).parent.mkdir(parents=True, exist_ok=True)
                (aside / file).replace(path / file)
            for file in sorted(old - new):
                (path / file).unlink()


@contextmanager
def _aside(path: Path, owner: str) -> Iterator[Path]:
    """A free name beside `path`. Afterwards nothing is left there, nor, after a failure, of folders made for
    it."""
    missing = [folder for folder in path.parents if not folder.exists()]
    prefix = f".{path.name[:100]}.{owner}."
    try:
        with disk_errors(str(path.parent), "made"):
            path.parent.mkdir(parents=True, exist_ok=True)
        with disk_errors(str(path.parent), "read"):
            leftovers = [item for item in path.parent.iterdir() if _is_aside(item.name, prefix)]
        for leftover in leftovers:
            _remove(leftover)
        aside = path.parent / f"{prefix}{uuid.uuid4().hex[:8]}.aside"
        try:
            yield aside
        finally:
            _remove(aside)
    except BaseException:
        for folder in missing:
            with suppress(OSError):
                folder.rmdir()
        raise


def _is_aside(name: str, prefix: str) -> bool:
    return name.startswith(prefix) and name.endswith(".aside")


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def _swap(new: Path, path: Path) -> None:
    if not path.exists():
        new.rename(path)
        return
    if _exchanged(new, path):
        return  # What was old has the name of an aside now, and goes as one.
    old = _old(path)
    path.rename(old)
    try:
        new.rename(path)
    except OSError:
        old.rename(path)
        raise
    shutil.rmtree(old)


def _exchanged(one: Path, other: Path) -> bool:
    """Let each have the other's name, in one step (Linux, renameat2(2)); `False` if that cannot be done here."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return bool(renameat2(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0)


def _restore(path: Path) -> None:
    """Finish what a process killed between the two renames of `_swap` left."""
    old = _old(path)
    if old.exists() and path.exists():
        shutil.rmtree(old)
    elif old.exists():
        old.rename(path)


def _old(path: Path) -> Path:
    return path.with_name(f".{path.name[:100]}.old.aside")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Only one process at a time is in such a block for `folder`; the lock ends with the process."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)

"""A lake that is a folder: `file:///…` or a bare path.

Appends go to the file at once, unbuffered; a put is written aside and moved into place.
"""

import os
from datetime import datetime
from pathlib import Path

from batchctl_runtime.errors import LakeError, StageError
from batchctl_runtime.task import attempt_name, next_moment


def folder_of(url: str) -> Path:
    """The folder a `file:///…` URL (percent-encoded) or a bare path names. Raises `StageError` for another
    host."""
    if not url.startswith("file://"):
        return Path(url)
    host, slash, path = url.removeprefix("file://").partition("/")
    if host not in {"", "localhost"} or not slash:
        raise StageError(
            f"BATCHCTL_RUNS_URL {url!r}: a file URL has three slashes and an absolute path: file:///lake/"
        )
    if "%" in path:
        from urllib.parse import unquote

        path = unquote(path)
    return Path("/" + path)


class FileLake:
    """The folder of one attempt, with its log files held open."""

    def __init__(self, folder: Path, logs: tuple[str, ...]) -> None:
        self.folder = folder
        self._files = {name: (folder / name).open("ab", buffering=0) for name in logs}

    @classmethod
    def create(cls, task_folder: Path, *, began: datetime, logs: tuple[str, ...]) -> "FileLake":
        """Make the attempt's folder, under a name no other attempt has."""
        try:
            task_folder.mkdir(parents=True, exist_ok=True)
            while True:
                folder = task_folder / attempt_name(began)
                try:
                    folder.mkdir()
                except FileExistsError:
                    began = next_moment(began)
                    continue
                return cls(folder, logs)
        except OSError as error:
            raise _refused(task_folder, error) from error

    def append(self, name: str, data: bytes) -> None:
        file = self._files[name]
        view = memoryview(data)
        try:
            while view:
                view = view[file.write(view) :]
        except OSError as error:
            raise _refused(self.folder / name, error) from error

    def put(self, name: str, data: bytes) -> None:
        aside = self.folder / f".{name}.{os.getpid()}"
        try:
            try:
                aside.write_bytes(data)
                aside.replace(self.folder / name)
            except OSError:
                aside.unlink(missing_ok=True)
                raise
        except OSError as error:
            raise _refused(self.folder / name, error) from error

    def close(self) -> None:
        for file in self._files.values():
            file.close()


def _refused(path: Path, error: OSError) -> LakeError:
    return LakeError(
        f"{path}: cannot write to the lake: {error.strerror or error}; check the folder and its permissions"
    )

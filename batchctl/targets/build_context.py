"""The context of a build: which files of a folder are sent, their digest, and the tar that is sent.

The digest covers exactly what is sent and nothing else: times, owners and permissions but the x bit are left out of both. It
does not ask an engine or a registry: the same content has the same digest everywhere. Nothing here builds.
"""

import hashlib
import json
import os
import stat
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from batchctl.errors import Conflict, UsageError

_FORMAT = "batchctl context 1"
_CHUNK = 1 << 20
_MTIME = 946_684_800
"""2000-01-01: every file's time. Not 0, because zip, and so a wheel, knows no time before 1980."""


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...


@dataclass(frozen=True, kw_only=True)
class BuildContext:
    """What an image is built from."""

    folder: Path
    dockerfile: str
    """Path in the folder, with `/`."""
    build_args: Mapping[str, str]
    files: tuple[str, ...]
    """Files, folders and links that are sent, sorted; paths in the folder, with `/`."""
    digest: str
    """`sha256:…`"""

    @property
    def dockerfile_path(self) -> str:
        """The Dockerfile, as a person would name it."""
        return os.path.normpath(self.folder / self.dockerfile)

    def dockerfile_text(self) -> str:
        """The Dockerfile's text; what is not UTF-8 is replaced."""
        return (self.folder / self.dockerfile).read_text("utf-8", errors="replace")

    def write_tar(self, to: IO[bytes]) -> None:
        """Write what is sent to the engine to `to`. Raises Conflict if it is no longer what the digest was made of."""
        found = _started(self.dockerfile, self.build_args)
        with tarfile.open(mode="w", fileobj=to, format=tarfile.PAX_FORMAT) as tar:
            for path, info in _entries(self.folder, self.files):
                _describe(found, info)
                if info.isfile():
                    with _opened(path) as file:
                        tar.addfile(info, _Watched(file, found, info.size, path))
                else:
                    tar.addfile(info)
        if "sha256:" + found.hexdigest() != self.digest:
            raise Conflict(f"{self.folder} changed while it was read", hint="try again")


def build_context(
    folder: Path, dockerfile: str = "Dockerfile", build_args: Mapping[str, str] | None = None
) -> BuildContext:
    """The context in `folder`, without what its .dockerignore names; `<dockerfile>.dockerignore` goes before `.dockerignore`.

    Raises UsageError if there is no folder or no Dockerfile in it, or a file cannot be read.
    """
    if not folder.is_dir():
        raise UsageError(
            f"there is no folder {folder} to build from", hint="images: {NAME: {context: FOLDER}}"
        )
    inside = Path(os.path.normpath(dockerfile)).as_posix()
    if inside.startswith(("../", "/")):
        raise UsageError(f"the Dockerfile {dockerfile} is not in its context {folder}")
    if not (folder / inside).is_file():
        raise UsageError(
            f"there is no {dockerfile} in {folder}",
            hint="images: {NAME: {context: FOLDER, dockerfile: FILE}}",
        )
    args = dict(build_args or {})
    files = _sent_files(folder, inside)
    digest = _started(inside, args)
    for path, info in _entries(folder, files):
        _describe(digest, info)
        if info.isfile():
            with _opened(path) as file:
                while data := file.read(_CHUNK):
                    digest.update(data)
    return BuildContext(
        folder=folder, dockerfile=inside, build_args=args, files=files, digest="sha256:" + digest.hexdigest()
    )


def _sent_files(folder: Path, dockerfile: str) -> tuple[str, ...]:
    from docker.utils.build import exclude_paths

    own, shared = folder / f"{dockerfile}.dockerignore", folder / ".dockerignore"
    ignore = own if own.is_file() else shared
    lines = ignore.read_text("utf-8", errors="replace").splitlines() if ignore.is_file() else []
    patterns = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    # The ignore file itself is never sent: the engine would apply it a second time, and it may be another Dockerfile's.
    found = {Path(path).as_posix() for path in exclude_paths(str(folder.resolve()), patterns, dockerfile)}
    return tuple(sorted(found - {".dockerignore", f"{dockerfile}.dockerignore"}))


def _entries(folder: Path, files: tuple[str, ...]) -> Iterator[tuple[Path, tarfile.TarInfo]]:
    """Each file's path, and what the tar says of it. Sockets, pipes and devices are left out."""
    for name in files:
        path = folder / name
        try:
            found = path.lstat()
            info = tarfile.TarInfo(name)
            info.mtime = _MTIME
            info.mode = 0o755 if found.st_mode & 0o100 else 0o644
            if stat.S_ISLNK(found.st_mode):
                info.type, info.linkname, info.mode = tarfile.SYMTYPE, os.readlink(path), 0o777  # noqa: PTH115 - byte for byte
            elif stat.S_ISDIR(found.st_mode):
                info.type, info.mode = tarfile.DIRTYPE, 0o755
            elif stat.S_ISREG(found.st_mode):
                info.size = found.st_size
            else:
                continue
        except FileNotFoundError:
            raise Conflict(f"{path} went away while its folder was read", hint="try again") from None
        yield path, info


def _opened(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except OSError as error:
        raise UsageError(
            f"{path}: {error.strerror}", hint="or name it in .dockerignore, if the image does not need it"
        ) from None


def _started(dockerfile: str, build_args: Mapping[str, str]) -> "hashlib._Hash":
    head = [_FORMAT, dockerfile, sorted(build_args.items())]
    return hashlib.sha256(json.dumps(head).encode())


def _describe(digest: _Hash, info: tarfile.TarInfo) -> None:
    line = [info.name, info.type.decode(), info.mode, info.size, info.linkname]
    digest.update(b"\n" + json.dumps(line).encode() + b"\n")


class _Watched:
    """A file that hashes what is read of it, and knows how much there should be."""

    def __init__(self, file: IO[bytes], digest: _Hash, size: int, path: Path) -> None:
        self.file, self.digest, self.left, self.path = file, digest, size, path

    def read(self, size: int = -1) -> bytes:
        data = self.file.read(size)
        self.left -= len(data)
        if self.left > 0 and len(data) < size:
            raise Conflict(f"{self.path} changed while it was read", hint="try again")
        self.digest.update(data)
        return data

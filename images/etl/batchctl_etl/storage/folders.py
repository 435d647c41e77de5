"""A folder of files as a sink: one file added, or all of them replaced by one; on disk or in Azure.

On disk a replacement is one atomic exchange of folders. Azure has no folders: there the new file is committed
first and the others are deleted after it, so a reader in between sees both; with one file, which is what a
replacement leaves, it sees the old or the new.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from batchctl_etl.errors import WorkFailed
from batchctl_etl.storage.asides import files_aside, folder_aside, written_aside
from batchctl_etl.storage.locations import BlobLocation, FileLocation, location
from batchctl_etl.storage.streams import SinkStream, disk_errors


class Folder(Protocol):
    """Every verb raises `WorkFailed`, and the folder is then as it was."""

    name: str
    """For messages."""

    def subfolder(self, name: str) -> "Folder":
        """The folder `name` in this one; it need not exist."""

    def others(self, suffix: str, by: tuple[str, ...] = ()) -> list[str]:
        """What is in the folder and is not a file whose name ends in `suffix`, or a folder `column=…` of such files, one
        level for each column of `by`."""

    def added(self, name: str, *, owner: str) -> AbstractContextManager[SinkStream]:
        """A stream that becomes the file `name`, replacing that one only, when the block ends well."""

    def replaced(self, name: str, *, owner: str) -> AbstractContextManager[SinkStream]:
        """A stream that becomes the file `name`, the only one in the folder, when the block ends well."""

    def many(self, name: str, *, owner: str, replacing: bool) -> AbstractContextManager["Files"]:
        """Opens files called `name` in subfolders, one after the other. When the block ends well they are in the folder,
        and whatever else is called so is not; `replacing`: nothing else is there at all."""


Files = Callable[[str], AbstractContextManager[SinkStream]]
"""Opens the file in the subfolder of that name."""


def folder_at(url: str) -> Folder:
    """The folder that `url` names."""
    where = location(url)
    if isinstance(where, BlobLocation):
        return BlobFolder(where)
    assert isinstance(where, FileLocation)
    return DiskFolder(where.path)


class DiskFolder:
    """A folder on disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.name = str(path)

    def subfolder(self, name: str) -> "DiskFolder":
        return DiskFolder(self._path / name)

    def others(self, suffix: str, by: tuple[str, ...] = ()) -> list[str]:
        if not self._path.exists():
            return []
        if not self._path.is_dir():
            raise WorkFailed(self.name, "is a file", "name a folder")
        with disk_errors(self.name, "read"):
            return sorted(item.relative_to(self._path).as_posix() for item in _others(self._path, suffix, by))

    def added(self, name: str, *, owner: str) -> AbstractContextManager[SinkStream]:
        return written_aside(self._path / name, owner=owner)

    @contextmanager
    def replaced(self, name: str, *, owner: str) -> Iterator[SinkStream]:
        with folder_aside(self._path, owner=owner) as aside:
            with disk_errors(self.name, "written"):
                file = (aside / name).open("xb")
            with file, SinkStream(file, self.name) as stream:
                yield stream

    @contextmanager
    def many(self, name: str, *, owner: str, replacing: bool) -> Iterator[Files]:
        if replacing:
            with folder_aside(self._path, owner=owner) as aside:
                yield _files(aside, name, self.name)
            return
        with files_aside(self._path, name, owner=owner) as aside:
            yield _files(aside, name, self.name)


def _files(root: Path, name: str, where: str) -> Files:
    @contextmanager
    def opened(subfolder: str) -> Iterator[SinkStream]:
        path = root / subfolder / name
        with disk_errors(f"{where}/{subfolder}", "written"):
            path.parent.mkdir(parents=True)
            file = path.open("xb")
        with file, SinkStream(file, f"{where}/{subfolder}") as stream:
            yield stream

    return opened


def _others(folder: Path, suffix: str, by: tuple[str, ...]) -> Iterator[Path]:
    for item in folder.iterdir():
        if by and item.is_dir() and item.name.startswith(f"{by[0]}="):
            yield from _others(item, suffix, by[1:])
        elif item.is_dir() or item.suffix != suffix:
            yield item


class BlobFolder:
    """The blobs whose names begin with one prefix."""

    def __init__(self, where: BlobLocation) -> None:
        prefix = where.name.rstrip("/")
        self._where = BlobLocation(
            account=where.account,
            container=where.container,
            name=f"{prefix}/" if prefix else "",
            is_folder=True,
        )
        self.name = self._where.url

    def subfolder(self, name: str) -> "BlobFolder":
        return BlobFolder(self._blob(name))

    def others(self, suffix: str, by: tuple[str, ...] = ()) -> list[str]:
        names = [name.removeprefix(self._where.name) for name in self._names()]
        return [name for name in names if not _is_part(name, suffix, by)]

    def added(self, name: str, *, owner: str) -> AbstractContextManager[SinkStream]:
        del owner  # What a killed attempt left are blocks without a name, which Azure removes.
        from batchctl_etl.storage.azure_blobs import blob_aside

        return blob_aside(self._blob(name))

    @contextmanager
    def replaced(self, name: str, *, owner: str) -> Iterator[SinkStream]:
        from batchctl_etl.storage.azure_blobs import delete_blobs

        with self.added(name, owner=owner) as stream:
            yield stream
        delete_blobs(self._where, [old for old in self._names() if old != self._where.name + name])

    @contextmanager
    def many(self, name: str, *, owner: str, replacing: bool) -> Iterator[Files]:
        from batchctl_etl.storage.azure_blobs import delete_blobs

        before, new = set(self._names()), set[str]()

        def opened(subfolder: str) -> AbstractContextManager[SinkStream]:
            new.add(f"{self._where.name}{subfolder}/{name}")
            return self.added(f"{subfolder}/{name}", owner=owner)

        try:
            yield opened
        except BaseException:
            delete_blobs(self._where, sorted(new - before))
            raise
        gone = before if replacing else {old for old in before if old.endswith(f"/{name}")}
        delete_blobs(self._where, sorted(gone - new))

    def _blob(self, name: str) -> BlobLocation:
        where = self._where
        return BlobLocation(
            account=where.account, container=where.container, name=where.name + name, is_folder=False
        )

    def _names(self) -> list[str]:
        from batchctl_etl.storage.azure_blobs import blob_names

        return blob_names(self._where)


def _is_part(name: str, suffix: str, by: tuple[str, ...]) -> bool:
    *folders, file = name.split("/")
    named = all(folder.startswith(f"{column}=") for folder, column in zip(folders, by, strict=False))
    return file.endswith(suffix) and len(folders) <= len(by) and named

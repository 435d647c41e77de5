"""A task's resource files: brought into its working directory before it starts.

Source: Azure Batch REST, ResourceFile, TaskFailureInformation. Blocks: call it in a thread.
"""

import threading
from pathlib import Path

from batchctl.server.batch.runner.blobs import (
    Problem,
    TransferError,
    blob_names,
    blob_url,
    fetch,
    without_query,
)
from batchctl.server.batch.scheduler.effects import Ending
from batchctl.server.batch.wire import Doc
from batchctl.server.disk import is_full

DEFAULT_MODE = "0770"

_CODES = {
    Problem.MISSING: "BlobNotFound",
    Problem.DENIED: "BlobAccessDenied",
    Problem.TIMEOUT: "BlobDownloadTimedOut",
    Problem.OTHER: "BlobDownloadMiscError",
}


class _FileError(Exception):
    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.ending = Ending(failure=code, detail=detail)


def bring(
    files: tuple[Doc, ...], directory: Path, auto_storage: str | None, cancelled: threading.Event
) -> Ending | None:
    """Download `files` (checked ResourceFile documents) into `directory`; None, or how the task ends without them.

    `auto_storage` is the blob endpoint of the linked storage account, with a signature in its query if it needs one.
    Raises TransferCancelled once `cancelled` is set.
    """
    for file in files:
        try:
            _bring_one(file, directory, auto_storage, cancelled)
        except TransferError as problem:
            code = _CODES[problem.problem]
            return Ending(failure=code, detail=str(problem), source=problem.address)
        except _FileError as problem:
            return problem.ending
    return None


def _bring_one(file: Doc, directory: Path, auto_storage: str | None, cancelled: threading.Event) -> None:
    mode = int(file.get("fileMode", DEFAULT_MODE), 8)
    container = file.get("storageContainerUrl")
    source = file.get("httpUrl") or container or file["autoStorageContainerName"]
    if "identityReference" in file:
        detail = "a managed identity is not available on this machine, use a URL with a signature"
        raise TransferError(Problem.DENIED, without_query(source), detail)
    if "httpUrl" in file:
        _write(file["httpUrl"], directory, file["filePath"], mode, cancelled)
        return
    if container is None:
        if auto_storage is None:
            raise TransferError(Problem.OTHER, source, "the account has no auto-storage")
        container = blob_url(auto_storage, source)
    for name in blob_names(container, file.get("blobPrefix", ""), cancelled):
        if not name.endswith("/"):
            path = f"{file.get('filePath', '')}/{name}".lstrip("/")
            _write(blob_url(container, name), directory, path, mode, cancelled)


def _write(url: str, directory: Path, name: str, mode: int, cancelled: threading.Event) -> None:
    if name.startswith("/") or ".." in name.split("/") or "\0" in name:
        raise _FileError(
            "ResourceFileCreateFailed", f"The path is outside of the working directory: {name!r}"
        )
    target = directory / name
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        code = "DiskFull" if is_full(problem) else "ResourceDirectoryCreateFailed"
        raise _FileError(code, f"{name}: {problem.strerror}") from None
    try:
        fetch(url, target, cancelled)
        target.chmod(mode)
    except OSError as problem:
        is_made = target.is_file()
        code = "ResourceFileWriteFailed" if is_made else "ResourceFileCreateFailed"
        raise _FileError("DiskFull" if is_full(problem) else code, f"{name}: {problem.strerror}") from None

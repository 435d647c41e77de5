"""The files of a task: listed, described, downloaded. Source: Azure Batch REST, File.

Paths are relative to the task's folder. A file that is being written is served as long as it was when asked for.
"""

import errno
import mimetypes
import os
import re
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from urllib.parse import quote

import orjson
from anyio import to_thread

from batchctl.server.batch.call import Call, Reply
from batchctl.server.batch.errors import ServiceError
from batchctl.server.batch.handlers.tasks import find_job_and_task
from batchctl.server.batch.lifecycle.task import TaskState
from batchctl.server.batch.listing import Page, list_reply
from batchctl.server.batch.scheduler.runs import is_retained
from batchctl.server.batch.wire import Doc, http_date, instant_text

_CHUNK_BYTES = 256 * 1024
_RANGE = re.compile(r"bytes=(\d{1,20})-(\d{0,20})", re.ASCII)
_LATEST = 253_402_300_799  # 9999-12-31T23:59:59Z: a task may give its files any time


def list_files(call: Call) -> Reply:
    """The files and folders of a task, in order of their names; deeper ones with `recursive=true` (200)."""
    return list_below(call, *_task_folder(call))


def properties(call: Call) -> Reply:
    """What is known about one file, as headers (200)."""
    return properties_below(call, *_task_folder(call))


def download(call: Call) -> Reply:
    """The bytes of one file, or of a range of it (`ocp-range` or `Range`) (200)."""
    return download_below(call, *_task_folder(call))


def delete(call: Call) -> Reply:
    """Remove one file, or with `recursive=true` a directory and what is in it (200)."""
    return delete_below(call, *_task_folder(call))


def list_below(call: Call, root: Path, url: str) -> Reply:
    """`list_files` of any folder on a node; `url` is its address."""
    recursive = call.flag("recursive")
    found = sorted(_walk(root, "", recursive=recursive))

    def fetch(page: Page) -> Iterator[tuple[int, Doc]]:
        for place, name in enumerate(found[page.after : page.after + page.limit], start=page.after + 1):
            with suppress(FileNotFoundError):  # it is gone since it was found
                yield place, _entry(root / name, name, url)

    return list_reply(call, "files", "BatchNodeFile", fetch)


def properties_below(call: Call, root: Path, url: str) -> Reply:
    """`properties` of a file in any folder on a node."""
    _, status, headers = _file(call, root, url)
    _check_conditions(call, status)
    length = 0 if S_ISDIR(status.st_mode) else status.st_size
    return Reply(status=200, headers=headers | {"Content-Length": str(length)}, stream=_nothing())


def download_below(call: Call, root: Path, url: str) -> Reply:
    """`download` of a file in any folder on a node."""
    path, status, headers = _file(call, root, url)
    if S_ISDIR(status.st_mode):
        raise ServiceError("OperationInvalidForCurrentState", ("Reason", "A directory has no content."))
    _check_conditions(call, status)
    first, last = _range(call.headers.get("ocp-range") or call.headers.get("range"), status.st_size)
    headers["Content-Length"] = str(last - first + 1)
    if not os.access(path, os.R_OK):
        raise ServiceError("IOError", ("Reason", "The file may not be read."))
    # Who opens a pipe waits for its other end, so only a regular file is opened.
    stream = _read(path, first, last - first + 1) if S_ISREG(status.st_mode) else _nothing()
    return Reply(status=200, headers=headers, stream=stream)


def delete_below(call: Call, root: Path, url: str) -> Reply:
    """`delete` of a file in any folder on a node."""
    recursive = call.flag("recursive")
    path, *_ = _file(call, root, url)
    try:
        if not path.is_dir() or path.is_symlink():
            path.unlink()
        elif recursive:
            shutil.rmtree(path)
        else:
            path.rmdir()
    except OSError as problem:
        if problem.errno == errno.ENOTEMPTY:
            raise ServiceError(
                "OperationInvalidForCurrentState", ("Reason", "The directory is not empty.")
            ) from None
        raise ServiceError("IOError", ("Reason", str(problem.strerror))) from None
    return Reply(status=200)


def _task_folder(call: Call) -> tuple[Path, str]:
    job, task = find_job_and_task(call)
    if task.place is None:
        raise ServiceError("TaskFilesUnavailable")
    if task.state == TaskState.COMPLETED and not is_retained(call.store, task, call.now):
        gone = call.store.nodes.get(orjson.loads(task.place)[1]) is None
        raise ServiceError("NodeNotFound" if gone else "TaskFilesCleanedup")
    _, node, folder = orjson.loads(task.place)
    if call.store.nodes.get(node) is None:
        raise ServiceError("NodeNotFound")
    root = call.nodes / node / folder
    if not root.is_dir():
        raise ServiceError("TaskFilesUnavailable")
    url = f"{call.endpoint}/jobs/{job.doc['id']}/tasks/{call.params['taskId']}/files"
    return root, url


def _file(call: Call, root: Path, url: str) -> tuple[Path, os.stat_result, dict[str, str]]:
    name = call.params["filePath"].strip("/")
    if not name:
        raise ServiceError("InvalidUri")
    path = root / name
    # A task may link to anything on this machine; only what is on its node is its file.
    node = call.nodes.joinpath(*root.relative_to(call.nodes).parts[:1]).resolve()
    if "\0" in name or ".." in name.split("/"):
        raise ServiceError("FileNotFound")
    try:
        within = path.resolve().is_relative_to(node)
        status = path.stat()
    except (OSError, RuntimeError):  # not there, no name a file could have, or a link to itself
        within = False
    if not within:
        raise ServiceError("FileNotFound")
    is_directory = S_ISDIR(status.st_mode)
    headers = {
        "Content-Type": _content_type(name, is_directory=is_directory),
        "ETag": _etag(status),
        "Last-Modified": http_date(_instant(status.st_mtime)),
        "ocp-creation-time": http_date(_instant(status.st_ctime)),
        "ocp-batch-file-isdirectory": str(is_directory),
        "ocp-batch-file-url": quote(f"{url}/{name}", safe=""),
        "ocp-batch-file-mode": f"0o{status.st_mode:o}",
    }
    return path, status, headers


def _check_conditions(call: Call, status: os.stat_result) -> None:
    call.check_conditions(_etag(status), _instant(status.st_mtime))


def _walk(root: Path, below: str, *, recursive: bool) -> Iterator[str]:
    try:
        entries = list(os.scandir(root / below))
    except OSError:  # gone meanwhile, or closed by the task
        return
    for entry in entries:
        name = f"{below}{entry.name}"
        yield name
        if recursive and entry.is_dir(follow_symlinks=False):
            yield from _walk(root, f"{name}/", recursive=True)


def _entry(path: Path, name: str, url: str) -> Doc:
    status = path.lstat()
    is_directory = path.is_dir()
    raw = os.fsencode(name)  # a file's name need not be UTF-8
    entry: Doc = {"name": raw.decode(errors="replace"), "url": f"{url}/{quote(raw)}"}
    entry["isDirectory"] = is_directory
    if not is_directory:
        entry["properties"] = {
            "creationTime": _instant(status.st_ctime),
            "lastModified": _instant(status.st_mtime),
            "contentLength": str(status.st_size),
            "contentType": _content_type(name, is_directory=False),
            "fileMode": f"0o{status.st_mode:o}",
        }
    return entry


def _range(text: str | None, size: int) -> tuple[int, int]:
    """The first and last byte asked for; the whole file without a range. Raises InvalidRange."""
    if not text:
        return 0, size - 1
    match = _RANGE.fullmatch(text.replace(" ", ""))
    if match is None:
        raise ServiceError("InvalidHeaderValue", ("HeaderName", "ocp-range"), ("HeaderValue", text))
    first = int(match[1])
    last = min(int(match[2]) if match[2] else size - 1, size - 1)
    if first >= size or last < first:
        raise ServiceError("InvalidRange")
    return first, last


async def _read(path: Path, first: int, length: int) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        file.seek(first)
        while length > 0:
            data = await to_thread.run_sync(file.read, min(length, _CHUNK_BYTES))
            if not data:
                return
            length -= len(data)
            yield data


async def _nothing() -> AsyncIterator[bytes]:
    no_chunks: tuple[bytes, ...] = ()
    for chunk in no_chunks:
        yield chunk


def _etag(status: os.stat_result) -> str:
    return f"0x{status.st_mtime_ns:X}"


def _instant(seconds: float) -> str:
    return instant_text(datetime.fromtimestamp(min(max(seconds, 0), _LATEST), UTC))


def _content_type(name: str, *, is_directory: bool) -> str:
    guessed = None if is_directory else mimetypes.guess_type(name)[0]
    return guessed or "application/octet-stream"

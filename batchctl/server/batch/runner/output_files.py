"""A task's output files: uploaded to blob containers after its process has ended.

Source: Azure Batch REST, OutputFile; the two log files are those of the service's own uploader. Blocks: call it in a
thread.
"""

import glob
import json
import os
import re
import shutil
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from batchctl.server.batch.runner.blobs import Problem, TransferError, blob_url, put, without_query
from batchctl.server.batch.scheduler.effects import Ending
from batchctl.server.batch.wire import Doc

_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)\})")


def wanted(files: tuple[Doc, ...], exit_code: int) -> tuple[Doc, ...]:
    """Those of `files` (OutputFile documents) whose condition holds after a process that ended so."""
    conditions = {"taskcompletion", "taskfailure" if exit_code else "tasksuccess"}
    return tuple(file for file in files if file["uploadOptions"]["uploadCondition"].lower() in conditions)


def matched(
    pattern: str, directory: Path, environment: Mapping[str, str]
) -> Iterator[tuple[Path, str | None]]:
    """The files that `pattern` (relative to `directory`) means, in order of their names.

    With each its path below the pattern's part without wildcards, or None when the pattern has none.
    """
    expanded = _VARIABLE.sub(lambda found: environment.get(found[1] or found[2], found[0]), pattern)
    if not glob.has_magic(expanded):
        path = Path(os.path.normpath(directory / expanded))
        if path.is_file():
            yield path, None
        return
    parts = Path(expanded).parts
    fixed = next(place for place, part in enumerate(parts) if glob.has_magic(part))
    base = Path(os.path.normpath(directory.joinpath(*parts[:fixed])))
    for name in sorted(_names(base, parts[fixed:])):
        if (base / name).is_file():
            yield base / name, name


def _names(base: Path, parts: tuple[str, ...]) -> set[str]:
    """What the pattern of these parts finds below `base`; `**` goes through no link, which might lead back."""
    if "**" not in parts:
        # Not Path.glob: that also finds the files whose names begin with a dot.
        return set(glob.glob("/".join(parts), root_dir=base))  # noqa: PTH207
    place = parts.index("**")
    behind = parts[place + 1 :] or ("*",)
    found: set[str] = set()
    for start in _names(base, parts[:place]) if place else {""}:
        for folder, inner, _ in os.walk(base / start):
            inner[:] = [name for name in inner if not name.startswith(".")]
            below = Path(folder).relative_to(base)
            found.update(str(below / name) for name in _names(Path(folder), behind))
    return found


def blob_name(destination: str | None, path: Path, below: str | None) -> str:
    """The blob's name: `destination` is the name itself for one file, and a virtual directory with wildcards."""
    prefix = (destination or "").strip("/")
    if below is None:
        return prefix or path.name
    return f"{prefix}/{below}" if prefix else below


def send(
    files: tuple[Doc, ...],
    folder: Path,
    environment: Mapping[str, str],
    ending: Ending,
    cancelled: threading.Event,
    output_folder: Path | None = None,
) -> Ending:
    """Upload what `files` mean from the task's `folder`; `ending`, with the first failure added to it.

    A container whose URL is `file://` is a directory, and must lie in `output_folder`.

    All are tried. What happened is written to `fileuploadout.txt` and `fileuploaderr.txt` there. Raises
    TransferCancelled once `cancelled` is set.
    """
    try:
        return _send_all(files, folder, environment, ending, cancelled, output_folder)
    except (OSError, ValueError) as problem:
        return replace(ending, failure="FileUploadMiscError", detail=str(problem))


def _send_all(
    files: tuple[Doc, ...],
    folder: Path,
    environment: Mapping[str, str],
    ending: Ending,
    cancelled: threading.Event,
    output_folder: Path | None,
) -> Ending:
    failure: Ending | None = None
    with (
        (folder / "fileuploadout.txt").open("w", encoding="utf-8", errors="replace") as out,
        (folder / "fileuploaderr.txt").open("w", encoding="utf-8", errors="replace") as err,
    ):
        for file in files:
            found = list(matched(file["filePattern"], folder / "wd", environment))
            out.write(f"{len(found)} files match the pattern {file['filePattern']}\n")
            for path, below in found:
                container = file["destination"]["container"]
                url = blob_url(container["containerUrl"], blob_name(container.get("path"), path, below))
                out.write(f"Uploading {path} to {without_query(url)}\n")
                try:
                    if url.startswith("file:"):
                        _copy(path, url, output_folder)
                    else:
                        _send_one(path, url, container, cancelled)
                except (TransferError, OSError) as problem:
                    failed = _failed(ending, problem, url)
                    record = {"code": failed.failure, "message": str(problem), "file": str(path)}
                    record |= {"pattern": file["filePattern"], "destination": without_query(url)}
                    err.write(json.dumps(record) + "\n")
                    failure = failure or failed
    return failure or ending


def _send_one(path: Path, url: str, container: Doc, cancelled: threading.Event) -> None:
    if "identityReference" in container:
        detail = "a managed identity is not available on this machine, use a URL with a signature"
        raise TransferError(Problem.DENIED, without_query(url), detail)
    headers = {item["name"]: item.get("value", "") for item in container.get("uploadHeaders", ())}
    put(path, url, headers, cancelled)


def _copy(path: Path, url: str, output_folder: Path | None) -> None:
    """Write the file where the `file://` URL says, whole or not at all."""
    target = Path(os.path.normpath(url2pathname(urlsplit(url).path)))
    if output_folder is None or not target.is_relative_to(output_folder):
        detail = (
            "this service writes to blob containers only"
            if output_folder is None
            else f"it is not below {output_folder}"
        )
        raise TransferError(Problem.DENIED, url, detail)
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f".{target.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        shutil.copyfile(path, aside)
        aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)


def _failed(ending: Ending, problem: TransferError | OSError, url: str) -> Ending:
    is_denied = isinstance(problem, TransferError) and problem.problem is Problem.DENIED
    code = "FileUploadAccessDenied" if is_denied else "FileUploadMiscError"
    return replace(ending, failure=code, detail=str(problem), source=without_query(url))

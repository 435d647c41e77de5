"""Rules of resource files and output files, of any kind of task. Source: Azure Batch REST, ResourceFile, OutputFile."""

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from batchctl.server.batch.errors import ServiceError, invalid_value, missing_property
from batchctl.server.batch.wire import Doc

_SOURCES = ("httpUrl", "storageContainerUrl", "autoStorageContainerName")
_MODE = re.compile(r"(0o?)?[0-7]{3,4}")
_MOST_RESOURCE_CHARACTERS = 2**20


def check_files(task: Doc) -> None:
    """Raise ServiceError unless the task's resource and output files can be meant."""
    check_resource_files(task.get("resourceFiles", ()))
    for file in task.get("outputFiles", ()):
        _check_output_file(file)


def check_resource_files(files: Iterable[Doc]) -> None:
    """Each has exactly one source, a path inside the working directory, an octal mode; all are not too many."""
    characters = 0
    for file in files:
        _check_resource_file(file)
        characters += sum(len(value) for value in file.values() if isinstance(value, str))
    if characters > _MOST_RESOURCE_CHARACTERS:
        raise ServiceError("RequestEntityTooLarge", ("PropertyName", "resourceFiles"))


def _check_resource_file(file: Doc) -> None:
    sources = [name for name in _SOURCES if name in file]
    if len(sources) != 1:
        reason = f"Exactly one of {', '.join(_SOURCES[:-1])} and {_SOURCES[-1]} must be set."
        raise invalid_value("resourceFiles", sources, reason)
    if sources[0] != "autoStorageContainerName":
        _check_url(sources[0], file[sources[0]])
    if sources[0] == "httpUrl":
        if not file.get("filePath"):
            raise missing_property("filePath")
        if "blobPrefix" in file:
            raise invalid_value("blobPrefix", file["blobPrefix"], "It is not valid with httpUrl.")
    path = file.get("filePath", "")
    if path.startswith("/") or ".." in path.split("/"):
        raise invalid_value("filePath", path, "The path may neither be absolute nor contain '..'.")
    if "fileMode" in file and not _MODE.fullmatch(file["fileMode"]):
        raise invalid_value("fileMode", file["fileMode"], "The mode must be octal, such as 0770.")


def _check_output_file(file: Doc) -> None:
    if not file["filePattern"]:
        raise invalid_value("filePattern", "", "The pattern may not be empty.")
    container = file["destination"].get("container")
    if container is None:
        raise missing_property("container")
    if not container["containerUrl"].startswith(
        "file:///"
    ):  # a directory, if the service has one for it: see `Site`
        _check_url("containerUrl", container["containerUrl"])


def _check_url(name: str, value: str) -> None:
    try:
        parts = urlsplit(value)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        is_url = False
    if not is_url:
        raise invalid_value(name, value.partition("?")[0], "The value must be an http or https URL.")

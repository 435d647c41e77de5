"""The catalogue: `<catalogue>/<name>/head.json`, and `<catalogue>/<name>/versions/<id>.json` for each version.

A version is written first, and is there when the head names it. The head is changed by compare-and-set.
"""

from dataclasses import dataclass
from typing import Any

from batchctl_etl.datasets.version import Version, read_version, version_content
from batchctl_etl.errors import WorkFailed
from batchctl_etl.state.changing import change_document
from batchctl_etl.storage.documents import Document, documents_below, read_document

FORMAT = 1
_HEAD = "head.json"


@dataclass(frozen=True, kw_only=True)
class Head:
    """The ids of a dataset's versions, the newest first."""

    name: str
    versions: tuple[str, ...] = ()

    @property
    def newest(self) -> str | None:
        """The newest id; `None` before the first."""
        return self.versions[0] if self.versions else None


def dataset_names(catalogue: str) -> list[str]:
    """The datasets of the catalogue, sorted. Raises `WorkFailed`."""
    return documents_below(catalogue, _HEAD)


def head_of(catalogue: str, name: str) -> Head:
    """The head of a dataset, empty if there is none. Raises `WorkFailed`."""
    return _head(read_document(f"{catalogue}{name}/{_HEAD}"), name)


def known_head(catalogue: str, name: str) -> Head:
    """The head of a dataset. Raises `WorkFailed` if it is not in the catalogue."""
    found = head_of(catalogue, name)
    if not found.versions:
        names = dataset_names(catalogue)
        known = f"there is {', '.join(names[:20])}" if names else "check the URL"
        raise WorkFailed(catalogue, f"there is no dataset {name}", known)
    return found


def version_of(catalogue: str, name: str, id: str) -> Version:
    """A version by its id. Raises `WorkFailed`."""
    url = f"{catalogue}{name}/versions/{id}.json"
    content = read_document(url).content
    if content is None:
        raise WorkFailed(url, "there is no such version", "restore it")
    return read_version(content, url=url)


def chosen_version(catalogue: str, name: str, wanted: str | None) -> Version:
    """The newest version, or the only one whose id begins with `wanted`. Raises `WorkFailed`."""
    head = known_head(catalogue, name)
    found = [id for id in head.versions if id.startswith(wanted)] if wanted else list(head.versions[:1])
    if len(found) != 1:
        what = f"{len(found) or 'no'} versions of {name} begin with {wanted!r}"
        raise WorkFailed(catalogue, what, "etl datasets show names them")
    return version_of(catalogue, name, found[0])


def publish(catalogue: str, version: Version, *, before: str | None) -> bool:
    """Make the version the newest; `False` if it was registered before, and nothing was changed.

    `before`: the id that was the newest when the version was begun. Raises `WorkFailed` if another, with other
    columns, has been registered since.
    """
    url = f"{catalogue}{version.name}/versions/{version.version}.json"
    if version.version in head_of(catalogue, version.name).versions:
        return False
    change_document(url, lambda _: (version_content(version), None))

    def added(found: Document) -> tuple[Any, bool]:
        head = _head(found, version.name)
        if version.version in head.versions:
            return None, False
        if head.newest is not None and head.newest != before and version.contract is not None:
            other = version_of(catalogue, version.name, head.newest)
            if other.columns != version.columns:
                what = f"run {other.producer.run} has registered other columns meanwhile"
                raise WorkFailed(found.url, what, "run the task again")
        versions = [version.version, *head.versions]
        return {"format": FORMAT, "name": version.name, "versions": versions}, True

    return change_document(f"{catalogue}{version.name}/{_HEAD}", added)


def _head(found: Document, name: str) -> Head:
    content = found.content
    if content is None:
        return Head(name=name)
    if not isinstance(content, dict) or content.get("format") != FORMAT or not content.get("versions"):
        raise WorkFailed(found.url, "it is no head of ours", "restore it")
    return Head(name=name, versions=tuple(content["versions"]))

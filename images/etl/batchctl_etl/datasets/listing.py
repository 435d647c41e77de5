"""Datasets, for people and programs: which there are, what a version is, how two of them differ."""

from dataclasses import asdict
from typing import Any

from batchctl_etl.datasets.catalogue import chosen_version, dataset_names, known_head, version_of
from batchctl_etl.datasets.version import Version
from batchctl_etl.errors import WorkFailed


def as_json(version: Version) -> dict[str, Any]:
    """A version as data."""
    found = asdict(version)
    del found["arrow_schema"]
    return found


def newest_versions(catalogue: str) -> list[Version]:
    """The newest version of each dataset, by name. Raises `WorkFailed`."""
    return [chosen_version(catalogue, name, None) for name in dataset_names(catalogue)]


def listed(catalogue: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """The heads of columns and the rows of a table of datasets. Raises `WorkFailed`."""
    names = ["dataset", "version", "created", "rows", "bytes", "columns", "run", "tags", "description"]
    rows: list[tuple[Any, ...]] = []
    for item in newest_versions(catalogue):
        made = item.created_at[:19].replace("T", " ")
        counts = (item.rows, item.bytes, len(item.columns))
        rows.append(
            (
                item.name,
                item.version[:8],
                made,
                *counts,
                item.producer.run,
                " ".join(item.tags),
                item.description,
            )
        )
    return names, rows


def shown(catalogue: str, name: str, wanted: str | None) -> tuple[Version, tuple[str, ...]]:
    """A version, and the ids of all. Raises `WorkFailed`."""
    return chosen_version(catalogue, name, wanted), known_head(catalogue, name).versions


def shown_lines(version: Version, versions: tuple[str, ...]) -> list[str]:
    """A version, one thing in a line, and the ids of all."""
    producer = ", ".join(f"{key} {value}" for key, value in asdict(version.producer).items() if value)
    place = ", ".join(f"{key} {value}" for key, value in version.location.items())
    size = "" if version.bytes is None else f", {version.bytes} bytes"
    width = max((len(column.name) for column in version.columns), default=0)
    return [
        f"{version.name} {version.version}",
        *([version.description] if version.description else []),
        *([f"tags       {' '.join(version.tags)}"] if version.tags else []),
        f"created    {version.created_at}",
        f"producer   {producer}",
        f"location   {place}",
        f"content    {version.rows} rows{size}",
        *([f"contract   {version.contract}"] if version.contract else []),
        "columns",
        *(f"  {column.name.ljust(width)}  {column.type}" for column in version.columns),
        "versions, the newest first",
        *(f"  {id}" for id in versions),
    ]


def two_versions(catalogue: str, name: str, old: str | None, new: str | None) -> tuple[Version, Version]:
    """Two versions to compare: by default the newest and the one before it. Raises `WorkFailed`."""
    after = chosen_version(catalogue, name, new)
    if old is not None:
        return chosen_version(catalogue, name, old), after
    versions = known_head(catalogue, name).versions
    place = versions.index(after.version) + 1
    if place == len(versions):
        raise WorkFailed(
            catalogue, f"{name} has no version before {after.version}", "there is nothing to compare"
        )
    return version_of(catalogue, name, versions[place]), after


def difference(old: Version, new: Version) -> dict[str, Any]:
    """What differs: columns that are new, gone or changed, and every other thing as its two values."""
    before = {column.name: column.type for column in old.columns}
    after = {column.name: column.type for column in new.columns}
    found: dict[str, Any] = {
        "old": old.version,
        "new": new.version,
        "added": {name: kind for name, kind in after.items() if name not in before},
        "removed": {name: kind for name, kind in before.items() if name not in after},
        "changed": {
            name: [kind, after[name]]
            for name, kind in before.items()
            if name in after and after[name] != kind
        },
    }
    for key in ("rows", "bytes", "tags", "description", "contract"):
        one, other = getattr(old, key), getattr(new, key)
        found |= {key: [one, other]} if one != other else {}
    return found


def difference_lines(found: dict[str, Any]) -> list[str]:
    """The same for people: `+` is new, `-` is gone, `~` is changed."""
    lines = [f"{found['old']} -> {found['new']}"]
    lines += [f"+ {name}  {kind}" for name, kind in found["added"].items()]
    lines += [f"- {name}  {kind}" for name, kind in found["removed"].items()]
    lines += [f"~ {name}  {old} -> {new}" for name, (old, new) in found["changed"].items()]
    for key in ("rows", "bytes", "tags", "description", "contract"):
        if key in found:
            old, new = (" ".join(value) if isinstance(value, tuple) else value for value in found[key])
            more = f" ({new - old:+d})" if isinstance(old, int) and isinstance(new, int) else ""
            lines.append(f"  {key}: {old} -> {new}{more}")
    return lines if len(lines) > 1 else [*lines, "  no difference"]

"""Time zones by name, from the `tzdata` package and never from the machine: a line means the same everywhere.

Besides the zone itself, what its file says about the future, which `zoneinfo` knows and does not tell.
This module must not know cron lines.
"""

import struct
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

TZDATA_VERSION: str = import_module("tzdata").IANA_VERSION


class ZoneError(ValueError):
    """No such zone; `hint` names the nearest ones."""

    def __init__(self, name: str, *, hint: str) -> None:
        super().__init__(f"{name!r} is not an IANA time zone")
        self.message = str(self)
        self.hint = hint


class Changes(NamedTuple):
    """What a zone's file holds: the changes it lists, and the rule for the time after them."""

    listed: tuple[tuple[int, int], ...]
    """(the last whole minute not after the change, offset from UTC in minutes from then on), sorted."""
    is_ruled: bool
    """Whether clocks change every year after the last listed change (a POSIX rule with summer time)."""


@cache
def zone(name: str) -> ZoneInfo:
    """The zone of that IANA name. Raises ZoneError."""
    with _file(name).open("rb") as data:
        return ZoneInfo.from_file(data, key=name)


@cache
def changes(name: str) -> Changes:
    """What the file of zone `name` says. RFC 8536: the block of 64-bit times, then the rule."""
    data = _file(name).read_bytes()
    start = 44 + _block_size(data, 0, time_size=4)
    times, types = struct.unpack_from(">2l", data, start + 32)
    body = start + 44
    instants = struct.unpack_from(f">{times}q", data, body)
    kinds = data[body + 8 * times : body + 9 * times]
    offsets = [struct.unpack_from(">l", data, body + 9 * times + 6 * kind)[0] for kind in range(types)]
    rule = data[body + _block_size(data, start, time_size=8) :]
    listed = ((at // 60, offsets[kind] // 60) for at, kind in zip(instants, kinds, strict=True))
    return Changes(listed=tuple(listed), is_ruled=b"," in rule)


def _block_size(data: bytes, start: int, *, time_size: int) -> int:
    marks, standards, leaps, times, types, letters = struct.unpack_from(">6l", data, start + 20)
    return int(times * (time_size + 1) + types * 6 + letters + leaps * (time_size + 4) + standards + marks)


def _file(name: str) -> "Traversable":
    # Only names of the list: a name is never a path to be followed.
    if name not in _names():
        import difflib  # slow to import, and rarely needed

        by_lower = {known.lower(): known for known in _names()}
        near = difflib.get_close_matches(name.lower(), by_lower, n=3)
        cities = [known for lower, known in by_lower.items() if name and lower.endswith("/" + name.lower())]
        found = list(dict.fromkeys([*cities, *(by_lower[key] for key in near)]))[:3]
        hint = f"did you mean {' or '.join(found)}?" if found else "use a name like Europe/Berlin or UTC"
        raise ZoneError(name, hint=hint)
    return _data().joinpath("zoneinfo", *name.split("/"))


def _data() -> "Traversable":
    from importlib.resources import files  # slow to import, and not needed to parse a line

    return files("tzdata")


@cache
def _names() -> frozenset[str]:
    return frozenset(_data().joinpath("zones").read_text(encoding="utf-8").split())

"""The values of docker's options: sizes, limits, mounts. Pure; a wrong one raises ValueError with the reason."""

import csv
import re

from batchctl.server.batch.wire import Doc

_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([bkmgt]?)(?:i?b)?", re.IGNORECASE)
_UNITS = {"": 0, "b": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_MOUNT_TYPES = ("bind", "volume", "tmpfs")


def byte_count(value: str) -> int:
    """`512m`, `1.5g`, `4096`: bytes, units in powers of 1024; -1 is no limit."""
    if value == "-1":
        return -1
    match = _SIZE.fullmatch(value)
    if match is None:
        raise ValueError("it is no size such as 512m or 2g")
    return int(float(match[1]) * 1024 ** _UNITS[match[2].lower()])


def nano_cpus(value: str) -> int:
    """`1.5` processors, in billionths."""
    try:
        return round(float(value) * 1e9)
    except (ValueError, OverflowError):
        raise ValueError("it is no number of processors") from None


def whole_number(value: str) -> int:
    """`512`."""
    try:
        return int(value)
    except ValueError:
        raise ValueError("it is no whole number") from None


def pair(value: str) -> tuple[str, str]:
    """`name=value`."""
    name, found, text = value.partition("=")
    if not name or not found:
        raise ValueError("it is not of the form name=value")
    return name, text


def ulimit(value: str) -> Doc:
    """`nofile=1024:2048`, or one number for both limits."""
    name, text = pair(value)
    soft, _, hard = text.partition(":")
    return {"Name": name, "Soft": whole_number(soft), "Hard": whole_number(hard or soft)}


def mount(value: str) -> Doc:
    """`type=bind,source=/a,target=/b,readonly`, as docker's --mount without its rarer keys."""
    found: Doc = {"Type": "volume"}
    for part in next(csv.reader([value])):
        key, has_value, text = part.partition("=")
        match key.lower():
            case "type" if text in _MOUNT_TYPES:
                found["Type"] = text
            case "source" | "src":
                found["Source"] = text
            case "target" | "destination" | "dst":
                found["Target"] = text
            case "readonly" | "ro":
                found["ReadOnly"] = not has_value or text in ("true", "1")
            case _:
                raise ValueError(f"the local service does not know {part!r} in a mount")
    if "Target" not in found:
        raise ValueError("it has no target")
    return found

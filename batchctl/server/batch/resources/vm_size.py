"""What the name of a VM size says: how many cores it has, and with them how much memory and temporary disk.

Source: Azure docs, "VM sizes naming conventions", and the tables of the families. `Standard_D2s_v5` has 2 cores,
`Standard_NC24ads_A100_v4` 24, `Standard_E8-4ds_v5` (constrained) is billed as 8. The oldest sizes (A, D and DS before v5's
scheme) are numbered, not counted, so they are listed. This module knows no prices.
"""

import re

_NUMBERED = {
    "standard_a1": 1, "standard_a2": 2, "standard_a3": 4, "standard_a4": 8, "standard_a5": 2, "standard_a6": 4,
    "standard_a7": 8, "standard_a8": 8, "standard_a9": 16, "standard_a10": 8, "standard_a11": 16,
}  # fmt: skip
_OLD_D = {1: 1, 2: 2, 3: 4, 4: 8, 5: 16, 11: 2, 12: 4, 13: 8, 14: 16, 15: 20}
_OLD_D_NAME = re.compile(r"standard_d(s?)(\d+)(?:_v2)?(?:_promo)?")
_NAME = re.compile(r"standard_[a-z]+(\d+)")
_FAMILY = re.compile(r"standard_([a-z]+)\d+(?:-\d+)?([a-z]*)_v(\d+)")
_GIB_PER_CORE = {"a": 2, "d": 4, "dc": 4, "e": 8, "ec": 8, "f": 2, "l": 8}
"""Families whose sizes have a fixed memory for each core; D with an `l` (Standard_D2ls_v5) has 2, A with an `m` 8."""
_DISK_PER_CORE: dict[tuple[str, str, int], float] = {
    ("a", "", 2): 10, ("a", "m", 2): 10, ("d", "", 3): 25, ("d", "s", 3): 8, ("e", "", 3): 25, ("e", "s", 3): 16,
    ("f", "s", 2): 8,
}  # fmt: skip
"""GiB of temporary disk of series before v4. Of D and E, v4 and v5, those with a `d` have 37.5 GiB a core, others none."""


def known_cores(vm_size: str) -> int | None:
    """The number of cores of a VM size (any case); None if the name does not say."""
    name = vm_size.lower()
    if name in _NUMBERED:
        return _NUMBERED[name]
    if (old := _OLD_D_NAME.fullmatch(name)) and int(old[2]) in _OLD_D:
        return _OLD_D[int(old[2])]
    match = _NAME.match(name)
    return int(match[1]) if match and int(match[1]) > 0 else None


def cores(vm_size: str) -> int:
    """The number of cores of a VM size, 1 if the name does not say."""
    return known_cores(vm_size) or 1


def known_memory(vm_size: str) -> int | None:
    """The memory of a VM size (any case) in bytes; None for a family that has no fixed memory for each core."""
    match = _FAMILY.match(vm_size.lower())
    cores = known_cores(vm_size)
    is_old = _OLD_D_NAME.fullmatch(vm_size.lower()) is not None
    if match is None or cores is None or is_old or match[1] not in _GIB_PER_CORE:
        return None
    per_core = _GIB_PER_CORE[match[1]]
    if match[1] == "d" and "l" in match[2]:
        per_core = 2
    if match[1] == "a" and "m" in match[2]:
        per_core = 8
    return cores * per_core * 2**30


def known_disk(vm_size: str) -> int | None:
    """The temporary disk of a VM size (any case) in bytes; None for one that has none, or whose name does not say."""
    name = vm_size.lower()
    cores = known_cores(name)
    per_core: float | None = None
    if old := _OLD_D_NAME.fullmatch(name):
        per_core = 50 if not old[1] else 14 if int(old[2]) > 10 else 7
    elif match := _FAMILY.fullmatch(name):
        family, features, version = match[1], match[2], int(match[3])
        per_core = _DISK_PER_CORE.get((family, features, version))
        if family in ("d", "e") and version in (4, 5) and "d" in features:
            per_core = 37.5
    return int(cores * per_core * 2**30) if cores and per_core else None

"""`for_each`: one task of a jobspec becomes many."""

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

MAX_ITEMS = 100_000
_WORD = re.compile(r"[A-Za-z0-9_-]{1,40}")


def items(for_each: Any) -> list[Any]:
    """The items of a literal `for_each`: a list as it is, 0…n-1 for a number, one mapping a combination for a product.

    Raises ValueError if it is none of these, empty, or more than MAX_ITEMS.
    """
    axes: dict[str, Sequence[Any]] | None
    if isinstance(for_each, bool):
        raise ValueError("a for_each is a list, a product or a number")
    if isinstance(for_each, int):
        size, axes = for_each, None
    elif isinstance(for_each, Mapping):
        axes = dict(for_each)
        size = 1
        for name, axis in axes.items():
            if not isinstance(axis, Sequence) or isinstance(axis, str):
                raise ValueError(f"{name} must be a list")
            size *= len(axis)
    elif isinstance(for_each, Sequence) and not isinstance(for_each, str):
        size, axes = len(for_each), None
    else:
        raise ValueError("a for_each is a list, a product or a number")
    if not 0 < size <= MAX_ITEMS:
        raise ValueError(f"{size:,} items; there must be between 1 and {MAX_ITEMS:,}")
    if axes is not None:
        return [dict(zip(axes, row, strict=True)) for row in itertools.product(*axes.values())]
    return list(range(for_each)) if isinstance(for_each, int) else list(for_each)


def item_labels(found: Sequence[Any]) -> list[str]:
    """A name for each item, used in task ids: the item's own words where all are plain and different, else its number."""
    words = [_word(item) for item in found]
    if all(word is not None for word in words) and len({str(word).lower() for word in words}) == len(words):
        return [str(word) for word in words]
    return [str(number) for number in range(len(found))]


def _word(item: Any) -> str | None:
    if isinstance(item, Mapping):
        parts = [_word(value) for value in item.values()]
        return None if None in parts else _plain("-".join(str(part) for part in parts))
    if isinstance(item, bool) or not isinstance(item, str | int):
        return None
    return _plain(str(item))


def _plain(text: str) -> str | None:
    return text if _WORD.fullmatch(text) else None

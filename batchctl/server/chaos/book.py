"""The rules that are in force, and how often each was met: rows of the service's store.

They survive a restart with their counts, so a story that kills the service in between stays deterministic. All
functions want a transaction of the caller's. With no rule in force a question costs one look at an empty table.
"""

from collections.abc import Iterable
from typing import NamedTuple

from batchctl.server.batch.store import Store
from batchctl.server.chaos.decision import strikes
from batchctl.server.chaos.rule import Fault, Rule


class Entry(NamedTuple):
    """A rule in force; `seen` events fitted it, `struck` of them were struck."""

    id: int
    rule: Rule
    seen: int
    struck: int


def add(store: Store, rule: Rule) -> Entry:
    """Put a rule in force."""
    seq = store.insert("INSERT INTO chaos (rule) VALUES (?)", (rule.model_dump_json(),))
    return Entry(seq, rule, 0, 0)


def entries(store: Store) -> list[Entry]:
    """The rules in force, oldest first."""
    rows = store.all("SELECT seq, rule, seen, struck FROM chaos ORDER BY seq")
    return [Entry(seq, Rule.model_validate_json(text), seen, struck) for seq, text, seen, struck in rows]


def clear(store: Store, id: int | None = None) -> int:
    """Take one rule out of force, or all; how many there were."""
    if id is None:
        return len(store.all("DELETE FROM chaos RETURNING seq"))
    return len(store.all("DELETE FROM chaos WHERE seq = ? RETURNING seq", (id,)))


def struck(
    store: Store, faults: Iterable[Fault], subjects: tuple[str, ...], *, operation: str | None = None
) -> list[Rule]:
    """The rules, of these faults, that strike this event; it is counted by every rule that it fits."""
    hit: list[Rule] = []
    for entry in entries(store):
        if entry.rule.fault not in faults or not entry.rule.fits(operation, subjects):
            continue
        strike = strikes(entry.rule, seen=entry.seen, struck=entry.struck)
        store.do(
            "UPDATE chaos SET seen = seen + 1, struck = struck + ? WHERE seq = ?", (int(strike), entry.id)
        )
        if strike:
            hit.append(entry.rule)
    return hit

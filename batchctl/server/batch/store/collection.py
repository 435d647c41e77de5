"""One kind of document (pools, nodes, jobs, schedules): JSON, with indexed columns computed from it.

Properties whose name begins with `_` are the service's own notes and never reach a client.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from batchctl.server.batch.wire import Doc

if TYPE_CHECKING:
    from batchctl.server.batch.store.database import Store


class Row(NamedTuple):
    """A stored document; `seq` is its place in the order of creation."""

    seq: int
    doc: Doc


class Collection:
    """A table of documents: key, state and doc, and the columns `fixed` and `changing`, which `derive` computes.

    `derive` gives the values in that order. The fixed ones and the key never change: their indexes are left alone.
    A document is read once: whoever asks again is given the same Row, with what is not saved yet. So whoever changes a
    document saves it, or the transaction is undone, and then all is read anew.
    """

    def __init__(
        self,
        store: "Store",
        table: str,
        derive: Callable[[Doc], tuple[Any, ...]],
        *,
        changing: Sequence[str],
        fixed: Sequence[str] = (),
    ) -> None:
        self._store = store
        self.known: dict[int, Row] = {}
        """What was read and written lately, by seq; transactions empty it."""

        self._table = table
        self._derive = derive
        self._fixed = len(fixed)
        names = ("state", "doc", "key", *fixed, *changing)
        self._add = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
        changes = ", ".join(f"{name} = ?" for name in ("state", "doc", *changing))
        self._save = f"UPDATE {table} SET {changes} WHERE seq = ?"
        self._at = f"SELECT doc FROM {table} WHERE seq = ?"

    def add(self, doc: Doc) -> Row:
        """Store a new document; its id (any case) must be new."""
        values = (doc["state"], orjson.dumps(doc), doc["id"].lower(), *self._derive(doc))
        return self._one(self._store.insert(self._add, values), doc)

    def save(self, row: Row) -> None:
        """Write a changed document back."""
        doc = row.doc
        changing = self._derive(doc)[self._fixed :]
        self._store.do(self._save, (doc["state"], orjson.dumps(doc), *changing, row.seq))

    def get(self, name: str) -> Row | None:
        """The document with this id, in any case."""
        return self.find("key = ?", (name.lower(),))

    def at(self, seq: int) -> Row | None:
        """The document with this place."""
        if (row := self.known.get(seq)) is not None:
            return row
        found = self._store.one(self._at, (seq,))
        return self._one(seq, orjson.loads(found[0])) if found else None

    def find(self, where: str, arguments: Sequence[Any] = ()) -> Row | None:
        """The oldest document that meets the condition."""
        return next(iter(self.all(where, arguments, limit=1)), None)

    def all(
        self, where: str = "1", arguments: Sequence[Any] = (), *, limit: int = -1, order: str = "seq"
    ) -> list[Row]:
        """At most `limit` documents that meet the condition, oldest first or in the `order` of a column."""
        sql = f"SELECT seq, doc FROM {self._table} WHERE {where} ORDER BY {order} LIMIT ?"
        known = self.known
        found = self._store.all(sql, (*arguments, limit))
        return [known.get(seq) or self._one(seq, orjson.loads(doc)) for seq, doc in found]

    def remove(self, seq: int) -> None:
        """Forget a document."""
        self._store.do(f"DELETE FROM {self._table} WHERE seq = ?", (seq,))
        self.known.pop(seq, None)

    def _one(self, seq: int, doc: Doc) -> Row:
        row = self.known[seq] = Row(seq, doc)
        return row

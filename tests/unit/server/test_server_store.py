"""The store: documents are parsed once and written back when told, and what is undone is forgotten."""

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from batchctl.server.batch.store import Store, database
from batchctl.server.batch.store.collection import Row


@pytest.fixture
def store() -> Iterator[Store]:
    store = Store(":memory:")
    yield store
    store.close()


def schedule(name: str) -> dict[str, Any]:
    return {"id": name, "state": "active", "_wake": None}


def add(store: Store, name: str) -> Row:
    with store.transaction():
        return store.schedules.add(schedule(name))


def stored(store: Store, name: str) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(
        store.one("SELECT doc FROM schedules WHERE key = ?", (name.lower(),))[0]
    )
    return found


def test_a_document_is_one_object_whoever_asks_and_however(store: Store) -> None:
    row = add(store, "Daily")
    with store.transaction():
        asked = [
            store.schedules.get("daily"),
            store.schedules.at(row.seq),
            store.schedules.find("state = 'active'"),
            *store.schedules.all(),
        ]
        assert all(one is row for one in asked)
        row.doc["_next"] = "tomorrow"
        store.schedules.save(row)
    assert stored(store, "daily")["_next"] == "tomorrow"


def test_what_is_undone_is_forgotten(store: Store) -> None:
    row = add(store, "daily")

    def fail() -> None:
        with store.transaction():
            row.doc["state"] = "completed"
            store.schedules.save(row)
            store.schedules.add(schedule("other"))
            raise ValueError

    with pytest.raises(ValueError, match=r"\A\Z"):
        fail()
    assert store.schedules.get("other") is None
    again = store.schedules.at(row.seq)
    assert again is not None
    assert again is not row
    assert again.doc == schedule("daily") == stored(store, "daily")


def test_what_is_removed_is_gone(store: Store) -> None:
    row = add(store, "daily")
    with store.transaction():
        store.schedules.remove(row.seq)
        assert store.schedules.at(row.seq) is store.schedules.get("daily") is None


def test_documents_are_remembered_up_to_a_number(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_MOST_KNOWN", 3)
    rows = [add(store, f"s{i}") for i in range(3)]
    with store.transaction():
        assert store.schedules.at(rows[0].seq) is rows[0]
        more = [store.schedules.add(schedule(f"t{i}")) for i in range(3)]
        assert store.schedules.at(more[0].seq) is more[0], "one object as long as the transaction lasts"
    with store.transaction():
        assert store.schedules.at(more[0].seq) is not more[0]


def test_documents_in_the_order_of_a_column(store: Store) -> None:
    with store.transaction():
        for name, wake in (("a", "3"), ("b", "1"), ("c", "2"), ("d", None)):
            store.schedules.add(schedule(name) | {"_wake": wake})
    due = store.schedules.all("wake <= ?", ("2",), order="wake, seq")
    assert [row.doc["id"] for row in due] == ["b", "c"]

"""What the service remembers, in one SQLite file that survives `kill -9` at any moment."""

from batchctl.server.batch.store.collection import Collection, Row
from batchctl.server.batch.store.database import Store, StoreVersionError

__all__ = ["Collection", "Row", "Store", "StoreVersionError"]

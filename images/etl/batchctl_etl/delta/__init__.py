"""Delta Lake as a source and as a target, and the upkeep of its tables. The only importers of `deltalake`."""

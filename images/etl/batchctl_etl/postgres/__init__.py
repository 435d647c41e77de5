"""PostgreSQL as a source and as a target. The only importers of `psycopg` and `pgpq`."""

"""From Arrow record batches to a table of a database file. One flow (`load`), an engine for each database."""

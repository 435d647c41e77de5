"""Databases with an ODBC driver as a source and as a target. The only importers of `arrow_odbc`."""

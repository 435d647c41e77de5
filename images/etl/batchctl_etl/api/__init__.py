"""A web API as a source: its pages, and the values in its answers."""

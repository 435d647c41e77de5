"""The documents of each resource: from a checked request body to what is stored, and from there to an answer.

Pure functions. Rules that span properties (ranges, exclusions, defaults) live here; nothing here may write.
"""

"""One module per resource: plain functions `Call -> Reply`, run inside a transaction.

A handler checks and records the wish; what follows from it is the scheduler's business.
"""

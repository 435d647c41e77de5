"""Azure Batch as a local service: REST surface, life cycles, scheduler, process runner, store.

Source of every rule: the Azure Batch REST API, version 2025-06-01, and recorded traffic of the real service.
"""

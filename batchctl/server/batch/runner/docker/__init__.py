"""Container tasks: a Docker Engine beside the loop.

The `docker` SDK is imported by the functions that talk to the engine only.
"""

"""The local Azure: a service on this machine that speaks the Azure Batch REST API.

Importing this package is cheap; starlette and uvicorn load with the first use of `LocalServer`.
It must not import azure, or any other part of batchctl except `batchctl.errors`: the official SDK stays an independent
judge of what is served here. Only `batch.runner.docker` imports docker, when the first container is wanted.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from batchctl.server.batch.quota import Quota
    from batchctl.server.local import LocalServer

DEV_ACCOUNT = "devaccount"
DEV_KEY = "ZmFrZV9hY2NvdW50X2tleQ=="

__all__ = ["DEV_ACCOUNT", "DEV_KEY", "LocalServer", "Quota"]


def __getattr__(name: str) -> object:
    """Load `LocalServer` and `Quota` when they are first asked for (PEP 562)."""
    if name == "LocalServer":
        from batchctl.server.local import LocalServer

        return LocalServer
    if name == "Quota":
        from batchctl.server.batch.quota import Quota

        return Quota
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
